package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/bpf"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sonde.example/agent"
	"sonde.example/agent/capture"
	"sonde.example/agent/capture/capturetest"
	"sonde.example/agent/uplink/uplinktest"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/testenv"
)

const (
	applied = configv1.ConfigState_CONFIG_STATE_APPLIED
	failed  = configv1.ConfigState_CONFIG_STATE_FAILED
)

// following is an agent on devices in memory that follows a configuration.
type following struct {
	*agent.Agent
	devices  *capturetest.Live
	set      watched
	registry *prometheus.Registry
	stop     func()
}

// world is what outlives an agent.
type world struct {
	t            *testing.T
	certificates mtls.Development
	store        confstore.Store
	term         confstore.Term
	keys         config.Keys
	dial         dialer
	config       agent.Config
	revision     uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, certificates: testenv.Certificates(t), store: confstore.NewMemory()}
	var err error
	if w.keys, err = config.NewKeys(config.DefaultRoot); err != nil {
		t.Fatal(err)
	}
	if w.term, err = w.store.Lead(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	w.config = agentConfig(t, w.certificates)
	return w
}

func agentConfig(t *testing.T, certificates mtls.Development) agent.Config {
	c := configOf(t, certificates)
	c.ConfigStore, c.State, c.DrainTimeout = "etcd://127.0.0.1:1", t.TempDir(), 10*time.Second
	return c
}

// serve makes a collector reachable under an address.
func (w *world) serve(addresses map[string]*uplinktest.Collector) {
	dials := map[string]dialer{}
	for address, collector := range addresses {
		dials[address], _ = collector.Serve(w.t, testenv.Source(w.t, w.certificates.Service))
	}
	w.dial = func(ctx context.Context, address string) (net.Conn, error) {
		if dial, ok := dials[address]; ok {
			return dial(ctx, address)
		}
		return nil, errors.New("nobody is there")
	}
}

// publish writes the agent's key, with programs for what can be compiled, and returns the revision.
func (w *world) publish(c *configv1.AgentConfig, programs ...*configv1.Program) uint64 {
	w.t.Helper()
	w.revision++
	value, err := config.EncodeAgent(&configv1.PublishedAgentConfig{
		Schema: config.Schema, Name: "local", Revision: w.revision, Hash: config.HashAgent(c), CommitTime: timestamppb.Now(), Config: c, Programs: programs,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(value)
	return w.revision
}

func (w *world) write(value []byte) {
	w.t.Helper()
	if err := w.term.Publish(w.t.Context(), []confstore.Change{{Key: w.keys.Config(config.RoleAgent, "local"), Value: value}}, []byte("here")); err != nil {
		w.t.Fatal(err)
	}
}

// status waits for what the agent says of a revision.
func (w *world) status(revision uint64) *configv1.ConfigStatus {
	w.t.Helper()
	key := w.keys.Status(config.RoleAgent, "local")
	for after := uint64(0); ; {
		entry, err := w.store.Next(w.t.Context(), key, after)
		if err != nil {
			w.t.Fatal(err)
		}
		after = entry.Stamp
		status, _, err := config.DecodeStatus(entry.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		if status.GetWantedRevision() == revision && (status.GetState() == applied || status.GetState() == failed) {
			return status
		}
	}
}

// start runs an agent on devices.
func (w *world) start(store confstore.Client, names ...string) *following {
	w.t.Helper()
	links := map[string]packet.LinkType{}
	for _, name := range names {
		links[name] = packet.LinkEthernet
	}
	f := &following{devices: capturetest.NewLive(links), registry: prometheus.NewPedanticRegistry()}
	f.set.Live = f.devices
	first := true
	a, err := agent.Open(w.t.Context(), w.config, testenv.Log(w.t), f.registry, agent.Options{
		Dialer: w.dial, Store: store,
		OpenLive: func() (capture.Live, error) {
			if first && len(w.config.Captures) > 0 { // to check the flags
				first = false
				return capturetest.NewLive(links), nil
			}
			return &f.set, nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	f.Agent = a
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("agent ended with %v", err)
		}
	})
	w.t.Cleanup(f.stop)
	return f
}

// watched is a set that notes what is asked of it, and refuses to leave connections out as long as it is told to.
type watched struct {
	*capturetest.Live
	replaced, excluded, refuse atomic.Int64
}

func (w *watched) Replace(points []capture.Point) ([]int, error) {
	w.replaced.Add(1)
	return w.Live.Replace(points)
}

func (w *watched) Exclude(flows []capture.Flow) error {
	w.excluded.Add(1)
	if w.refuse.Add(-1) >= 0 {
		return errors.New("no room in the program")
	}
	return w.Live.Exclude(flows)
}

func numbered(number int) []byte {
	payload, err := json.Marshal(number)
	if err != nil {
		panic(err)
	}
	return packettest.Ethernet(0x0800, packettest.IPv4("10.0.0.1", "10.0.0.2", 17, packettest.UDP(4000, 53, payload)))
}

// reject is a program that takes nothing, and all one that takes everything.
func program(t *testing.T, text string, link packet.LinkType, takes uint32) *configv1.Program {
	t.Helper()
	p, err := filter.Parse(text, link, []bpf.RawInstruction{{Op: 6, K: takes}})
	if err != nil {
		t.Fatal(err)
	}
	return config.EncodeProgram(p)
}

func TestAConfigurationIsPutInForceAsAWhole(t *testing.T) {
	w := newWorld(t)
	collector := uplinktest.New()
	second := uplinktest.New()
	w.serve(map[string]*uplinktest.Collector{"collector.test:7443": collector, "second.test:7443": second})
	f := w.start(w.store, "eth0", "eth1")
	revision := w.publish(&configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0", "afpacket:eth1"}, HeadPackets: proto.Uint32(0), SpoolBytes: 9 << 20})
	status := w.status(revision)
	if status.GetState() != applied || status.GetRunningRevision() != revision || status.GetLatency().AsDuration() <= 0 {
		t.Fatalf("status %v", status)
	}
	if got := f.devices.Points(); !slices.Equal(got, []string{"afpacket:eth0", "afpacket:eth1"}) {
		t.Errorf("captures at %q", got)
	}
	f.devices.Send("eth0", numbered(1))
	lane := collector.Lane(t, 7, 0, func(l uplinktest.Lane) bool { return len(l.Batches) > 0 })
	if b := lane.Batches[0]; b.GetConfigRevision() != revision || b.GetInterfaces()[0].GetCapturePoint() != "afpacket:eth0" || b.GetInterfaces()[0].GetName() != "eth0" {
		t.Errorf("batch %v", b)
	}

	// What is refused names its column, and everything stays as it was.
	text := "udp port 53"
	for _, test := range []struct {
		field    string
		config   *configv1.AgentConfig
		programs []*configv1.Program
		says     string
	}{
		{"device", &configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0", "afpacket:eth7"}, HeadPackets: proto.Uint32(1)}, nil, "eth7"},
		{"filter", &configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0"}, Filter: "udp prot 53"}, nil, "udp prot 53"},
		{"filter", &configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0"}, Filter: text}, []*configv1.Program{{LinkType: 1, Instructions: []byte{1, 2, 3}}}, "program"},
		{"collector", &configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0"}, Collector: "elsewhere.test:1"}, nil, "elsewhere.test:1"},
		{"device", &configv1.AgentConfig{CapturePoints: []string{"afpacket:eth7"}, Collector: "second.test:7443"}, nil, "eth7"},
		{"spool_bytes", &configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0"}, SpoolBytes: 1}, nil, "1"},
	} {
		bad := w.status(w.publish(test.config, test.programs...))
		if bad.GetState() != failed || bad.GetField() != test.field || !strings.Contains(bad.GetError(), test.says) || bad.GetRunningRevision() != revision {
			t.Errorf("%s: status %v", test.field, bad)
		}
		if got := f.devices.Points(); !slices.Equal(got, []string{"afpacket:eth0", "afpacket:eth1"}) {
			t.Errorf("%s: captures at %q", test.field, got)
		}
	}
	if lane := second.Lane(t, 7, 0, now); len(lane.Hellos) > 0 {
		t.Error("a configuration that was refused moved the uplink")
	}
	// The program that came with the text is the one in force, not what this binary makes of the text.
	revision = w.publish(&configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0"}, Filter: text}, program(t, text, packet.LinkEthernet, 0))
	if status := w.status(revision); status.GetState() != applied {
		t.Fatalf("status %v", status)
	}
	if f.devices.Send("eth0", numbered(2)) {
		t.Error("a program that takes nothing took a packet")
	}
	// A device that is down is a warning.
	f.devices.SetDown("eth1", errors.New("network is down"))
	revision = w.publish(&configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0", "afpacket:eth1"}})
	if status := w.status(revision); status.GetState() != applied || !strings.Contains(status.GetWarning(), "afpacket:eth1 waits: network is down") {
		t.Errorf("status %v", status)
	}
	revision = w.publish(&configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0"}, Enabled: proto.Bool(false)})
	if status := w.status(revision); status.GetState() != applied || len(f.devices.Points()) != 0 {
		t.Errorf("status %v, captures at %q", status, f.devices.Points())
	}
	replaced := f.set.replaced.Load()
	if status := w.status(w.publish(&configv1.AgentConfig{Enabled: proto.Bool(false)})); status.GetState() != applied || f.set.replaced.Load() != replaced {
		t.Errorf("status %v, the capture was touched %d times for nothing", status, f.set.replaced.Load()-replaced)
	}
	revision++
	f.stop()
	settled(t, f.Ledger(), collector.Lane(t, 7, 0, now))
	if got := metric(t, f.registry, "sonde_agent_config_revision"); got != float64(revision) {
		t.Errorf("metric tells revision %v", got)
	}
}

func metric(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// away is a store that cannot be reached.
type away struct{ confstore.Client }

func (away) Get(ctx context.Context, _ string) (confstore.Entry, error) {
	return confstore.Entry{}, errors.New("store is away")
}

func (away) Next(ctx context.Context, _ string, _ uint64) (confstore.Entry, error) {
	<-ctx.Done()
	return confstore.Entry{}, ctx.Err()
}
func (away) Put(context.Context, string, []byte) error { return errors.New("store is away") }

func TestTheLastGoodConfigurationIsEnoughToStart(t *testing.T) {
	w := newWorld(t)
	collector := uplinktest.New()
	w.serve(map[string]*uplinktest.Collector{"collector.test:7443": collector, "second.test:7443": collector})
	f := w.start(w.store, "eth0")
	revision := w.publish(&configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0"}, Collector: "second.test:7443"})
	if status := w.status(revision); status.GetState() != applied {
		t.Fatalf("status %v", status)
	}
	f.stop()
	if files, err := filepath.Glob(filepath.Join(w.config.State, "config-agent-*")); err != nil || len(files) == 0 {
		t.Errorf("cache: %q, %v", files, err)
	}
	w.config.Epoch = 8
	// Neither the store nor the collector is there: it captures.
	var up atomic.Bool
	dial := w.dial
	w.dial = func(ctx context.Context, address string) (net.Conn, error) {
		if !up.Load() {
			return nil, errors.New("collector is away")
		}
		return dial(ctx, address)
	}
	f = w.start(away{w.store}, "eth0")
	for !f.devices.Send("eth0", numbered(1)) {
		runtime.Gosched()
	}
	up.Store(true)
	lane := collector.Lane(t, 8, 0, func(l uplinktest.Lane) bool { return len(l.Batches) > 0 })
	if got := lane.Hellos[0].GetConfigRevision(); got != revision || lane.Batches[0].GetConfigRevision() != revision {
		t.Errorf("revision %d in hello, %d in the batch, want %d", got, lane.Batches[0].GetConfigRevision(), revision)
	}
	f.stop()
}

func TestADeletedConfigurationHasItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		collector := uplinktest.New()
		w.serve(map[string]*uplinktest.Collector{"collector.test:7443": collector})
		f := w.start(w.store, "eth0")
		c := &configv1.AgentConfig{CapturePoints: []string{"afpacket:eth0"}, HeadPackets: proto.Uint32(0)}
		w.status(w.publish(c))
		if !f.devices.Send("eth0", numbered(1)) {
			t.Error("nothing is captured")
		}
		w.write(nil)
		time.Sleep(20 * time.Second)
		w.status(w.publish(c)) // deleted and inserted
		time.Sleep(20 * time.Second)
		w.write(nil)
		time.Sleep(29 * time.Second)
		if !f.devices.Send("eth0", numbered(2)) {
			t.Error("nothing is captured within the grace")
		}
		time.Sleep(2 * time.Second)
		if f.devices.Send("eth0", numbered(3)) {
			t.Error("it is captured after the grace")
		}
		w.status(w.publish(c))
		if !f.devices.Send("eth0", numbered(4)) {
			t.Error("nothing is captured after the configuration came back")
		}
		time.Sleep(time.Second)
		f.stop()
		settled(t, f.Ledger(), collector.Lane(t, 7, 0, now))
		if c := f.Ledger().Lanes[0].Counters; c.GetAccepted() != 3 {
			t.Errorf("got %v", c)
		}
	})
}

// TestAnAgentThatCannotLeaveItsUplinkOutDoesNotConnect has a collector on a real port, for only then is there something to
// leave out.
func TestAnAgentThatCannotLeaveItsUplinkOutDoesNotConnect(t *testing.T) {
	w := newWorld(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, w.certificates.Service))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.config.Captures, w.config.Collectors = []string{"afpacket:eth0"}, []string{listener.Addr().String()}
	var f *following
	ready := make(chan struct{})
	leftOut := make(chan error, 16)
	var relays sync.WaitGroup
	relays.Go(func() {
		<-ready
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			flow := capture.Flow{
				Local:  netip.AddrPortFrom(netip.IPv4Unspecified(), conn.RemoteAddr().(*net.TCPAddr).AddrPort().Port()),
				Remote: listener.Addr().(*net.TCPAddr).AddrPort(),
			}
			switch {
			case !slices.Contains(f.devices.Flows(), flow):
				err = fmt.Errorf("%v is captured: left out are %v", flow, f.devices.Flows())
			case f.set.excluded.Load() < 3:
				err = fmt.Errorf("connected at attempt %d", f.set.excluded.Load())
			}
			leftOut <- err
			relays.Go(func() { relay(t, conn, dial) })
		}
	})
	links := map[string]packet.LinkType{"eth0": packet.LinkEthernet}
	f = &following{devices: capturetest.NewLive(links)}
	f.set.Live = f.devices
	f.set.refuse.Store(2)
	close(ready)
	first := true
	a, err := agent.Open(t.Context(), w.config, testenv.Log(t), prometheus.NewPedanticRegistry(), agent.Options{OpenLive: func() (capture.Live, error) {
		if first {
			first = false
			return capturetest.NewLive(links), nil
		}
		return &f.set, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	if err := <-leftOut; err != nil {
		t.Error(err)
	}
	f.devices.Send("eth0", numbered(1))
	collector.Lane(t, 7, 0, func(l uplinktest.Lane) bool { return len(l.Batches) > 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	relays.Wait()
}

// relay copies a connection to a collector in memory, both ways, until one side ends.
func relay(t *testing.T, conn net.Conn, dial dialer) {
	t.Helper()
	inner, err := dial(t.Context(), "")
	if err != nil {
		t.Error(err)
		return
	}
	var copies sync.WaitGroup
	for _, way := range [][2]net.Conn{{conn, inner}, {inner, conn}} {
		copies.Go(func() {
			_, err := io.Copy(way[0], way[1])
			_ = errors.Join(err, way[0].Close()) // how it ends is the agent's business
		})
	}
	copies.Wait()
}

func TestADeviceThatComesLateIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(map[string]*uplinktest.Collector{"collector.test:7443": uplinktest.New()})
		revision := w.publish(&configv1.AgentConfig{CapturePoints: []string{"afpacket:late"}})
		f := w.start(w.store, "eth0")
		if status := w.status(revision); status.GetState() != failed || status.GetField() != "device" {
			t.Errorf("status %v", status)
		}
		f.devices.SetDown("late", nil) // it appears
		time.Sleep(11 * time.Second)
		if status := w.status(revision); status.GetState() != applied || !f.devices.Send("late", numbered(1)) {
			t.Errorf("status %v", status)
		}
		f.stop()
	})
}
