package record_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"

	"sonde.example/internal/record"
)

// What was stored of a session makes the same result again.
func TestSessionIsNewBackwards(t *testing.T) {
	head := &flowv1.Packets{Captured: []uint32{3}, Data: []byte("abc")}
	for name, address := range map[string][]byte{"IPv4": {192, 0, 2, 1}, "IPv6": append(make([]byte, 15), 1), "none": nil} {
		s := &flowv1.Session{
			Id: "01JD2Y8R3MZ3V4J7T2N5C6A9EX", Agent: "a", CapturePoint: "file:x", CommunityId: "1:x", Scope: &flowv1.Scope{},
			Epoch: 7, Lane: 1, Number: 9, HeadPackets: 5, Head: head,
			FiveTuple: &flowv1.FiveTuple{IpProtocol: 6, ClientAddress: address, ClientPort: 40000, ServerAddress: address, ServerPort: 443},
			Counts: &flowv1.Counts{
				ForwardPackets: 3, ForwardBytes: 300, ReversePackets: 2, ReverseBytes: 2000, OpenedTimeNs: 1e18 + 1, LastTimeNs: 1e18 + 9,
				Ended: true, EndReason: flowv1.EndReason_END_REASON_IDLE,
			},
			Evidence: &flowv1.Evidence{Gaps: 1, Drops: 2},
		}
		want := record.New(proto.CloneOf(s), nil, nil, "no answer")
		got := record.New(record.Session(want.Result, want.Head), nil, nil, "no answer")
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}
