package agent_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"sonde.example/agent"
	"sonde.example/agent/uplink/uplinktest"
	"sonde.example/internal/mtls"
	"sonde.example/internal/telemetry"
	"sonde.example/internal/testenv"
)

func TestOpenNamesWhatIsWrong(t *testing.T) {
	certificates := testenv.Certificates(t)
	good := pcapFile(t, sessions(1, 1)...)
	text := filepath.Join(t.TempDir(), "text.pcap")
	if err := os.WriteFile(text, []byte("no capture at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*agent.Config)
		want   []string
	}{
		{"no capture", func(c *agent.Config) { c.Captures = nil }, []string{"--capture"}},
		{"unknown scheme", func(c *agent.Config) { c.Captures = []string{"web.pcap"} }, []string{"--capture", "web.pcap", "file:PATH", "afpacket:DEVICE"}},
		{"missing file", func(c *agent.Config) { c.Captures = []string{"file:/no/such.pcap"} }, []string{"--capture", "/no/such.pcap"}},
		{"folder", func(c *agent.Config) { c.Captures = []string{"file:/"} }, []string{"--capture"}},
		{"text", func(c *agent.Config) { c.Captures = append(c.Captures, "file:"+text) }, []string{"--capture", "text.pcap"}},
		{"stdin twice", func(c *agent.Config) { c.Captures = []string{"file:-", "file:-"} }, []string{"--capture", "once"}},
		{"device and file", func(c *agent.Config) { c.Captures = append(c.Captures, "afpacket:lo") }, []string{"--capture", "files and devices"}},
		{"device twice", func(c *agent.Config) { c.Captures = []string{"afpacket:lo", "afpacket:lo"} }, []string{"--capture", "twice"}},
		{"no device", func(c *agent.Config) { c.Captures = []string{"afpacket:"} }, []string{"--capture", "names nothing"}},
		{"bad device", func(c *agent.Config) { c.Captures = []string{"afpacket:a/b"} }, []string{"--capture", "a/b"}},
		{"files and a store", func(c *agent.Config) { c.ConfigStore = "etcd://localhost:2379" }, []string{"--config-store", "files"}},
		{"another store", func(c *agent.Config) { c.Captures, c.ConfigStore = nil, "zk://localhost:2181" }, []string{"--config-store", "zk://localhost:2181"}},
		{"the store's root", func(c *agent.Config) { c.Captures, c.ConfigStore = nil, "etcd://localhost:2379?root=sonde" }, []string{"--config-store", "root"}},
		{"filter", func(c *agent.Config) { c.Filter = "tcp prot 80" }, []string{"--filter", "tcp prot 80"}},
		{"collector", func(c *agent.Config) { c.Collectors = []string{"here"} }, []string{"--collector", "here"}},
		{"no collector", func(c *agent.Config) { c.Collectors = nil }, []string{"--collector"}},
		{"lanes", func(c *agent.Config) { c.Lanes = 5 }, []string{"--lanes", "5"}},
		{"spool", func(c *agent.Config) { c.Spool = "redis://x" }, []string{"--spool", "redis://x"}},
		{"spool's parameter", func(c *agent.Config) { c.Spool = "mem:?size=1" }, []string{"--spool", "size"}},
		{"spool's size", func(c *agent.Config) { c.Spool = "mem:?bytes=1KiB" }, []string{"--spool", "1024"}},
		{"table", func(c *agent.Config) { c.TableBytes = 1 }, []string{"--table-bytes"}},
		{"drain timeout", func(c *agent.Config) { c.DrainTimeout = 0 }, []string{"--drain-timeout"}},
		{"admin", func(c *agent.Config) { c.Admin = "nowhere:http" }, []string{"--admin", "nowhere:http"}},
		{"admin taken", func(c *agent.Config) { c.Admin = "192.0.2.1:1" }, []string{"--admin", "192.0.2.1:1"}},
		{"no certificate", func(c *agent.Config) { c.Certificates = mtls.Files{} }, []string{"--tls-ca", "--tls-certificate", "--tls-key"}},
		{"missing certificate", func(c *agent.Config) { c.Certificates.Certificate = "/no/such.crt" }, []string{"/no/such.crt"}},
		{"wrong role", func(c *agent.Config) { c.Certificates = certificates.Viewer }, []string{"--tls-certificate", "viewer", "agent"}},
		{"state", func(c *agent.Config) { c.State = text }, []string{"--state"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := configOf(t, certificates, good)
			test.change(&c)
			_, err := agent.Open(t.Context(), c, testenv.Log(t), telemetry.NewRegistry(), agent.Options{})
			if err == nil {
				t.Fatal("opened")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestConfigIsSetByFlags(t *testing.T) {
	c := agent.DefaultConfig()
	fs := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	c.RegisterFlags(fs)
	err := fs.Parse([]string{
		"--capture", "file:a", "--capture", "file:b", "--collector", "x:1", "--collector", "y:2", "--epoch", "0xff", "--head-packets", "0", "--wait-durable",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Captures, []string{"file:a", "file:b"}) || !slices.Equal(c.Collectors, []string{"x:1", "y:2"}) ||
		c.Epoch != 255 || c.HeadPackets != 0 || !c.WaitDurable || c.PayloadBytes != 4096 {
		t.Errorf("config %+v", c)
	}
	if usage := fs.FlagUsages(); strings.Contains(usage, "--epoch") || !strings.Contains(usage, "--drain-timeout") {
		t.Errorf("usage:\n%s", usage)
	}
}

func TestAgentSkipsWhatItCannotReadIfToldTo(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	c := configOf(t, certificates, "/no/such.pcap", pcapFile(t, sessions(2, 1)...), "/nor/this.pcap")
	c.SkipUnreadable = true
	a := open(t, c, dial)
	err := a.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "/no/such.pcap") || !strings.Contains(err.Error(), "/nor/this.pcap") {
		t.Errorf("Run returned %v, which does not name the two files", err)
	}
	if updates := settled(t, a.Ledger(), collector.Lane(t, 7, 0, now)); len(updates) != 2 {
		t.Errorf("%d sessions, want 2", len(updates))
	}

	c.Captures = []string{"file:/no/such.pcap"}
	if _, err := agent.Open(t.Context(), c, testenv.Log(t), telemetry.NewRegistry(), agent.Options{}); err == nil {
		t.Error("opened with nothing to read")
	}
}
