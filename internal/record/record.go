// Package record holds the words that the stages behind the session store share about results: an entry, which is a result
// with the head it rests on; the rule by which two entries of one session become one, whatever their order; and the filter
// by which results are picked, in a page as in a tail. The worker makes entries, a result store keeps them, queries read
// them; none of these stages knows another.
package record

import (
	"errors"
	"net/netip"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

// ErrNotFound says that a result store knows no such session, or keeps no packets of it.
var ErrNotFound = errors.New("no such session")

// ErrPageToken says that a page token is not one that a list gave.
var ErrPageToken = errors.New("not a page token that a list gave")

// ErrFull says that a store has as many corrections as it may have.
var ErrFull = errors.New("no room for another correction")

// Entry is a result with the head it rests on.
type Entry struct {
	// Result is never nil.
	Result *queryv1.Result
	// Head is nil when the message had counts only, or when no packets are to be kept.
	Head *flowv1.Packets
}

// New makes the entry for a session that was handed over. A nil classification with an empty failure makes a result that
// has counts only; with a failure it makes a failed one. The entry refers to the session's head and scope, and changes
// neither: whoever lent the session may lend it again.
func New(s *flowv1.Session, c *flowv1.Classification, h *flowv1.Handshake, failure string) *Entry {
	t, n := s.GetFiveTuple(), s.GetCounts()
	r := &queryv1.Result{
		SessionId:      s.GetId(),
		State:          queryv1.ResultState_RESULT_STATE_COUNTED,
		Agent:          s.GetAgent(),
		CapturePoint:   s.GetCapturePoint(),
		CommunityId:    s.GetCommunityId(),
		StartTime:      timestamppb.New(time.Unix(0, n.GetOpenedTimeNs())),
		EndTime:        timestamppb.New(time.Unix(0, n.GetLastTimeNs())),
		IpProtocol:     t.GetIpProtocol(),
		Client:         endpoint(t.GetClientAddress(), t.GetClientPort()),
		Server:         endpoint(t.GetServerAddress(), t.GetServerPort()),
		Forward:        &queryv1.Traffic{Packets: n.GetForwardPackets(), Bytes: n.GetForwardBytes()},
		Reverse:        &queryv1.Traffic{Packets: n.GetReversePackets(), Bytes: n.GetReverseBytes()},
		Ended:          n.GetEnded(),
		EndReason:      n.GetEndReason(),
		Classification: c,
		Handshake:      h,
		Evidence:       &flowv1.Evidence{},
		Scope:          s.GetScope(),
		Epoch:          s.GetEpoch(),
		Lane:           s.GetLane(),
		Number:         s.GetNumber(),
		Failure:        failure,
	}
	proto.Merge(r.Evidence, s.GetEvidence())
	r.Evidence.PacketsHeld = 0
	e := &Entry{Result: r}
	switch {
	case c != nil:
		r.State = queryv1.ResultState_RESULT_STATE_CLASSIFIED
	case failure != "":
		r.State = queryv1.ResultState_RESULT_STATE_FAILED
	default:
		return e
	}
	r.Evidence.PacketsHeld = s.GetHeadPackets() // the number of the classification part
	e.Head = s.GetHead()
	return e
}

// endpoint writes an address as text; one that is neither 4 nor 16 bytes long is left empty.
func endpoint(address []byte, port uint32) *queryv1.Endpoint {
	e := &queryv1.Endpoint{Port: port}
	if a, ok := netip.AddrFromSlice(address); ok {
		e.Address = a.String()
	}
	return e
}

// Packets counts both directions of a result.
func Packets(r *queryv1.Result) uint64 {
	return r.GetForward().GetPackets() + r.GetReverse().GetPackets()
}
