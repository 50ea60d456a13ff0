package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
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
	t        *testing.T
	store    confstore.Store
	term     confstore.Term
	keys     config.Keys
	revision uint64
	devices  *capturetest.Live
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
	f := &following{t: w.t, devices: capturetest.NewLive(links), registry: prometheus.NewPedanticRegistry()}
	opened := 0
	a, err := agent.Open(w.t.Context(), w.config, testenv.Log(w.t), f.registry, agent.Options{
		Dialer: w.dial, Store: store,
		OpenLive: func() (capture.Live, error) {
			if opened++; opened == 1 { // to check the flags
				return capturetest.NewLive(links), nil
			}
			return f.devices, nil
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
	w.serve(map[string]*uplinktest.Collector{"collector.test:7443": collector})
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
	f = w.start(away{w.store}, "eth0")
	for !f.devices.Send("eth0", numbered(1)) {
		time.Sleep(time.Millisecond) //nolint:forbidigo // until it captures
	}
	lane := collector.Lane(t, 8, 0, func(l uplinktest.Lane) bool { return len(l.Batches) > 0 })
	if got := lane.Hellos[0].GetConfigRevision(); got != revision || lane.Batches[0].GetConfigRevision() != revision {
		t.Errorf("revision %d in hello, %d in the batch, want %d", got, lane.Batches[0].GetConfigRevision(), revision)
	}
	f.stop()
}
