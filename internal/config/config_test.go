package config_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "sonde.example/gen/go/sonde/config/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"

	"sonde.example/internal/config"
)

func agentConfig() *configv1.AgentConfig {
	return &configv1.AgentConfig{
		CapturePoints: []string{"afpacket:eth0", "afpacket:br-lan.4"}, Filter: `tcp port 443 and not host "ü"`,
		Collector: "a.example:7443,[::1]:7443", HeadPackets: proto.Uint32(0), PayloadBytes: proto.Uint32(4096), SnapLength: 256,
		Enabled: proto.Bool(true), SpoolBytes: 64 << 20, FlowTableBytes: 32 << 20,
		TunnelPorts: &flowv1.TunnelPorts{Vxlan: []uint32{4789, 8472}, GtpU: []uint32{2152}},
	}
}

func collectorConfig() *configv1.ServiceConfig {
	return &configv1.ServiceConfig{
		HandOverDeadline: durationpb.New(2500 * time.Millisecond), SessionBytes: 64 << 20, KeepResults: durationpb.New(time.Hour),
		KeepPackets: durationpb.New(0), Model: "sonde", ModelVersion: "2", TunnelPorts: &flowv1.TunnelPorts{Vxlan: []uint32{4789}},
	}
}

func inferenceConfig() *configv1.ServiceConfig {
	return &configv1.ServiceConfig{Model: "sonde", ModelVersion: "1", ShadowVersion: "2", CanaryVersion: "3", CanaryPercent: 100}
}

func TestValidateAgentNamesColumns(t *testing.T) {
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf("afpacket:eth%d", i)
	}
	for name, test := range map[string]struct {
		change func(*configv1.AgentConfig)
		fields []string
	}{
		"all set":            {func(*configv1.AgentConfig) {}, nil},
		"nothing set":        {func(c *configv1.AgentConfig) { proto.Reset(c) }, nil},
		"plain device":       {func(c *configv1.AgentConfig) { c.CapturePoints = []string{"eth0"} }, []string{"device"}},
		"file":               {func(c *configv1.AgentConfig) { c.CapturePoints = []string{"file:/etc/passwd"} }, []string{"device"}},
		"fifteen bytes":      {func(c *configv1.AgentConfig) { c.CapturePoints = []string{"afpacket:abcdefghijklmno"} }, nil},
		"sixteen bytes":      {func(c *configv1.AgentConfig) { c.CapturePoints = []string{"afpacket:abcdefghijklmnop"} }, []string{"device"}},
		"no device":          {func(c *configv1.AgentConfig) { c.CapturePoints = []string{"afpacket:"} }, []string{"device"}},
		"slash":              {func(c *configv1.AgentConfig) { c.CapturePoints = []string{"afpacket:a/b"} }, []string{"device"}},
		"space":              {func(c *configv1.AgentConfig) { c.CapturePoints = []string{"afpacket:a b"} }, []string{"device"}},
		"dots":               {func(c *configv1.AgentConfig) { c.CapturePoints = []string{"afpacket:.."} }, []string{"device"}},
		"twice":              {func(c *configv1.AgentConfig) { c.CapturePoints = []string{"afpacket:a", "afpacket:a"} }, []string{"device"}},
		"sixty-four devices": {func(c *configv1.AgentConfig) { c.CapturePoints = many[:64] }, nil},
		"too many devices":   {func(c *configv1.AgentConfig) { c.CapturePoints = many }, []string{"device"}},
		"long filter":        {func(c *configv1.AgentConfig) { c.Filter = strings.Repeat("x", 4097) }, []string{"filter"}},
		"NUL in the filter":  {func(c *configv1.AgentConfig) { c.Filter = "tcp\x00" }, []string{"filter"}},
		"collector, no port": {func(c *configv1.AgentConfig) { c.Collector = "a.example" }, []string{"collector"}},
		"collector, port 0":  {func(c *configv1.AgentConfig) { c.Collector = "a.example:0" }, []string{"collector"}},
		"collector, no host": {func(c *configv1.AgentConfig) { c.Collector = ":7443" }, []string{"collector"}},
		"collector, hole":    {func(c *configv1.AgentConfig) { c.Collector = "a:1,,b:2" }, []string{"collector"}},
		"head":               {func(c *configv1.AgentConfig) { c.HeadPackets = proto.Uint32(1025) }, []string{"head_packets"}},
		"payload":            {func(c *configv1.AgentConfig) { c.PayloadBytes = proto.Uint32(65537) }, []string{"payload_bytes"}},
		"snap length":        {func(c *configv1.AgentConfig) { c.SnapLength = 262145 }, []string{"snap_length"}},
		"spool":              {func(c *configv1.AgentConfig) { c.SpoolBytes = 1 }, []string{"spool_bytes"}},
		"table":              {func(c *configv1.AgentConfig) { c.FlowTableBytes = 1 << 50 }, []string{"flow_table_bytes"}},
		"port":               {func(c *configv1.AgentConfig) { c.TunnelPorts.Geneve = []uint32{65536} }, []string{"geneve_ports"}},
		"port of two kinds":  {func(c *configv1.AgentConfig) { c.TunnelPorts.Teredo = []uint32{4789} }, []string{"teredo_ports"}},
		"seventeen ports":    {func(c *configv1.AgentConfig) { c.TunnelPorts.GtpU = make([]uint32, 17) }, []string{"gtp_u_ports"}},
		"two at once": {func(c *configv1.AgentConfig) { c.SnapLength, c.Collector = 1<<30, "x" },
			[]string{"collector", "snap_length"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := agentConfig()
			test.change(c)
			checkFields(t, config.ValidateAgent(c), test.fields)
		})
	}
}

func TestValidateServiceNamesColumns(t *testing.T) {
	for name, test := range map[string]struct {
		role   string
		config *configv1.ServiceConfig
		fields []string
	}{
		"collector":      {"collector", collectorConfig(), nil},
		"inference":      {"inference", inferenceConfig(), nil},
		"nothing set":    {"inference", &configv1.ServiceConfig{}, nil},
		"another role":   {"agent", &configv1.ServiceConfig{}, []string{"role"}},
		"deadline":       {"collector", &configv1.ServiceConfig{HandOverDeadline: durationpb.New(99 * time.Millisecond)}, []string{"hand_over_deadline_ms"}},
		"minute":         {"collector", &configv1.ServiceConfig{HandOverDeadline: durationpb.New(time.Minute)}, nil},
		"no duration":    {"collector", &configv1.ServiceConfig{HandOverDeadline: &durationpb.Duration{Seconds: 1 << 62}}, []string{"hand_over_deadline_ms"}},
		"session bytes":  {"collector", &configv1.ServiceConfig{SessionBytes: 16<<20 - 1}, []string{"session_bytes"}},
		"negative":       {"collector", &configv1.ServiceConfig{KeepResults: durationpb.New(-time.Second)}, []string{"keep_results_seconds"}},
		"path":           {"inference", &configv1.ServiceConfig{Model: "../x"}, []string{"model"}},
		"version":        {"inference", &configv1.ServiceConfig{ModelVersion: "01"}, []string{"model_version"}},
		"percent":        {"inference", &configv1.ServiceConfig{CanaryPercent: 101}, []string{"canary_percent"}},
		"not collector":  {"collector", inferenceConfig(), []string{"shadow_version", "canary_version", "canary_percent"}},
		"not inference":  {"inference", collectorConfig(), []string{"hand_over_deadline_ms", "session_bytes", "keep_results_seconds", "keep_packets_seconds", "vxlan_ports"}},
		"ports switched": {"inference", &configv1.ServiceConfig{TunnelPorts: &flowv1.TunnelPorts{}}, []string{"vxlan_ports"}},
	} {
		t.Run(name, func(t *testing.T) { checkFields(t, config.ValidateService(test.role, test.config), test.fields) })
	}
}

func checkFields(t *testing.T, err error, want []string) {
	t.Helper()
	var got []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			got = append(got, config.FieldOf(one))
		}
	}
	if !slices.Equal(got, want) || (err == nil) != (want == nil) {
		t.Errorf("got %q, want %q: %v", got, want, err)
	}
	if err != nil && config.FieldOf(err) != want[0] {
		t.Errorf("the first is %q, want %q", config.FieldOf(err), want[0])
	}
}

// TestHashesNeverChange holds the canonical form: a hash that differs makes every daemon apply its configuration again.
// The values are those of the form written by hand.
func TestHashesNeverChange(t *testing.T) {
	for name, test := range map[string][2]string{
		"agent":           {config.HashAgent(agentConfig()), "d7c59531fdc0bdc51518cd75358885ca476109b718ddc1bce1c2d1a4bee09fda"},
		"empty agent":     {config.HashAgent(&configv1.AgentConfig{}), "101115d3a8521e1ff1333b0b16c4673840fcc0935263e5c798f6e91c63edf196"},
		"collector":       {config.HashService(collectorConfig()), "d123bf7059bf7c1470274846d0548049b93b53bc98e170679144262209ceb781"},
		"inference":       {config.HashService(inferenceConfig()), "a2f86b6ad4d2dfa7581e76a0adc1e7d254d14f1973a3da13d02eb8a8c9349320"},
		"empty inference": {config.HashService(&configv1.ServiceConfig{}), "de5d7b3a831180083c4d7a023ba87f80a5fef6b779af2228c151ecafcbf3c6d8"},
	} {
		if test[0] != test[1] {
			t.Errorf("%s: got %s, want %s", name, test[0], test[1])
		}
	}
}

func TestHashTellsWhatDiffers(t *testing.T) {
	base := config.HashAgent(agentConfig())
	same := map[string]func(*configv1.AgentConfig){
		"order of devices": func(c *configv1.AgentConfig) { slices.Reverse(c.CapturePoints) },
		"order of ports":   func(c *configv1.AgentConfig) { slices.Reverse(c.TunnelPorts.Vxlan) },
		"unknown field":    func(c *configv1.AgentConfig) { c.ProtoReflect().SetUnknown([]byte{0xf8, 7, 1}) },
	}
	for name, change := range same {
		c := agentConfig()
		change(c)
		if got := config.HashAgent(c); got != base {
			t.Errorf("%s changes the hash", name)
		}
	}
	seen := map[string]string{base: "the base"}
	for name, change := range map[string]func(*configv1.AgentConfig){
		"another device":      func(c *configv1.AgentConfig) { c.CapturePoints[0] = "afpacket:eth1" },
		"no devices":          func(c *configv1.AgentConfig) { c.CapturePoints = nil },
		"filter":              func(c *configv1.AgentConfig) { c.Filter += " " },
		"order of collectors": func(c *configv1.AgentConfig) { c.Collector = "[::1]:7443,a.example:7443" },
		"head unset":          func(c *configv1.AgentConfig) { c.HeadPackets = nil },
		"head":                func(c *configv1.AgentConfig) { c.HeadPackets = proto.Uint32(1) },
		"payload unset":       func(c *configv1.AgentConfig) { c.PayloadBytes = nil },
		"payload zero":        func(c *configv1.AgentConfig) { c.PayloadBytes = proto.Uint32(0) },
		"snap length":         func(c *configv1.AgentConfig) { c.SnapLength = 0 },
		"enabled unset":       func(c *configv1.AgentConfig) { c.Enabled = nil },
		"disabled":            func(c *configv1.AgentConfig) { c.Enabled = proto.Bool(false) },
		"spool":               func(c *configv1.AgentConfig) { c.SpoolBytes++ },
		"table":               func(c *configv1.AgentConfig) { c.FlowTableBytes++ },
		"ports unset":         func(c *configv1.AgentConfig) { c.TunnelPorts = nil },
		"ports off":           func(c *configv1.AgentConfig) { c.TunnelPorts = &flowv1.TunnelPorts{} },
		"ports of other kind": func(c *configv1.AgentConfig) {
			c.TunnelPorts = &flowv1.TunnelPorts{Geneve: []uint32{4789, 8472}, GtpU: []uint32{2152}}
		},
	} {
		c := agentConfig()
		change(c)
		got := config.HashAgent(c)
		if other, taken := seen[got]; taken {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[got] = name
	}
}

// TestEveryFieldIsPartOfTheHash sets each field of the messages alone, so that a field that is added is not forgotten.
func TestEveryFieldIsPartOfTheHash(t *testing.T) {
	for _, c := range []proto.Message{agentConfig(), &configv1.ServiceConfig{
		HandOverDeadline: durationpb.New(1), SessionBytes: 1, KeepResults: durationpb.New(1), KeepPackets: durationpb.New(0), Model: "a",
		ModelVersion: "1", ShadowVersion: "1", CanaryVersion: "1", CanaryPercent: 1, TunnelPorts: &flowv1.TunnelPorts{},
	}} {
		hash := func(m proto.Message) string {
			if a, ok := m.(*configv1.AgentConfig); ok {
				return config.HashAgent(a)
			}
			return config.HashService(m.(*configv1.ServiceConfig))
		}
		seen := map[string]bool{hash(c): true}
		fields := c.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			without := proto.CloneOf(c)
			if !without.ProtoReflect().Has(fields.Get(i)) {
				t.Errorf("%s is not set here", fields.Get(i).FullName())
			}
			without.ProtoReflect().Clear(fields.Get(i))
			seen[hash(without)] = true
		}
		if len(seen) != fields.Len()+1 {
			t.Errorf("%T: %d hashes of %d fields", c, len(seen), fields.Len())
		}
	}
}

func TestFieldOfFindsTheField(t *testing.T) {
	err := fmt.Errorf("apply: %w", errors.Join(errors.New("x"), config.Wrong("filter", "at %d", 3)))
	if got := config.FieldOf(err); got != "filter" {
		t.Errorf("got %q", got)
	}
	if got := config.FieldOf(errors.New("x")); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestKeysArePaths(t *testing.T) {
	keys, err := config.NewKeys("/sonde/site1")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{
		"agent":     keys.Config("agent", "a1"),
		"service":   keys.Config("collector", "default"),
		"status":    keys.Status("agent", "a1"),
		"serviceSt": keys.Status("inference", "x"),
	}
	want := map[string]string{
		"agent": "/sonde/site1/agents/a1", "service": "/sonde/site1/services/collector/default",
		"status": "/sonde/site1/status/a1", "serviceSt": "/sonde/site1/service_status/inference/x",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for _, root := range []string{"", "sonde", "/", "/a//b", "/a/", "/..", "/a b"} {
		if _, err := config.NewKeys(root); err == nil {
			t.Errorf("root %q was taken", root)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "ä", strings.Repeat("a", 65)} {
		if config.CheckName(name) == nil {
			t.Errorf("name %q was taken", name)
		}
	}
}
