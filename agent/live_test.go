package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"sonde.example/agent/capture"
	"sonde.example/agent/capture/capturetest"
	"sonde.example/agent/spool"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/telemetry"
)

// ledger is a spool that reads what it is given.
type ledger struct {
	spool.Spool
	t testing.TB

	mu      sync.Mutex // guards what follows
	batches []*ingestv1.Batch
}

func (l *ledger) Append(ctx context.Context, lane uint32, packets int, payload ...[]byte) (uint64, error) {
	b := new(ingestv1.Batch)
	if err := proto.Unmarshal(slices.Concat(payload...), b); err != nil {
		l.t.Error(err)
	}
	l.mu.Lock()
	l.batches = append(l.batches, b)
	l.mu.Unlock()
	return l.Spool.Append(ctx, lane, packets, payload...)
}

// story is what the batches tell of a session.
type story struct {
	point   string
	packets int // that came
	counts  *flowv1.Counts
}

// sessions returns what there is of each session, by number, and the packets and the batches.
func (l *ledger) sessions() (sessions map[uint64]*story, batches []*ingestv1.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sessions = map[uint64]*story{}
	for _, b := range l.batches {
		for _, u := range b.GetSessions() {
			s := sessions[u.GetNumber()]
			if s == nil {
				s = &story{point: b.GetInterfaces()[u.GetInterfaceIndex()].GetCapturePoint()}
				sessions[u.GetNumber()] = s
			}
			s.counts = u.GetCounts()
		}
		for _, index := range b.GetSessionIndex() {
			sessions[b.GetSessions()[index].GetNumber()].packets++
		}
	}
	return sessions, slices.Clone(l.batches)
}

func (l *ledger) only(t *testing.T) *story {
	t.Helper()
	sessions, _ := l.sessions()
	if len(sessions) != 1 {
		t.Fatalf("%d sessions, want one", len(sessions))
	}
	for _, s := range sessions {
		return s
	}
	return nil
}

// stand is a live pump on devices in memory, with what an agent has around it.
type stand struct {
	*Agent
	t       *testing.T
	devices *capturetest.Live
	out     *ledger
	stop    func()
}

// newStand starts one; the settings are those of the defaults with the given points.
func newStand(t *testing.T, set func(*capturetest.Live) capture.Live, points ...string) *stand {
	devices := capturetest.NewLive(map[string]packet.LinkType{"eth0": packet.LinkEthernet, "eth1": packet.LinkEthernet, "tun0": packet.LinkRaw})
	c := DefaultConfig()
	c.Captures = points
	s := &stand{t: t, devices: devices, out: &ledger{Spool: spool.NewMemory(spool.Options{Epoch: 1, Lanes: 1}), t: t}}
	s.Agent = &Agent{config: c, epoch: 1, log: slog.New(slog.DiscardHandler), books: newBooks(1, nil), spool: s.out, ready: telemetry.NewReady()}
	flags, err := settingsOfFlags(&c)
	if err != nil {
		t.Fatal(err)
	}
	s.flags = flags
	s.running.Store(flags)
	s.pump = newPump(s.Agent, 0)
	s.live = newLivePump(func() (capture.Live, error) {
		if set != nil {
			return set(devices), nil
		}
		return devices, nil
	})
	s.live.pump = s.pump
	s.guard.exclude = s.live.exclude
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.live.run(ctx, t.Context()) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for i, lane := range s.Ledger().Lanes {
			if lane.Residual() != 0 {
				t.Errorf("lane %d: residual %d: %v", i, lane.Residual(), lane.Counters)
			}
		}
	})
	t.Cleanup(s.stop)
	if err := s.enforce(t.Context(), flags); err != nil {
		t.Fatal(err)
	}
	return s
}

// set changes the settings in force.
func (s *stand) set(change func(*settings)) error {
	next := *s.running.Load()
	next.programs = map[packet.LinkType]filter.Program{}
	change(&next)
	return s.enforce(s.t.Context(), &next)
}

func udpFrame(port uint16) []byte {
	return packettest.Ethernet(0x0800, packettest.IPv4("10.0.0.1", "10.0.0.2", 17, packettest.UDP(port, 53, []byte("question"))))
}

func TestLiveTimePassesWithoutPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil, "afpacket:eth0")
		s.devices.Send("eth0", udpFrame(1))
		time.Sleep(59 * time.Second)
		if got := s.out.only(t); got.packets != 1 || got.counts.GetEnded() {
			t.Errorf("after 59 s: %+v", got)
		}
		time.Sleep(3 * time.Second)
		if got := s.out.only(t); got.counts.GetEndReason() != flowv1.EndReason_END_REASON_IDLE {
			t.Errorf("after 62 s: %+v", got)
		}
		s.stop()
	})
}

func TestLivePacketsInTheRingAreNotOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil, "afpacket:eth0", "afpacket:eth1")
		time.Sleep(950 * time.Millisecond) // the table looks at whole seconds
		begin := time.Now()
		s.devices.SendAt("eth0", udpFrame(1), begin, capture.Inbound)
		time.Sleep(60*time.Second + 250*time.Millisecond)
		s.devices.SendAt("eth0", udpFrame(1), begin.Add(59900*time.Millisecond), capture.Inbound) // 350 ms in a ring
		time.Sleep(time.Second)
		if got := s.out.only(t); got.packets != 2 || got.counts.GetEnded() {
			t.Errorf("got %+v", got)
		}
		s.stop()
	})
}

func TestLiveTimeWaitsForABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil, "afpacket:eth0", "afpacket:eth1")
		begin := time.Now()
		s.devices.SendAt("eth0", udpFrame(1), begin, capture.Inbound)
		time.Sleep(58 * time.Second)
		for time.Since(begin) < 63*time.Second { // the rings are read five seconds late
			s.devices.SendAt("eth1", udpFrame(2), time.Now().Add(-5*time.Second), capture.Inbound)
			time.Sleep(50 * time.Millisecond)
		}
		s.devices.SendAt("eth0", udpFrame(1), begin.Add(59*time.Second), capture.Inbound)
		time.Sleep(time.Second)
		sessions, _ := s.out.sessions()
		if len(sessions) != 2 {
			t.Errorf("%d sessions, want one at each point", len(sessions))
		}
		s.stop()
	})
}

// slow is a set that supplies nothing until it is let.
type slow struct {
	*capturetest.Live
	held atomic.Bool
}

func (s *slow) ReadPacket(ctx context.Context) ([]byte, capture.Info, error) {
	if s.held.Load() {
		<-ctx.Done()
		return nil, capture.Info{}, ctx.Err()
	}
	return s.Live.ReadPacket(ctx)
}

func TestLivePointsHaveSessionsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := new(slow)
		s := newStand(t, func(devices *capturetest.Live) capture.Live { set.Live = devices; return set }, "afpacket:eth0", "afpacket:eth1")
		for range 3 {
			s.devices.Send("eth0", udpFrame(1))
			s.devices.Send("eth1", udpFrame(1))
			time.Sleep(time.Second)
		}
		// What lies in the ring of a point that goes still belongs to its session.
		set.held.Store(true)
		time.Sleep(time.Second)
		s.devices.Send("eth1", udpFrame(1))
		if err := s.set(func(n *settings) { n.points = []string{"afpacket:eth0"} }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lingerFor - 2*tickEvery)
		set.held.Store(false)
		if s.devices.Send("eth1", udpFrame(1)) {
			t.Error("a point that is gone takes packets")
		}
		time.Sleep(2 * time.Second)
		sessions, _ := s.out.sessions()
		var got []string
		for _, session := range sessions {
			got = append(got, strings.Join([]string{session.point, session.counts.GetEndReason().String()}, " "))
			if want := map[string]int{"afpacket:eth0": 3, "afpacket:eth1": 4}[session.point]; session.packets != want {
				t.Errorf("%s has %d packets, want %d", session.point, session.packets, want)
			}
		}
		slices.Sort(got)
		if want := []string{"afpacket:eth0 END_REASON_UNSPECIFIED", "afpacket:eth1 END_REASON_CAPTURE_END"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		time.Sleep(2 * time.Minute)
		if err := s.live.do(func() error {
			if len(s.live.points) != 1 || len(s.live.numbers) != 1 {
				t.Errorf("%d points and %d rings are known", len(s.live.points), len(s.live.numbers))
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		s.stop()
	})
}

func TestLiveSessionsOutliveAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil, "afpacket:eth0")
		frame := udpFrame(1)
		for i, change := range []func(*settings){
			func(n *settings) { n.snapLength, n.revision = 48, 1 },
			func(n *settings) {
				n.snapLength, n.ports, n.revision = 0, &flowv1.TunnelPorts{Vxlan: []uint32{8472}}, 2
			},
			func(n *settings) { n.limits.Packets, n.revision = 1, 3 },
			func(n *settings) { n.ports, n.revision = &flowv1.TunnelPorts{}, 4 },
		} {
			s.devices.Send("eth0", frame)
			time.Sleep(time.Second)
			if err := s.set(change); err != nil {
				t.Fatalf("change %d: %v", i, err)
			}
			s.devices.Send("eth0", frame)
			time.Sleep(time.Second)
		}
		s.stop()
		if got := s.out.only(t); got.packets != 8 || got.counts.GetForwardPackets() != 8 {
			t.Errorf("got %+v", got)
		}
		_, batches := s.out.sessions()
		var ports []string
		var captured []uint32
		for _, b := range batches {
			for i := range b.GetSessionIndex() {
				through := b.GetInterfaces()[0]
				if len(b.GetInterfaceIndexes()) > 0 {
					through = b.GetInterfaces()[b.GetInterfaceIndexes()[i]]
				}
				told := through.GetTunnelPorts()
				if told == nil {
					t.Fatal("the ports are not told")
				}
				ports = append(ports, fmt.Sprint(told.GetVxlan(), len(told.GetGeneve())))
				captured = append(captured, b.GetCaptured()[i])
			}
		}
		if want := []string{"[4789] 1", "[4789] 1", "[4789] 1", "[8472] 0", "[8472] 0", "[8472] 0", "[8472] 0", "[] 0"}; !slices.Equal(ports, want) {
			t.Errorf("tunnel ports of the packets\n%q, want\n%q", ports, want)
		}
		whole := uint32(len(frame))
		if want := []uint32{whole, 48, 48, whole, whole, whole, whole, whole}; !slices.Equal(captured, want) {
			t.Errorf("bytes of the packets %d, want %d", captured, want)
		}
		if last := batches[len(batches)-1]; last.GetConfigRevision() != 4 || batches[0].GetConfigRevision() != 0 {
			t.Errorf("revisions from %d to %d", batches[0].GetConfigRevision(), last.GetConfigRevision())
		}
	})
}

func TestLiveRefusesWithoutChangingAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil, "afpacket:eth0")
		s.devices.Send("eth0", udpFrame(1))
		for field, change := range map[string]func(*settings){
			config.FieldDevice: func(n *settings) { n.points, n.limits.Packets = []string{"afpacket:eth0", "afpacket:none"}, 1 },
			config.FieldFilter: func(n *settings) { n.filter, n.limits.Packets = "port", 1 },
		} {
			if err := s.set(change); config.FieldOf(err) != field {
				t.Errorf("%s: got %v", field, err)
			}
		}
		for range 3 {
			s.devices.Send("eth0", udpFrame(1))
		}
		time.Sleep(time.Second)
		if got := s.out.only(t); got.packets != 4 || s.running.Load() != s.flags || !slices.Equal(s.devices.Points(), []string{"afpacket:eth0"}) {
			t.Errorf("got %+v, points %q", got, s.devices.Points())
		}
		s.stop()
	})
}

// counting is a set that counts what a kernel would have.
type counting struct {
	*capturetest.Live
	stats capture.Stats
}

func (c *counting) Stats() (capture.Stats, error) {
	stats, err := c.Live.Stats()
	stats.Dup, stats.Filtered, stats.Drops = c.stats.Dup, c.stats.Filtered, c.stats.Drops
	return stats, err
}

func TestLiveLedgerHasWhatTheKernelTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := &counting{stats: capture.Stats{Dup: 3, Filtered: 4, Drops: 5}}
		s := newStand(t, func(devices *capturetest.Live) capture.Live { set.Live = devices; return set }, "afpacket:eth0")
		s.devices.Send("eth0", udpFrame(1))
		time.Sleep(10 * time.Second) // counters go up without a packet, too
		_, batches := s.out.sessions()
		c := batches[len(batches)-1].GetCounters()
		if c.GetSeen() != 8 || c.GetDup() != 3 || c.GetFiltered() != 4 || c.GetKernelDropped() != 5 || c.GetAccepted() != 1 {
			t.Errorf("got %v", c)
		}
		s.stop()
	})
}

func TestLiveTellsOfDevicesThatAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil, "afpacket:eth0", "afpacket:eth1")
		s.devices.SetDown("eth1", errors.New("network is down"))
		time.Sleep(time.Second)
		if got := s.ready.State().Waiting; got["capture afpacket:eth1"] != "network is down" || len(got) != 1 || len(s.waitingPoints()) != 1 {
			t.Errorf("waiting: %v", got)
		}
		s.devices.SetDown("eth1", nil)
		time.Sleep(time.Second)
		if !s.ready.State().OK() || len(s.waitingPoints()) != 0 {
			t.Errorf("still waiting: %v", s.ready.State())
		}
		s.stop()
	})
}
