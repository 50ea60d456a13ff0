//go:build linux

package afpacket_test

import (
	"context"
	"testing"

	"golang.org/x/net/bpf"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet/filter"
	"sonde.example/internal/testenv/netns"
)

const (
	loadRate  = 20_000 // packets a second
	loadCount = 22_000
	changes   = 10
)

// broadcast is numbered to all, so that a bridge takes it in.
func broadcast(number int) []byte {
	frame := numbered(number)
	copy(frame, "\xff\xff\xff\xff\xff\xff")
	return frame
}

// underLoad sends numbered packets on a device while it reads them, and calls change a few times in between. Each packet
// must come, once.
func underLoad(t *testing.T, n *netns.Namespace, set capture.Live, device string, change func(turn int)) {
	t.Helper()
	sender := n.Sender(device)
	sent := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		_, err := sender.SendPaced(loadRate, loadCount, ctx.Done(), broadcast)
		sent <- err
	}()
	seen := make([]int, loadCount)
	turn := 0
	for count := range loadCount {
		data, _, err := set.ReadPacket(ctx)
		if err != nil {
			t.Errorf("after %d packets: %v", count, err)
			break
		}
		seen[netns.NumberOf(data)]++
		if turn < changes && count >= (turn+1)*loadCount/(changes+2) {
			change(turn)
			turn++
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	wrong := map[int]int{} // packets by how often they were seen
	for number, times := range seen {
		if times != 1 {
			if wrong[times]++; wrong[times] <= 3 {
				t.Errorf("packet %d was seen %d times", number, times)
			}
		}
	}
	if len(wrong) > 0 {
		t.Errorf("packets by how often they were seen: %v", wrong)
	}
	if turn != changes {
		t.Errorf("%d changes", turn)
	}
	// Nothing must follow.
	rest, cancelRest := context.WithTimeout(t.Context(), 3*quiet)
	defer cancelRest()
	if data, _, err := set.ReadPacket(rest); err == nil {
		t.Errorf("packet %d came once more", netns.NumberOf(data))
	}
	if got := stats(t, set); got.Packets != loadCount || got.Drops != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestFilterChangesUnderLoadWithoutLoss(t *testing.T) {
	n := pair(t)
	n.Do(func() {
		set := open(t)
		both := [2]filter.Program{
			program(t, "ip", bpf.RawInstruction{Op: 0x28, K: 12}, bpf.RawInstruction{Op: 0x15, Jf: 1, K: 0x800},
				bpf.RawInstruction{Op: 6, K: 1}, bpf.RawInstruction{Op: 6}),
			program(t, "greater 60", bpf.RawInstruction{Op: 0x80}, bpf.RawInstruction{Op: 0x35, Jf: 1, K: 60},
				bpf.RawInstruction{Op: 6, K: 262144}, bpf.RawInstruction{Op: 6}),
		}
		number := replace(t, set, point("v0", both[1]))[0]
		underLoad(t, n, set, "v1", func(turn int) {
			if got := replace(t, set, point("v0", both[turn%2])); got[0] != number {
				t.Errorf("got number %d, want %d", got[0], number)
			}
		})
		if got := stats(t, set); got.Dup != 0 || got.Filtered != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestDeviceChangesUnderLoadWithoutLoss(t *testing.T) {
	n := pair(t)
	n.Bridge("br0", "v0")
	n.Do(func() {
		set := open(t)
		replace(t, set, points("v0")...)
		// The second point is a new one each time, and makes the first capture for a while before the old one's end.
		none := program(t, "none", bpf.RawInstruction{Op: 6})
		underLoad(t, n, set, "v1", func(turn int) {
			replace(t, set, point([]string{"br0", "v0"}[turn%2], filter.Program{}), point([]string{"lo", "v1"}[turn%2], none))
		})
		if got := stats(t, set); got.Dup == 0 {
			t.Error("no packet was seen by both devices: this shows nothing")
		}
	})
}

func TestFailedReplaceUnderLoadChangesNothing(t *testing.T) {
	n := pair(t)
	n.Bridge("br0", "v0")
	n.Do(func() {
		set := open(t)
		replace(t, set, points("v0")...)
		underLoad(t, n, set, "v1", func(int) {
			none := program(t, "none", bpf.RawInstruction{Op: 6})
			if _, err := set.Replace([]capture.Point{point("v0", none), point("br0", none), point("missing0", none)}); err == nil {
				t.Error("a missing device was taken")
			}
		})
		if got := stats(t, set); got.Dup != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestFlowsChangeUnderLoadWithoutLoss(t *testing.T) {
	n := pair(t)
	n.Do(func() {
		set := open(t)
		replace(t, set, points("v0")...)
		underLoad(t, n, set, "v1", func(turn int) {
			if err := set.Exclude(manyFlows(3*turn + 2)); err != nil {
				t.Error(err)
			}
		})
	})
}
