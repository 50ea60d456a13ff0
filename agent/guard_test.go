package agent

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet/packettest"
)

var collectorAddress = netip.MustParseAddrPort("10.0.0.2:7443")

// uplinkFrame is a segment of the connection from a port to the collector.
func uplinkFrame(port uint16) []byte {
	return packettest.Ethernet(0x0800, packettest.IPv4("10.0.0.1", "10.0.0.2", 6, packettest.TCP(port, 7443, 0x02, 1, 0, nil)))
}

func TestConnectionsAreLeftOutBeforeTheyAreMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil, "afpacket:eth0")
		closed, err := s.guard.OnConnect(40000, collectorAddress)
		if err != nil {
			t.Fatal(err)
		}
		if s.devices.Send("eth0", uplinkFrame(40000)) {
			t.Error("the connection's first packet was captured")
		}
		if !s.devices.Send("eth0", uplinkFrame(40001)) {
			t.Error("another connection was not captured")
		}
		if err := s.set(func(n *settings) { n.points = []string{"afpacket:eth1"} }); err != nil {
			t.Fatal(err)
		}
		if s.devices.Send("eth1", uplinkFrame(40000)) {
			t.Error("it is captured at a new point")
		}
		closed()
		time.Sleep(excludeAfter - time.Second)
		if err := s.guard.expire(); err != nil || len(s.devices.Flows()) != 1 {
			t.Errorf("before its time: %v, %v", s.devices.Flows(), err)
		}
		time.Sleep(time.Second)
		if err := s.guard.expire(); err != nil || len(s.devices.Flows()) != 0 {
			t.Errorf("after its time: %v, %v", s.devices.Flows(), err)
		}
		s.stop()
		if _, err := s.guard.OnConnect(40000, collectorAddress); err != nil {
			t.Errorf("what was captured cannot go up any more: %v", err)
		}
	})
}

func TestWhatTheKernelShowsOfTheUplinkIsFiltered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil, "afpacket:eth0")
		if _, err := s.guard.OnConnect(40000, collectorAddress); err != nil {
			t.Fatal(err)
		}
		// In a tunnel the kernel does not look for it.
		inner := packettest.IPv4("10.0.0.2", "10.0.0.1", 6, packettest.TCP(7443, 40000, 0x10, 1, 0, []byte("ack")))
		for range 5 {
			if !s.devices.Send("eth0", packettest.Ethernet(0x0800, packettest.IPv4("192.0.2.1", "192.0.2.2", 4, inner))) {
				t.Error("the tunnel was not captured")
			}
		}
		s.devices.Send("eth0", udpFrame(1))
		time.Sleep(time.Second)
		s.stop()
		if got := s.out.only(t); got.packets != 1 {
			t.Errorf("got %+v", got)
		}
		if c := s.Ledger().Lanes[0].Counters; c.GetFiltered() != 5 || c.GetSeen() != 6 {
			t.Errorf("got %v", c)
		}
	})
}

func TestTheGuardIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil, "afpacket:eth0")
		var closes []func()
		for i := range capture.MaxFlows {
			closed, err := s.guard.OnConnect(uint16(1000+i), collectorAddress)
			if err != nil {
				t.Fatal(err)
			}
			closes = append(closes, closed)
		}
		if _, err := s.guard.OnConnect(2000, collectorAddress); !errors.Is(err, errTooManyFlows) {
			t.Errorf("got %v", err)
		}
		if _, err := s.guard.OnConnect(1000, collectorAddress); err != nil { // again, not another one
			t.Error(err)
		}
		closes[7]()
		time.Sleep(time.Second)
		closes[3]()
		for _, test := range []struct{ port, gone uint16 }{{2001, 1007}, {2002, 1003}} {
			if _, err := s.guard.OnConnect(test.port, collectorAddress); err != nil {
				t.Fatal(err)
			}
			if !s.devices.Send("eth0", uplinkFrame(test.gone)) || s.devices.Send("eth0", uplinkFrame(test.port)) {
				t.Errorf("port %d was to make room for %d: %v", test.gone, test.port, s.devices.Flows())
			}
		}
		s.stop()
	})
}

func TestAConnectionThatCannotBeLeftOutIsNotMade(t *testing.T) {
	var g guard
	refused := errors.New("no room in the program")
	var err error
	g.exclude = func([]capture.Flow) error { return err }
	if _, err := g.OnConnect(1, collectorAddress); err != nil {
		t.Fatal(err)
	}
	err = refused
	if _, err := g.OnConnect(2, collectorAddress); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if flows := *g.view.Load(); len(flows) != 1 || flows[0].Local.Port() != 1 {
		t.Errorf("left out are %v", flows)
	}
	g.exclude = nil // files
	if closed, err := g.OnConnect(3, collectorAddress); err != nil {
		t.Error(err)
	} else {
		closed()
	}
}

func TestTheAlarmAsksForALook(t *testing.T) {
	var l loopAlarm
	log := slog.New(slog.DiscardHandler)
	now := time.Unix(1000, 0)
	look := func(sent, captured uint64) bool {
		l.look(now, sent, captured, log)
		now = now.Add(loopWindow)
		return l.on.Load()
	}
	const much = 100 << 20
	for i, test := range []struct {
		sent, captured uint64
		want           bool
	}{
		{0, 0, false},
		{1000, 0, false},                  // hardly anything
		{1000 + much/2, much, false},      // heads of a busy link
		{1000 + much*3/2, 2 * much, true}, // all of it
		{1000 + much*3/2 + 10, much * 3, false},
	} {
		if got := look(test.sent, test.captured); got != test.want {
			t.Errorf("step %d: alarm %t", i, got)
		}
	}
}
