package record

import (
	"net/netip"

	"google.golang.org/protobuf/proto"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

// Session makes the hand-over anew from which New made a result with this head, as far as results keep it: New makes the
// same result of it. It refers to the head and to the result's scope.
func Session(r *queryv1.Result, head *flowv1.Packets) *flowv1.Session {
	return &flowv1.Session{
		Id: r.GetSessionId(), Agent: r.GetAgent(), CapturePoint: r.GetCapturePoint(), CommunityId: r.GetCommunityId(),
		Scope: r.GetScope(), Epoch: r.GetEpoch(), Lane: r.GetLane(), Number: r.GetNumber(),
		FiveTuple: &flowv1.FiveTuple{
			IpProtocol:    r.GetIpProtocol(),
			ClientAddress: address(r.GetClient()), ClientPort: r.GetClient().GetPort(),
			ServerAddress: address(r.GetServer()), ServerPort: r.GetServer().GetPort(),
		},
		Counts: &flowv1.Counts{
			ForwardPackets: r.GetForward().GetPackets(), ForwardBytes: r.GetForward().GetBytes(),
			ReversePackets: r.GetReverse().GetPackets(), ReverseBytes: r.GetReverse().GetBytes(),
			OpenedTimeNs: r.GetStartTime().AsTime().UnixNano(), LastTimeNs: r.GetEndTime().AsTime().UnixNano(),
			Ended: r.GetEnded(), EndReason: r.GetEndReason(),
		},
		Head: head, HeadPackets: r.GetEvidence().GetPacketsHeld(), Evidence: proto.CloneOf(r.GetEvidence()),
	}
}

// address is an endpoint's address as bytes; empty for one that is none.
func address(e *queryv1.Endpoint) []byte {
	a, err := netip.ParseAddr(e.GetAddress())
	if err != nil {
		return nil
	}
	return a.AsSlice()
}
