package agent_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"sonde.example/agent"
	"sonde.example/agent/capture"
	"sonde.example/agent/capture/afpacket"
	"sonde.example/agent/uplink/uplinktest"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/testenv"
	"sonde.example/internal/testenv/netns"
)

const (
	floodRate = 20_000
	floodPort = 4000
)

// site is an agent on real devices: a namespace with device v0, whose other end v1 lies in the namespace outside.
type site struct {
	*world
	inside, outside *netns.Namespace
	agent           *agent.Agent
	stop            func()
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{inside: netns.New(t), outside: netns.New(t)}
	netns.Veth(s.inside, "v0", s.outside, "v1")
	s.world = newWorld(t)
	s.config.Spool = "mem:?bytes=256MiB"
	return s
}

// start runs the agent in the namespace.
func (s *site) start() {
	t := s.t
	t.Helper()
	enter := func() error {
		runtime.LockOSThread() // and never unlocked: the rings of later changes are made here, too
		fd, err := unix.Open(filepath.Join("/run/netns", s.inside.Name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Setns(fd, unix.CLONE_NEWNET)
	}
	s.inside.Do(func() {
		a, err := agent.Open(t.Context(), s.config, testenv.Log(t), prometheus.NewPedanticRegistry(), agent.Options{
			Dialer: s.dial, Store: s.store,
			OpenLive: func() (capture.Live, error) {
				if err := enter(); err != nil {
					return nil, fmt.Errorf("enter namespace: %w", err)
				}
				return afpacket.Open(afpacket.Options{RingBytes: 16 << 20})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.agent = a
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.agent.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("agent ended with %v", err)
		}
	})
	t.Cleanup(s.stop)
}

// must publishes a configuration and waits until it is in force.
func (s *site) must(c *configv1.AgentConfig) {
	s.t.Helper()
	c.HeadPackets = proto.Uint32(0)
	if status := s.status(s.publish(c)); status.GetState() != applied {
		s.t.Fatalf("status %v", status)
	}
}

// flood sends numbered packets from outside until end is called, which returns how many there were.
func (s *site) flood() (sent *atomic.Int64, end func() int) {
	sender := s.outside.Sender("v1")
	enough, done := make(chan struct{}), make(chan int, 1)
	sent = new(atomic.Int64)
	udp := packettest.IPv4("10.0.0.1", "10.0.0.2", 17, packettest.UDP(floodPort, 53, make([]byte, 60)))
	frame := packettest.Ethernet(0x0800, udp)
	copy(frame, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) // to the bridge and its port alike
	go func() {
		n, err := sender.SendPaced(floodRate, 0, enough, func(number int) []byte {
			sent.Store(int64(number))
			return netns.Number(frame, uint64(number))
		})
		if err != nil {
			s.t.Error(err)
		}
		done <- n
	}()
	return sent, func() int { close(enough); return <-done }
}

// passed waits until so many more packets were sent.
func passed(t *testing.T, sent *atomic.Int64, packets int64) {
	t.Helper()
	for until := sent.Load() + packets; sent.Load() < until; {
		select {
		case <-t.Context().Done():
			t.Fatal("packets do not pass")
		case <-time.After(time.Millisecond):
		}
	}
}

// numbers returns how often each number is in batches that collectors applied.
func numbers(lanes ...uplinktest.Lane) map[uint64]int {
	times := map[uint64]int{}
	for _, lane := range lanes {
		for _, b := range lane.Batches {
			offset := 0
			for _, length := range b.GetCaptured() {
				times[netns.NumberOf(b.GetData()[offset:offset+int(length)])]++
				offset += int(length)
			}
		}
	}
	return times
}

// exact checks that each of the numbers sent came once, and the ledger.
func (s *site) exact(sent int, collectors ...*uplinktest.Collector) {
	s.t.Helper()
	var lanes []uplinktest.Lane
	for _, c := range collectors {
		lane := c.Lane(s.t, 7, 0, now)
		if len(lane.Wrong) > 0 {
			s.t.Errorf("agent broke the contract: %q", lane.Wrong)
		}
		lanes = append(lanes, lane)
	}
	times := numbers(lanes...)
	lost, doubled := 0, 0
	for number := range sent {
		switch n := times[uint64(number)]; {
		case n == 0:
			lost++
		case n > 1:
			doubled++
		}
	}
	ledger := s.agent.Ledger()
	c := ledger.Lanes[0].Counters
	s.t.Logf("%d packets, %d lost, %d doubled; %v", sent, lost, doubled, c)
	if lost > 0 || doubled > 0 || len(times) != sent {
		s.t.Errorf("of %d packets %d are lost and %d doubled; %d numbers came", sent, lost, doubled, len(times))
	}
	if ledger.Lanes[0].Residual() != 0 || c.GetKernelDropped() != 0 || c.GetAccepted() != uint64(sent) {
		s.t.Errorf("ledger %v", c)
	}
}

func TestLiveChangesLoseNothing(t *testing.T) {
	for _, test := range []struct {
		name    string
		bridge  bool
		changes []*configv1.AgentConfig
	}{
		{"filter", false, []*configv1.AgentConfig{
			{CapturePoints: []string{"afpacket:v0"}, Filter: "udp port 4000"},
			{CapturePoints: []string{"afpacket:v0"}, Filter: "ip and not tcp"},
		}},
		{"device", true, []*configv1.AgentConfig{
			{CapturePoints: []string{"afpacket:v0"}, Filter: "udp"},
			{CapturePoints: []string{"afpacket:br0"}, Filter: "udp"},
		}},
		{"snap length", false, []*configv1.AgentConfig{
			{CapturePoints: []string{"afpacket:v0"}, Filter: "udp", SnapLength: 256},
			{CapturePoints: []string{"afpacket:v0"}, Filter: "udp"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			if test.bridge {
				s.inside.Bridge("br0", "v0")
			}
			collector := uplinktest.New()
			s.serve(map[string]*uplinktest.Collector{"collector.test:7443": collector})
			s.start()
			s.must(proto.CloneOf(test.changes[1]))
			sent, end := s.flood()
			for i := range 10 {
				passed(t, sent, floodRate/4)
				s.must(proto.CloneOf(test.changes[i%2]))
			}
			passed(t, sent, floodRate/4)
			n := end()
			s.stop()
			s.exact(n, collector)
		})
	}
}

func TestACollectorChangeLosesNothing(t *testing.T) {
	s := newSite(t)
	first, second := uplinktest.New(), uplinktest.New()
	var stuck atomic.Bool
	first.OnBatch = func(*ingestv1.Batch) uplinktest.Verdict { return uplinktest.Verdict{Kill: stuck.Load()} }
	s.serve(map[string]*uplinktest.Collector{"first.test:7443": first, "second.test:7443": second})
	s.start()
	s.must(&configv1.AgentConfig{CapturePoints: []string{"afpacket:v0"}, Filter: "udp", Collector: "first.test:7443"})
	sent, end := s.flood()
	first.Lane(t, 7, 0, func(l uplinktest.Lane) bool { return l.Durable > 3 })
	stuck.Store(true) // from here on it acknowledges nothing
	passed(t, sent, floodRate)
	if ledger := s.agent.Ledger(); ledger.Pending() == 0 {
		t.Error("nothing is unacknowledged")
	}
	s.must(&configv1.AgentConfig{CapturePoints: []string{"afpacket:v0"}, Filter: "udp", Collector: "second.test:7443"})
	passed(t, sent, floodRate/2)
	n := end()
	s.stop()
	s.exact(n, first, second)
	if got := len(second.Lane(t, 7, 0, now).Batches); got == 0 {
		t.Error("the second collector got nothing")
	}
}
