package cli_test

import (
	"fmt"
	"iter"
	"testing"
	"time"

	"sonde.example/agent"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/record"
)

// The simulations run the whole way of the data in simulated time: the real agent, on a capture in which packets come when
// their time has come, streams over mTLS to a collector's real stages. Only the network, the model and the results' disk
// are made up; the last takes its time to commit. Now and then the collector is killed: what it has in hand is gone.
//
// Each holds that durable never lags behind by more than maxLag, kills included, that the spool loses nothing, that every
// session has one result with exact counts, and that the law leaves nothing over.

const (
	clientAddress, serverAddress = "10.0.0.1", "10.0.0.2"

	fin, syn, rst, ack = 0x01, 0x02, 0x04, 0x10 // TCP flags
)

// talk is a TCP connection.
type talk struct {
	port     uint16
	up, down uint32 // next sequence numbers
}

func (c *talk) client(flags uint8, payload []byte) []byte {
	segment := packettest.TCP(c.port, 443, flags, c.up, c.down, payload)
	c.up += uint32(len(payload)) + uint32(flags&fin) + uint32(flags&syn)/syn
	return packettest.Ethernet(0x0800, packettest.IPv4(clientAddress, serverAddress, 6, segment))
}

func (c *talk) server(flags uint8, payload []byte) []byte {
	segment := packettest.TCP(443, c.port, flags, c.down, c.up, payload)
	c.down += uint32(len(payload)) + uint32(flags&fin) + uint32(flags&syn)/syn
	return packettest.Ethernet(0x0800, packettest.IPv4(serverAddress, clientAddress, 6, segment))
}

// opening is the three segments that open the connection, from another initial sequence number each time.
func (c *talk) opening() [][]byte {
	c.up, c.down = c.up+1_000_000, c.down+1_000_000
	return [][]byte{c.client(syn, nil), c.server(syn|ack, nil), c.client(ack, nil)}
}

// question and answer are a UDP exchange. They keep the capture's time going, which only packets tell.
func question(port uint16) []byte {
	return packettest.Ethernet(0x0800, packettest.IPv4(clientAddress, serverAddress, 17, packettest.UDP(port, 5000, []byte("question"))))
}

func answer(port uint16) []byte {
	return packettest.Ethernet(0x0800, packettest.IPv4(serverAddress, clientAddress, 17, packettest.UDP(5000, port, []byte("answer"))))
}

// summary is what the results say of all sessions of a client port.
type summary struct {
	sessions, ended, continued int
	packets                    uint64
	reasons                    map[flowv1.EndReason]int
}

func (w *world) summary(protocol uint32, port uint16) summary {
	s := summary{reasons: map[flowv1.EndReason]int{}}
	for _, r := range w.vault.all() {
		if r.GetIpProtocol() != protocol || r.GetClient().GetPort() != uint32(port) {
			continue
		}
		s.sessions++
		s.packets += record.Packets(r)
		s.reasons[r.GetEndReason()]++
		if r.GetEnded() {
			s.ended++
		}
		if r.GetEvidence().GetContinued() {
			s.continued++
		}
	}
	return s
}

// expect compares what became of a TCP client port: so many packets, in sessions that ended for these reasons.
func (w *world) expect(port uint16, packets uint64, reasons map[flowv1.EndReason]int) {
	w.Helper()
	want := summary{packets: packets, reasons: reasons, continued: reasons[activeTimeout]}
	for _, n := range reasons {
		want.sessions += n
		want.ended += n
	}
	if got := w.summary(byTCP, port); fmt.Sprint(got) != fmt.Sprint(want) {
		w.Errorf("port %d: %+v, want %+v", port, got, want)
	}
}

// expectExchanges checks that each exchange of UDP is a session of its own.
func (w *world) expectExchanges(ports iter.Seq[uint16]) {
	w.Helper()
	for port := range ports {
		if s := w.summary(byUDP, port); s.sessions != 1 || s.packets != 2 || s.ended != 1 {
			w.Errorf("exchange of port %d: %+v", port, s)
		}
	}
}

const (
	byTCP, byUDP = 6, 17

	ended         = flowv1.EndReason_END_REASON_CAPTURE_END
	closed        = flowv1.EndReason_END_REASON_FIN
	reset         = flowv1.EndReason_END_REASON_RST
	superseded    = flowv1.EndReason_END_REASON_SUPERSEDED
	activeTimeout = flowv1.EndReason_END_REASON_ACTIVE_TIMEOUT

	activeMost = 30 * time.Minute // that a session lasts
)

type reasons = map[flowv1.EndReason]int

// TestSimulatedStreamBesideATrickle: a packet every 100 s in one session beside 1 MB/s in another, all of it sent, and a
// short session each second. The collector is killed at three moments of its deadline.
func TestSimulatedStreamBesideATrickle(t *testing.T) {
	const (
		length         = simulatedMinutes * time.Minute
		packets        = 112 // a second, of 8,900 bytes: as many bytes in fewer packets
		trickle        = 1000
		stream         = 1001
		exchanges      = 2000
		continuedTimes = int((length - 1) / activeMost)
	)
	var trickled, streamed uint64
	ports := func(yield func(uint16) bool) {
		for n := range uint16(length / time.Second) {
			if !yield(exchanges + n) {
				return
			}
		}
	}
	run(t, scenario{
		kills:  []time.Duration{length / 4, length/2 + 10790*time.Millisecond, length*3/4 + 9*time.Second},
		config: func(c *agent.Config) { c.HeadPackets = 0 },
		traffic: func(s *script) {
			slow, fast := &talk{port: trickle}, &talk{port: stream}
			payload := make([]byte, 8900)
			s.send(0, fast.opening()...)
			streamed = 3
			for port := range ports {
				if at := s.at; at%(100*time.Second) == 0 {
					s.send(0, slow.client(ack, []byte("still here")))
					trickled++
				}
				for range packets {
					s.send(0, fast.server(ack, payload))
					streamed++
				}
				s.send(0, question(port))
				s.send(20*time.Millisecond, answer(port))
				s.wait(980 * time.Millisecond)
			}
		},
		check: func(w *world) {
			why := reasons{ended: 1}
			if continuedTimes > 0 {
				why[activeTimeout] = continuedTimes
			}
			w.expect(trickle, trickled, why)
			w.expect(stream, streamed, why)
			w.expectExchanges(ports)
		},
	})
}

// TestSimulatedFinFinKillLateAck: both sides close, the collector dies, and the last acknowledgement comes late.
func TestSimulatedFinFinKillLateAck(t *testing.T) {
	const port, exchanges = 1000, 2000
	for name, killed := range map[string]time.Duration{
		"before the batch is sent":       3 * time.Millisecond,
		"before the result is committed": 200 * time.Millisecond,
		"before anybody has heard of it": 500 * time.Millisecond,
		"after it is durable":            900 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			run(t, scenario{
				kills: []time.Duration{10*time.Second + killed},
				traffic: func(s *script) {
					c := &talk{port: port}
					s.send(0, c.opening()...)
					s.send(time.Second, c.client(ack, []byte("request")), c.server(ack, []byte("response")))
					s.send(9*time.Second, c.client(fin|ack, nil), c.server(fin|ack, nil))
					s.send(1500*time.Millisecond, c.client(ack, nil))
					for n := range uint16(60) {
						s.send(time.Second, question(exchanges+n), answer(exchanges+n))
					}
				},
				check: func(w *world) { w.expect(port, 8, reasons{closed: 1}) },
			})
		})
	}
}

// TestSimulatedReusedFiveTuple: the same ports again and again, closed or not, beside what keeps time going, over several lanes.
// What tells the sessions apart is the agent's number.
func TestSimulatedReusedFiveTuple(t *testing.T) {
	const port, exchanges, rounds = 1000, 2000, 8
	run(t, scenario{
		kills:  []time.Duration{2500 * time.Millisecond, 30 * time.Second},
		config: func(c *agent.Config) { c.Lanes = 3 },
		traffic: func(s *script) {
			c := &talk{port: port}
			for n := range uint16(rounds) {
				s.send(0, c.opening()...)
				s.send(500*time.Millisecond, c.client(ack, []byte("request")), c.server(ack, []byte("response")))
				switch n % 4 {
				case 0, 1: // never closed: the next SYN supersedes it
				case 2:
					s.send(100*time.Millisecond, c.client(fin|ack, nil), c.server(fin|ack, nil), c.client(ack, nil))
				default:
					s.send(100*time.Millisecond, c.server(rst, nil))
				}
				s.send(time.Second, question(exchanges+n), answer(exchanges+n))
				s.wait(time.Duration(n) * time.Second)
			}
		},
		check: func(w *world) {
			w.expect(port, rounds*5+2*3+2*1, reasons{superseded: 4, closed: 2, reset: 2})
		},
	})
}

// TestSimulatedElephantEndsTwoHoursLater: heads are full at once, then only counts come, of many packets and of few.
func TestSimulatedElephantEndsTwoHoursLater(t *testing.T) {
	const elephant, tortoise = 1000, 1001
	var many, few uint64
	run(t, scenario{
		kills: []time.Duration{30*time.Minute + 3*time.Second, 65*time.Minute + 7*time.Second, 2 * time.Hour},
		traffic: func(s *script) {
			large, slow := &talk{port: elephant}, &talk{port: tortoise}
			send := func(after time.Duration, c *talk, n *uint64, frames ...[]byte) {
				s.send(after, frames...)
				*n += uint64(len(frames))
			}
			send(0, large, &many, large.opening()...)
			send(0, slow, &few, slow.opening()...)
			for range 30 {
				send(0, large, &many, large.server(ack, []byte("head")))
				send(0, slow, &few, slow.server(ack, []byte("head")))
			}
			for n := range 2 * 60 * 60 / 5 {
				for range 50 {
					send(0, large, &many, large.server(ack, []byte("tail")))
				}
				if n%20 == 0 {
					send(0, slow, &few, slow.server(ack, []byte("tail")))
				}
				s.wait(5 * time.Second)
			}
			for c, n := range map[*talk]*uint64{large: &many, slow: &few} {
				send(0, c, n, c.server(fin|ack, nil), c.client(fin|ack, nil), c.server(ack, nil))
			}
			s.wait(time.Minute)
		},
		check: func(w *world) {
			w.expect(elephant, many, reasons{activeTimeout: 4, closed: 1})
			w.expect(tortoise, few, reasons{activeTimeout: 4, closed: 1})
		},
	})
}

// TestSimulatedAcksThatComeLate: for a while the agent hears nothing, and its spool lets go of what is under way. Of that
// the collector has taken what the window let through, and nothing counts as dropped that was applied.
func TestSimulatedAcksThatComeLate(t *testing.T) {
	const stream = 1000
	run(t, scenario{
		mute: [2]time.Duration{10 * time.Second, 22 * time.Second}, lossy: true,
		config: func(c *agent.Config) { c.HeadPackets, c.Spool = 0, "mem:?bytes=8MiB" },
		traffic: func(s *script) {
			fast := &talk{port: stream}
			s.send(0, fast.opening()...)
			payload := make([]byte, 8900)
			for range 40 * 4 {
				for range 64 {
					s.send(0, fast.server(ack, payload))
				}
				s.wait(time.Second / 4)
			}
		},
		check: func(w *world) { w.expect(stream, 3+40*4*64, reasons{ended: 1}) },
	})
}
