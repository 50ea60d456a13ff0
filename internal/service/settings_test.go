package service_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"sonde.example/internal/service"
)

// environment is a lookup in a map.
func environment(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

func TestBindTakesFlagThenVariableThenDefault(t *testing.T) {
	fs := pflag.NewFlagSet("collector", pflag.ContinueOnError)
	listen := fs.String("listen", ":7443", "")
	sessions := fs.String("sessions", "mem:", "")
	timeout := fs.Duration("drain-timeout", 10*time.Second, "")
	shards := fs.StringArray("result", []string{"sqlite:"}, "")
	if err := fs.Parse([]string{"--listen", ":1"}); err != nil {
		t.Fatal(err)
	}
	err := service.Bind(fs, "collector", environment(map[string]string{
		"SONDE_COLLECTOR_LISTEN":        ":2",
		"SONDE_COLLECTOR_DRAIN_TIMEOUT": "3s",
		"SONDE_COLLECTOR_RESULT":        "mysql://a,b/x\nmysql://c/y\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if *listen != ":1" || *sessions != "mem:" || *timeout != 3*time.Second {
		t.Errorf("got %q, %q, %s", *listen, *sessions, *timeout)
	}
	if diff := cmp.Diff([]string{"mysql://a,b/x", "mysql://c/y"}, *shards); diff != "" {
		t.Error(diff)
	}
	if !fs.Changed("drain-timeout") || fs.Changed("sessions") {
		t.Error("a flag set from its variable must count as given, and only that")
	}
}

func TestBindNamesEveryBadVariable(t *testing.T) {
	fs := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	fs.Int("lanes", 1, "")
	fs.Duration("drain-timeout", 0, "")
	err := service.Bind(fs, "agent", environment(map[string]string{"SONDE_AGENT_LANES": "many", "SONDE_AGENT_DRAIN_TIMEOUT": "soon"}))
	for _, want := range []string{"SONDE_AGENT_LANES", "--lanes", `"many"`, "SONDE_AGENT_DRAIN_TIMEOUT"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestPrefixedFlagsHaveTheSameVariables(t *testing.T) {
	fs := pflag.NewFlagSet("all", pflag.ContinueOnError)
	var listen string
	service.Prefixed(fs, "collector", func(fs *pflag.FlagSet) { fs.StringVarP(&listen, "listen", "l", ":7443", "") })
	if err := service.Bind(fs, "", environment(map[string]string{"SONDE_COLLECTOR_LISTEN": ":9"})); err != nil {
		t.Fatal(err)
	}
	if listen != ":9" {
		t.Errorf("got %q", listen)
	}
	if err := fs.Parse([]string{"--collector-listen=:8"}); err != nil || listen != ":8" {
		t.Errorf("got %q, %v", listen, err)
	}
	if got, want := service.Variable("collector", "log-level"), "SONDE_COLLECTOR_LOG_LEVEL"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSecretIsOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("hush \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := service.Secret(path); err != nil || got != "hush " {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(path, make([]byte, 65<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Secret(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if _, err := service.Secret(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func parameters(t *testing.T, query string) *service.Parameters {
	t.Helper()
	u, err := url.Parse("redis://host/0?" + query)
	if err != nil {
		t.Fatal(err)
	}
	return service.ParametersOf(u)
}

func TestParametersAreRead(t *testing.T) {
	p := parameters(t, "name=a%20b&fsync=always&tls&conns=8&timeout=250ms&window=16MiB")
	type all struct {
		Name, Fsync, Mode string
		TLS               bool
		Conns             int
		Timeout, Idle     time.Duration
		Window            int64
	}
	got := all{
		Name: p.String("name", ""), Fsync: p.Choice("fsync", "group", "always"), Mode: p.Choice("mode", "first", "second"),
		TLS: p.Bool("tls", false), Conns: p.Int("conns", 2, 1, 16),
		Timeout: p.Duration("timeout", 0), Idle: p.Duration("idle", time.Minute), Window: p.Bytes("window", 0),
	}
	want := all{"a b", "always", "first", true, 8, 250 * time.Millisecond, time.Minute, 16 << 20}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

func TestParametersNameWhatIsWrong(t *testing.T) {
	p := parameters(t, "fsync=never&tls=maybe&conns=17&timeout=-1s&window=9999999TiB&twice=1&twice=2&typo=1&bad=%zz")
	p.Choice("fsync", "group", "always")
	p.Bool("tls", false)
	p.Int("conns", 2, 1, 16)
	p.Duration("timeout", 0)
	p.Bytes("window", 0)
	p.String("twice", "")
	err := p.Err()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"fsync"`, "group, always", `"tls"`, `"conns"`, "1 to 16", `"timeout"`, `"window"`, `"twice" is given 2 times`, `unknown URL parameter "typo"`, "%zz"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1": 1, "4KiB": 4 << 10, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		if got, err := service.ParseBytes(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1kb", "1.5MiB", "9223372036854775807KiB", "0x10"} {
		if got, err := service.ParseBytes(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestRedactedHidesSecrets(t *testing.T) {
	for raw, want := range map[string]string{
		"redis://me:hush@host:1/0?db=1":        "redis://me:xxxxx@host:1/0?db=1",
		"mysql://host/x?password=hush&tls=yes": "mysql://host/x?password=xxxxx&tls=yes",
		"amqp://host/?API_Token=hush":          "amqp://host/?API_Token=xxxxx",
		"file:/var/lib/sonde/spool":            "file:/var/lib/sonde/spool",
		"mem:":                                 "mem:",
		"redis://me:hush@host:port?":           "(unreadable URL)",
		"redis://host?password=hush;x":         "(unreadable URL)",
	} {
		if got := service.Redacted(raw); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}
