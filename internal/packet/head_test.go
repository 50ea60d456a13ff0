package packet_test

import (
	"testing"

	"sonde.example/internal/packet"
)

func TestHeadTakesPacketsAndPayloadWithinItsLimits(t *testing.T) {
	type step struct {
		offset, payload, captured int
		keep                      bool
		length                    int
	}
	full := packet.HeadLimits{Packets: 3, PayloadBytes: 100}
	tests := []struct {
		name    string
		limits  packet.HeadLimits
		steps   []step
		packets uint32
		payload uint32
	}{
		{"packets run out", full, []step{{54, 0, 54, true, 54}, {54, 10, 64, true, 64}, {54, 0, 54, true, 54}, {54, 10, 64, false, 0}}, 3, 10},
		{"padding is left out", full, []step{{54, 0, 60, true, 54}, {54, 2, 60, true, 56}}, 2, 2},
		{"payload runs out inside a packet", full, []step{{54, 70, 124, true, 124}, {54, 70, 124, true, 84}, {54, 70, 124, true, 54}}, 3, 100},
		{"payload ends with a packet", full, []step{{54, 100, 154, true, 154}, {54, 1, 55, true, 54}}, 2, 100},
		{"one byte more", full, []step{{54, 99, 153, true, 153}, {54, 2, 56, true, 55}}, 2, 100},
		{"no payload", packet.HeadLimits{Packets: 2}, []step{{54, 70, 124, true, 54}, {54, 70, 124, true, 54}, {54, 0, 54, false, 0}}, 2, 0},
		{"every packet whole", packet.HeadLimits{PayloadBytes: 100}, []step{{54, 70, 124, true, 124}, {54, 700, 754, true, 754}, {54, 0, 60, true, 60}}, 3, 770},
		{"every packet without payload", packet.HeadLimits{}, []step{{54, 70, 124, true, 54}, {54, 0, 60, true, 54}}, 2, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			head := packet.Head{Limits: test.limits}
			for i, s := range test.steps {
				// Going on from stored counts is the same as going on.
				head = packet.Head{Limits: test.limits, Packets: head.Packets, PayloadBytes: head.PayloadBytes}
				full := head.Full()
				keep, length := head.Take(&packet.Info{PayloadOffset: s.offset, PayloadCaptured: s.payload, PayloadLength: s.payload}, s.captured)
				if keep != s.keep || length != s.length || full == keep {
					t.Errorf("step %d: got %t %d, full %t, want %t %d", i, keep, length, full, s.keep, s.length)
				}
			}
			if head.Packets != test.packets || head.PayloadBytes != test.payload {
				t.Errorf("took %d packets and %d bytes, want %d and %d", head.Packets, head.PayloadBytes, test.packets, test.payload)
			}
		})
	}
}

func TestHeadCountsDoNotWrap(t *testing.T) {
	head := packet.Head{Limits: packet.HeadLimits{PayloadBytes: 1}, Packets: 1<<32 - 1, PayloadBytes: 1<<32 - 2}
	if keep, length := head.Take(&packet.Info{PayloadOffset: 10, PayloadCaptured: 5}, 15); !keep || length != 15 {
		t.Errorf("got %t %d", keep, length)
	}
	if head.Packets != 1<<32-1 || head.PayloadBytes != 1<<32-1 {
		t.Errorf("got %+v", head)
	}
}

func TestDefaultHeadIs24PacketsAnd4KiB(t *testing.T) {
	if got := packet.DefaultHeadLimits(); got != (packet.HeadLimits{Packets: 24, PayloadBytes: 4096}) {
		t.Errorf("got %+v", got)
	}
}
