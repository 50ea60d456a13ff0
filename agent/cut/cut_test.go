package cut_test

import (
	"slices"
	"strings"
	"testing"

	"sonde.example/agent/cut"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/packettest"
)

const (
	fin = packet.FIN
	syn = packet.SYN
	rst = packet.RST
	ack = packet.ACK
)

// TCP between a client and a server.
func out(flags uint8, seq, ackNumber uint32, payload string) []byte {
	return packettest.IPv4("10.0.0.2", "10.0.0.1", 6, packettest.TCP(5000, 80, flags, seq, ackNumber, []byte(payload)))
}

func in(flags uint8, seq, ackNumber uint32, payload string) []byte {
	return packettest.IPv4("10.0.0.1", "10.0.0.2", 6, packettest.TCP(80, 5000, flags, seq, ackNumber, []byte(payload)))
}

func udp(from, to string, fromPort, toPort uint16) []byte {
	return packettest.IPv4(from, to, 17, packettest.UDP(fromPort, toPort, []byte("x")))
}

func ping() []byte { return packettest.IPv4("10.0.0.1", "10.0.0.2", 1, []byte{8, 0, 0, 0, 0, 1, 0, 1}) }

func TestTableOpensAndEndsSessions(t *testing.T) {
	tests := []struct {
		name string
		run  func(r *run)
		want string
	}{
		{"fin from both, ended by later traffic", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(0.1, in(syn|ack, 9, 2, ""))
			r.at(0.2, out(fin|ack, 2, 10, ""))
			r.at(0.3, in(fin|ack, 10, 3, ""))
			r.at(0.4, out(ack, 3, 11, ""))
			r.at(4, udp("10.1.0.1", "10.1.0.2", 1, 2))
		}, "3+2 FIN\n1+0 CAPTURE_END\n"},
		{"fin from one side only", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(1, out(fin|ack, 2, 10, ""))
			r.at(2, out(fin|ack, 2, 10, ""))
			r.at(50, in(ack, 10, 3, "late"))
		}, "3+1 CAPTURE_END\n"},
		{"data within two seconds of fin belongs", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(1, out(fin|ack, 2, 10, ""))
			r.at(1, in(fin|ack, 10, 3, ""))
			r.at(3, in(ack, 10, 3, "again"))
		}, "2+2 FIN\n"},
		{"data after two seconds opens another", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(1, out(fin|ack, 2, 10, ""))
			r.at(1, in(fin|ack, 10, 3, ""))
			r.at(3.1, in(ack, 10, 3, "again"))
		}, "2+1 FIN\n1+0 CAPTURE_END midstream\n"},
		{"a bare last ack is no session", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(1, out(fin|ack, 2, 10, ""))
			r.at(1, in(fin|ack, 10, 3, ""))
			r.at(60, out(ack, 3, 11, ""))
			r.at(100, out(rst, 3, 11, ""))
		}, "4+1 FIN\n"},
		{"rst, and another rst at once", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(0.1, in(rst|ack, 0, 2, ""))
			r.at(0.2, in(rst|ack, 0, 2, ""))
		}, "1+2 RST\n"},
		{"syn with the same number after rst is a repetition", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(0.1, in(rst|ack, 0, 2, ""))
			r.at(0.5, out(syn, 1, 0, ""))
		}, "2+1 RST\n"},
		{"syn with another number after rst", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(0.1, in(rst|ack, 0, 2, ""))
			r.at(0.5, out(syn, 7, 0, ""))
		}, "1+1 RST\n1+0 CAPTURE_END\n"},
		{"repeated syn", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(1, out(syn, 1, 0, ""))
			r.at(3, out(syn, 1, 0, ""))
			r.at(3.1, in(syn|ack, 9, 2, ""))
		}, "3+1 CAPTURE_END\n"},
		{"syn with another number supersedes", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(0.1, in(syn|ack, 9, 2, ""))
			r.at(0.2, out(ack, 2, 10, ""))
			r.at(1, out(syn, 77, 0, ""))
			r.at(1.1, in(syn|ack, 99, 78, ""))
		}, "2+1 SUPERSEDED\n1+1 CAPTURE_END\n"},
		{"syn from the other side supersedes an acknowledged session", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(0.2, out(ack, 2, 10, ""))
			r.at(1, in(syn, 77, 0, ""))
		}, "2+0 SUPERSEDED\n1+0 CAPTURE_END\n"},
		{"simultaneous open is one session", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(0.1, in(syn, 9, 0, ""))
			r.at(0.2, out(syn|ack, 1, 10, ""))
			r.at(0.3, in(syn|ack, 9, 2, ""))
		}, "2+2 CAPTURE_END\n"},
		{"syn after midstream", func(r *run) {
			r.at(0, out(ack, 100, 1, "data"))
			r.at(1, out(syn, 1, 0, ""))
		}, "1+0 SUPERSEDED midstream\n1+0 CAPTURE_END\n"},
		{"syn+ack first names the client, and its syn is late", func(r *run) {
			r.at(0, in(syn|ack, 9, 2, ""))
			r.at(0.1, out(syn, 1, 0, ""))
			r.at(0.2, out(ack, 2, 10, ""))
		}, "2+1 CAPTURE_END\n"},
		{"midstream begins with the first sender", func(r *run) {
			r.at(0, in(ack, 9, 2, "data"))
			r.at(0.1, out(ack, 2, 10, ""))
		}, "1+1 CAPTURE_END midstream\n"},
		{"tcp idle on arrival", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			r.at(120, out(ack, 2, 0, ""))
			r.at(240.5, out(ack, 2, 0, ""))
		}, "2+0 IDLE\n1+0 CAPTURE_END midstream\n"},
		{"udp idle on arrival", func(r *run) {
			r.at(0, udp("10.0.0.1", "10.0.0.2", 1, 2))
			r.at(60, udp("10.0.0.2", "10.0.0.1", 2, 1))
			r.at(120.5, udp("10.0.0.1", "10.0.0.2", 1, 2))
		}, "1+1 IDLE\n1+0 CAPTURE_END\n"},
		{"icmp idle on arrival", func(r *run) {
			r.at(0, ping())
			r.at(30, ping())
			r.at(60.5, ping())
		}, "2+0 IDLE\n1+0 CAPTURE_END\n"},
		{"idle by sweep", func(r *run) {
			r.at(0, udp("10.0.0.1", "10.0.0.2", 1, 2))
			r.at(0, ping())
			r.at(40, udp("10.9.0.1", "10.9.0.2", 1, 2))
			r.at(62, udp("10.9.0.1", "10.9.0.2", 1, 2))
			if got := r.text(); got != "1+0 IDLE\n1+0 IDLE\n2+0 UNSPECIFIED\n" {
				r.t.Errorf("after the sweep: %q", got)
			}
		}, "1+0 IDLE\n1+0 IDLE\n2+0 CAPTURE_END\n"},
		{"active time-out, direction kept", func(r *run) {
			r.at(0, out(syn, 1, 0, ""))
			for s := 60.0; s < 1830; s += 60 {
				r.at(s, in(ack, 9, 2, "x"))
			}
		}, "1+29 ACTIVE_TIMEOUT\n0+1 CAPTURE_END midstream continued\n"},
		{"active time-out only if it goes on", func(r *run) {
			r.at(0, udp("10.0.0.1", "10.0.0.2", 1, 2))
			for s := 50.0; s < 1800; s += 50 {
				r.at(s, udp("10.0.0.1", "10.0.0.2", 1, 2))
			}
			r.at(1900, ping())
		}, "36+0 IDLE\n1+0 CAPTURE_END\n"},
		{"clock runs back", func(r *run) {
			r.at(100, udp("10.0.0.1", "10.0.0.2", 1, 2))
			r.at(50, udp("10.0.0.1", "10.0.0.2", 1, 2))
			r.at(0, udp("10.0.0.1", "10.0.0.2", 1, 2))
		}, "3+0 CAPTURE_END\n"},
		{"clock set back for good: time goes on", func(r *run) {
			r.at(10000, udp("10.0.0.1", "10.0.0.2", 1, 2))
			for i := range 100 {
				r.at(float64(i), ping())
			}
			r.at(200, ping())
		}, "1+0 IDLE\n100+0 IDLE\n1+0 CAPTURE_END\n"},
		{"clock leaps ahead", func(r *run) {
			r.at(0, udp("10.0.0.1", "10.0.0.2", 1, 2))
			r.at(0, out(syn, 1, 0, ""))
			r.at(1e9, ping())
			r.at(1e9+100, ping())
		}, "1+0 IDLE\n1+0 IDLE\n1+0 IDLE\n1+0 CAPTURE_END\n"},
		{"equal endpoints", func(r *run) {
			r.at(0, udp("10.0.0.1", "10.0.0.1", 5, 5))
			r.at(1, udp("10.0.0.1", "10.0.0.1", 5, 5))
		}, "2+0 CAPTURE_END\n"},
		{"icmp errors are sessions of their own", func(r *run) {
			r.at(0, udp("10.0.0.1", "10.0.0.2", 7, 8))
			r.at(0.1, packettest.IPv4("10.0.0.2", "10.0.0.1", 1,
				append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, udp("10.0.0.1", "10.0.0.2", 7, 8)...)))
		}, "1+0 CAPTURE_END\n1+0 CAPTURE_END\n"},
		{"fragments", func(r *run) {
			whole := packettest.UDP(7, 8, make([]byte, 64))
			r.at(0, packettest.IPv4Fragment("10.0.0.1", "10.0.0.2", 17, 5, 0, true, whole[:32]))
			r.at(0, packettest.IPv4Fragment("10.0.0.1", "10.0.0.2", 17, 5, 32, false, whole[32:]))
			r.at(1, packettest.IPv4Fragment("10.0.0.2", "10.0.0.1", 17, 5, 32, false, whole[32:])) // another one's
			r.at(16, packettest.IPv4Fragment("10.0.0.1", "10.0.0.2", 17, 5, 32, false, whole[32:]))
			if n := r.lanes[0].Counters.GetFragUnmatched(); n != 2 {
				r.t.Errorf("%d fragments without a first one, want 2", n)
			}
		}, "2+0 CAPTURE_END\n"},
		{"fragments in reversed order", func(r *run) {
			whole := packettest.UDP(7, 8, make([]byte, 64))
			r.at(0, packettest.IPv4Fragment("10.0.0.1", "10.0.0.2", 17, 5, 32, false, whole[32:]))
			r.at(0, packettest.IPv4Fragment("10.0.0.1", "10.0.0.2", 17, 5, 0, true, whole[:32]))
			if n := r.lanes[0].Counters.GetFragUnmatched(); n != 1 {
				r.t.Errorf("%d fragments without a first one, want 1", n)
			}
		}, "1+0 CAPTURE_END\n"},
		{"no session", func(r *run) {
			r.frame(year, packettest.Ethernet(0x0806, make([]byte, 28)))
			r.frame(year, packettest.Ethernet(0x0800, []byte{0x45, 0}))
			r.frame(year, nil)
			if c := r.lanes[0].Counters; c.GetNonIp() != 1 || c.GetUndecodable() != 2 || c.GetSeen() != 3 {
				r.t.Errorf("counters %v", c)
			}
		}, ""},
		{"agent stopped", func(r *run) {
			r.at(0, ping())
			for r.table.End(flowv1.EndReason_END_REASON_AGENT_STOPPED) {
			}
		}, "1+0 AGENT_STOPPED\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, nil)
			test.run(r)
			if got := r.finish(); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

func TestTableEvictsTheOldestAndSaysWhatGoesOn(t *testing.T) {
	r := start(t, func(o *cut.Options) { o.Records = cut.NewRecords(16 * cut.BytesPerSession) })
	for i := range 16 {
		r.at(float64(i), udp("10.0.0.1", "10.0.0.2", 1, uint16(100+i)))
	}
	r.at(20, udp("10.0.0.1", "10.0.0.2", 1, 100)) // the first one is the youngest now
	r.at(21, udp("10.0.0.1", "10.0.0.2", 1, 200)) // evicts 101
	r.at(22, udp("10.0.0.1", "10.0.0.2", 1, 101)) // goes on, evicts 102
	if n := r.table.Sessions(); n != 16 {
		t.Errorf("%d sessions in a table for 16", n)
	}
	want := "2+0 CAPTURE_END\n" + strings.Repeat("1+0 EVICTED\n", 2) + strings.Repeat("1+0 CAPTURE_END\n", 14) + "1+0 CAPTURE_END continued\n"
	if got := r.finish(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestTableTellsCountsOfTailsEveryFiveSeconds(t *testing.T) {
	r := start(t, func(o *cut.Options) { o.Limits.Packets = 2 })
	for ms := range 20_000 {
		r.at(float64(ms)/1000, in(ack, uint32(ms), 2, "x"))
	}
	s := r.order[0]
	if s.packets != 2 || s.told < 3 || s.told > 5 {
		t.Errorf("%d packets, told %d times in 20 s", s.packets, s.told)
	}
	told := s.told
	r.at(20, in(ack, 1, 2, "x"))
	r.at(30, ping()) // silence: what is untold is told by the sweep
	if s.told != told+1 || s.ForwardPackets != 20_001 {
		t.Errorf("after silence told %d times, %d packets", s.told-told, s.ForwardPackets)
	}
	r.at(40, ping())
	if s.told != told+1 {
		t.Error("told again without a change")
	}
	r.finish()
}

func TestTableCutsHeads(t *testing.T) {
	data := strings.Repeat("d", 1000)
	tests := []struct {
		name           string
		packets, bytes uint32
		wantPackets    int
		wantBytes      int
		wantCut        int // packets with the flag
	}{
		{"default", 24, 4096, 24, 24*54 + 4096, 20},
		{"packets only", 5, 1 << 20, 5, 5 * 1054, 0},
		{"no payload", 3, 0, 3, 3 * 54, 3},
		{"everything", 0, 1, 30, 30 * 1054, 0},
		{"every header", 0, 0, 30, 30 * 54, 30},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, func(o *cut.Options) { o.Limits = packet.HeadLimits{Packets: test.packets, PayloadBytes: test.bytes} })
			for i := range 30 {
				r.at(float64(i)/1000, in(ack, uint32(i), 2, data))
			}
			s, cutAway := r.order[0], 0
			for _, flags := range s.flags {
				if flags&uint32(flowv1.PacketFlag_PACKET_FLAG_CUT) != 0 {
					cutAway++
				}
			}
			if s.packets != test.wantPackets || len(s.bytes) != test.wantBytes || cutAway != test.wantCut {
				t.Errorf("%d packets, %d bytes, %d cut", s.packets, len(s.bytes), cutAway)
			}
			r.finish()
		})
	}
}

func TestTableFlagsDirectionAndSnap(t *testing.T) {
	r := start(t, nil)
	r.at(0, out(syn, 1, 0, ""))
	frame := packettest.Ethernet(0x0800, in(syn|ack, 9, 2, ""))
	r.table.Packet(&cut.Packet{Data: frame, Time: year, Original: len(frame) + 5, Link: packet.LinkEthernet})
	padded := append(packettest.Ethernet(0x0800, out(ack, 2, 10, "")), 0, 0, 0, 0, 0, 0)
	r.frame(year, padded)
	want := []uint32{0, 3, 0}
	if s := r.order[0]; !slices.Equal(s.flags, want) || s.ReverseBytes != uint64(len(frame)+5) {
		t.Errorf("flags %v, want %v; %d bytes", s.flags, want, s.ReverseBytes)
	}
	r.finish()
}

func TestTableStopsHeadsWhenTheCollectorHasEnough(t *testing.T) {
	r := start(t, nil)
	for i := range 10 {
		r.at(0, udp("10.0.0.1", "10.0.0.2", 1, uint16(i+1)))
	}
	r.table.Enough(0, r.order[3].Number, r.order[7].Number, 12345)
	r.table.Enough(1, r.order[0].Number)
	for i := range 10 {
		r.at(1, udp("10.0.0.1", "10.0.0.2", 1, uint16(i+1)))
	}
	for i, s := range r.order {
		want := 2
		if i == 3 || i == 7 {
			want = 1
		}
		if s.packets != want {
			t.Errorf("session %d: %d packets, want %d", i, s.packets, want)
		}
	}
	if got := r.lanes[0].Counters.GetCut(); got != 2 {
		t.Errorf("cut %d, want 2", got)
	}
	r.finish()
}

func TestTableKeepsSessionsOnTheirLanes(t *testing.T) {
	r := start(t, nil)
	r.lanes = cut.NewLanes(4)
	r.table = cut.New(cut.Options{Walker: packet.NewWalker(packet.DefaultOptions()), Limits: packet.DefaultHeadLimits(), Records: cut.NewRecords(1 << 20)}, r.lanes, r.recorder)
	for i := range 400 {
		r.at(float64(i), udp("10.0.0.1", "10.0.0.2", uint16(i%40), 2))
		r.at(float64(i), udp("10.0.0.2", "10.0.0.1", 2, uint16(i%40)))
	}
	r.finish()
	for i := range r.lanes {
		if r.lanes[i].Counters.GetAccepted() == 0 {
			t.Errorf("lane %d had nothing", i)
		}
	}
	numbers := map[uint32]uint64{}
	for _, s := range r.order {
		if s.ReversePackets != 10 || s.Number <= numbers[s.Lane] {
			t.Errorf("session %d of lane %d: %d packets back, after number %d", s.Number, s.Lane, s.ReversePackets, numbers[s.Lane])
		}
		numbers[s.Lane] = s.Number
	}
}

func TestTableBoundsCallsOfTheSink(t *testing.T) {
	r := start(t, nil)
	for i := range 3000 {
		r.at(0, udp("10.0.0.1", "10.0.0.2", uint16(i), 2))
	}
	r.calls = 0
	frame := packettest.Ethernet(0x0800, ping())
	r.table.Packet(&cut.Packet{Data: frame, Time: year + 1000e9, Original: len(frame), Link: packet.LinkEthernet})
	calls := 0
	for more := true; more; calls++ {
		r.calls = 0
		if more = r.table.Sweep(); r.calls > 256 {
			t.Fatalf("sink called %d times in one sweep", r.calls)
		}
	}
	if calls < 3000/256 || r.table.Sessions() != 1 {
		t.Errorf("%d sweeps, %d sessions left", calls, r.table.Sessions())
	}
	r.finish()
}
