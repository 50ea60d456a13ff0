// Package result keeps what became of every session: one result a session, the head it rests on for as long as retention
// says, and each lane's side of the ledger.
//
// Results come from the workers, one micro-batch a Put, more than once if need be: a result has two parts, the
// classification (with its head) and the counts, and each is replaced only by its own greater number, so that writing
// twice is writing once and an old message that comes late changes nothing. The collector's memory session store uses
// this store as its journal: what is committed here is what an agent may forget.
package result

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

// ErrNotFound says that the store knows no such session, or keeps no packets of it.
var ErrNotFound = errors.New("no such session")

// Entry is a result with the head it rests on.
type Entry struct {
	// Result is never nil.
	Result *queryv1.Result
	// Head is nil when the message had counts only, or when no packets are to be kept.
	Head *flowv1.Packets
}

// Store keeps one result for each session, and its head for as long as retention says. All methods may be called at the
// same time.
type Store interface {
	// Put commits results with their heads, all or none; after an error put all again. Classification (with the head)
	// and counts are each replaced only by their own greater number; twice is once. A failed result never replaces a
	// classification. When Put returns, each entry's Result is what now stands in the store.
	Put(ctx context.Context, entries ...*Entry) error
	// Get returns ErrNotFound for a session it does not know.
	Get(ctx context.Context, sessionID string) (*queryv1.Result, error)
	// Packets returns the packets of the head; ErrNotFound when none are kept.
	Packets(ctx context.Context, sessionID string) (*flowv1.Packets, error)
	// List returns up to pageSize results, newest session first; an empty token begins and ends the list.
	List(ctx context.Context, f Filter, pageSize int, pageToken string) ([]*queryv1.Result, string, error)
	// Purge deletes up to limit results and up to limit heads of sessions opened before the given times, and tells how
	// many rows went.
	Purge(ctx context.Context, results, heads time.Time, limit int) (deleted int, err error)
	Close() error
}

// Past is what the memory session store asks for after a restart. All methods may be called at the same time.
type Past interface {
	// Sessions returns what is stored of the sessions named; those it does not know are left out. Head is nil when no
	// packets are kept.
	Sessions(ctx context.Context, ids ...string) (map[string]*Entry, error)
	// Open returns the results of the agent's sessions that have not ended, those of the given epoch left out.
	Open(ctx context.Context, agent string, exceptEpoch uint64) ([]*queryv1.Result, error)
}

// Ledger keeps each lane's side of the law. All methods may be called at the same time.
type Ledger interface {
	// PutLedger commits the entries. An entry replaces the stored one of its lane unless that has a greater durable
	// sequence, or is closed and this one is not. stored_sessions and stored_packets are ignored: they follow the results.
	PutLedger(ctx context.Context, entries ...*fleetv1.LedgerEntry) error
	// Ledger returns the entries of the agent, of all agents when it is empty, by agent, epoch and lane.
	// stored_sessions and stored_packets are what the results table holds.
	Ledger(ctx context.Context, agent string) ([]*fleetv1.LedgerEntry, error)
}

// New makes the entry for a session that was handed over. A nil classification with an empty failure makes a result that
// has counts only; with a failure it makes a failed one.
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
		Evidence:       s.GetEvidence(),
		Scope:          s.GetScope(),
		Epoch:          s.GetEpoch(),
		Lane:           s.GetLane(),
		Number:         s.GetNumber(),
		Failure:        failure,
	}
	e := &Entry{Result: r}
	switch {
	case c != nil:
		r.State = queryv1.ResultState_RESULT_STATE_CLASSIFIED
		e.Head = s.GetHead()
	case failure != "":
		r.State = queryv1.ResultState_RESULT_STATE_FAILED
		e.Head = s.GetHead()
	}
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
