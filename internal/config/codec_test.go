package config_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

func publishedAgent(revision uint64, c *configv1.AgentConfig) *configv1.PublishedAgentConfig {
	return &configv1.PublishedAgentConfig{
		Schema: config.Schema, Name: "a1", Revision: revision, Hash: config.HashAgent(c), SourcePosition: "sqlite:1/7",
		CommitTime: timestamppb.Now(), Config: c,
		Programs: []*configv1.Program{{LinkType: 1, Instructions: []byte{6, 0, 0, 0, 0, 0, 4, 0}}},
	}
}

func publishedService(role string, revision uint64, c *configv1.ServiceConfig) *configv1.PublishedServiceConfig {
	return &configv1.PublishedServiceConfig{
		Schema: config.Schema, Role: role, Name: "default", Revision: revision, Hash: config.HashService(c),
		CommitTime: timestamppb.Now(), Config: c,
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	agent := publishedAgent(7, agentConfig())
	gotAgent, warning, err := config.DecodeAgent(must[[]byte](t)(config.EncodeAgent(agent)))
	if err != nil || warning != "" {
		t.Fatal(warning, err)
	}
	if diff := cmp.Diff(agent, gotAgent, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	service := publishedService("collector", 3, collectorConfig())
	value := must[[]byte](t)(config.EncodeService(service))
	if !bytes.Contains(value, []byte(`"hand_over_deadline"`)) {
		t.Errorf("fields have not their proto names: %s", value)
	}
	gotService, warning, err := config.DecodeService(value)
	if err != nil || warning != "" {
		t.Fatal(warning, err)
	}
	if diff := cmp.Diff(service, gotService, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	status := &configv1.ConfigStatus{Name: "a1", Role: "agent", State: configv1.ConfigState_CONFIG_STATE_FAILED, Error: "x", Field: "filter"}
	gotStatus, warning, err := config.DecodeStatus(must[[]byte](t)(config.EncodeStatus(status)))
	if err != nil || warning != "" {
		t.Fatal(warning, err)
	}
	if diff := cmp.Diff(status, gotStatus, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownFieldsAreAWarning(t *testing.T) {
	value := must[[]byte](t)(config.EncodeAgent(publishedAgent(7, agentConfig())))
	value = bytes.Replace(value, []byte(`"config":{`), []byte(`"config":{"sampling":{"one_in":[5]},`), 1)
	value = bytes.Replace(value, []byte(`"hash":"`), []byte(`"hash":"`), 1)
	got, warning, err := config.DecodeAgent(value)
	if err != nil || !strings.Contains(warning, "sampling") {
		t.Fatalf("warning %q, %v", warning, err)
	}
	if got.GetConfig().GetFilter() != agentConfig().GetFilter() {
		t.Error("the rest is lost")
	}
}

func TestBadValuesAreRefused(t *testing.T) {
	edit := func(change func(*configv1.PublishedAgentConfig)) []byte {
		p := publishedAgent(7, agentConfig())
		change(p)
		return must[[]byte](t)(config.EncodeAgent(p))
	}
	for name, test := range map[string]struct {
		value []byte
		want  string
	}{
		"empty":        {nil, ""},
		"no JSON":      {[]byte("<xml/>"), ""},
		"schema":       {edit(func(p *configv1.PublishedAgentConfig) { p.Schema = 2 }), "unknown schema 2"},
		"name":         {edit(func(p *configv1.PublishedAgentConfig) { p.Name = "a/b" }), "a/b"},
		"no config":    {edit(func(p *configv1.PublishedAgentConfig) { p.Config = nil }), "no configuration"},
		"hash":         {edit(func(p *configv1.PublishedAgentConfig) { p.Config.SnapLength++ }), "hash is"},
		"no hash":      {edit(func(p *configv1.PublishedAgentConfig) { p.Hash = "" }), "hash of 0"},
		"programs":     {edit(func(p *configv1.PublishedAgentConfig) { p.Programs = make([]*configv1.Program, 17) }), "17 programs"},
		"large":        {bytes.Repeat([]byte(" "), confstore.MaxValueBytes+1), "262145 bytes"},
		"deep":         {[]byte(`{"x":` + strings.Repeat("[", 100000)), ""},
		"wrong types":  {[]byte(`{"schema":"one"}`), ""},
		"two messages": {[]byte(`{}{}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := config.DecodeAgent(test.value)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	p, _, err := config.DecodeAgent(edit(func(p *configv1.PublishedAgentConfig) { p.Schema = 2 }))
	if !errors.Is(err, config.ErrSchema) || p.GetRevision() != 7 {
		t.Errorf("got revision %d, %v", p.GetRevision(), err)
	}
	huge := publishedAgent(1, &configv1.AgentConfig{Filter: strings.Repeat("x", confstore.MaxValueBytes)})
	if _, err := config.EncodeAgent(huge); err == nil {
		t.Error("a value larger than stores take was made")
	}
}

func TestProgramsTravel(t *testing.T) {
	want := must[filter.Program](t)(filter.Parse("tcp", packet.LinkEthernet, []bpf.RawInstruction{
		{Op: 0x28, K: 12}, {Op: 0x15, Jt: 0, Jf: 1, K: 0x800}, {Op: 6, K: 262144}, {Op: 6},
	}))
	encoded := config.EncodeProgram(want)
	if hex := []byte{0x28, 0, 0, 0, 12, 0, 0, 0}; !bytes.HasPrefix(encoded.GetInstructions(), hex) {
		t.Errorf("got % x", encoded.GetInstructions()[:8])
	}
	got, err := config.DecodeProgram("tcp", encoded)
	if err != nil {
		t.Fatal(err)
	}
	if got.Text() != "tcp" || got.LinkType() != packet.LinkEthernet || !cmp.Equal(got.Instructions(), want.Instructions()) {
		t.Errorf("got %+v", got)
	}
	for name, bad := range map[string]*configv1.Program{
		"odd bytes":          {LinkType: 1, Instructions: make([]byte, 9)},
		"link type":          {LinkType: 1 << 16, Instructions: encoded.GetInstructions()},
		"too long":           {LinkType: 1, Instructions: bytes.Repeat([]byte{6, 0, 0, 0, 0, 0, 0, 0}, 4097)},
		"no return":          {LinkType: 1, Instructions: encoded.GetInstructions()[:8]},
		"jump out of it":     {LinkType: 1, Instructions: []byte{0x15, 0, 200, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0}},
		"unknown operation":  {LinkType: 1, Instructions: []byte{0xff, 0xff, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0}},
		"missing scratch":    {LinkType: 1, Instructions: []byte{0x60, 0, 0, 0, 16, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0}},
		"division by zero":   {LinkType: 1, Instructions: []byte{0x34, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0}},
		"half a instruction": {LinkType: 1, Instructions: encoded.GetInstructions()[:12]},
	} {
		if _, err := config.DecodeProgram("x", bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if empty, err := config.DecodeProgram("", nil); err != nil || !empty.Empty() {
		t.Errorf("no program: %v", err)
	}
}

// FuzzDecode holds that hostile values are refused or can be used: they encode again to the same, and validating them,
// hashing them and taking their programs apart does not fail in other ways than by an error.
func FuzzDecode(f *testing.F) {
	f.Add(must[[]byte](f)(config.EncodeAgent(publishedAgent(7, agentConfig()))))
	f.Add(must[[]byte](f)(config.EncodeService(publishedService("inference", 1, inferenceConfig()))))
	f.Add([]byte(`{"schema":1,"name":"a","config":{"tunnel_ports":{"vxlan":[1,2]}},"programs":[{"instructions":"BgAAAAAA"}]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if p, warning, err := config.DecodeAgent(value); err == nil {
			_ = config.ValidateAgent(p.GetConfig())
			for _, program := range p.GetPrograms() {
				if decoded, err := config.DecodeProgram(p.GetConfig().GetFilter(), program); err == nil {
					decoded.Matcher().Match(value, len(value))
				}
			}
			again, err := config.EncodeAgent(p)
			if err != nil {
				return // it grew by being written out
			}
			got, _, err := config.DecodeAgent(again)
			if warning == "" && (err != nil || !proto.Equal(got, p)) {
				t.Errorf("decoded again it is %v, %v", got, err)
			}
		}
		if p, _, err := config.DecodeService(value); err == nil {
			_ = config.ValidateService(p.GetRole(), p.GetConfig())
		}
		if s, _, err := config.DecodeStatus(value); err == nil && config.CheckName(s.GetName()) != nil {
			t.Errorf("status of %q", s.GetName())
		}
	})
}
