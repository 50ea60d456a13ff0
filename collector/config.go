package collector

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/mtls"
	"sonde.example/internal/service"
)

// Config is what an operator sets.
type Config struct {
	Listen    string // host:port of all services
	Inference string // host:port
	Model     string // name of the model that classifies

	InferenceStream bool // requests go over one stream, where the server has them

	Sessions string // URL of the session store
	Queue    string // URL of the queue
	Results  string // URL of the result store

	KeepResults      time.Duration // by the session's opening time; 0 keeps them for ever
	KeepPackets      time.Duration // of heads; 0 keeps none
	HandOverDeadline time.Duration
	SessionBytes     string // memory for sessions, with a unit
	DrainTimeout     time.Duration

	Admin string // host:port of the admin HTTP; empty: none
	TLS   mtls.Files

	ConfigStore string           // URL of the store that a configuration comes from; empty: the flags alone
	ConfigName  string           // under which it lies there
	State       string           // folder for the last good configuration; empty: none
	Store       confstore.Client // if set, used in the place of ConfigStore; it stays the caller's
	Version     string           // the program's, told in statuses
}

// DefaultConfig returns what holds unless an operator says otherwise. Inference and the certificates have no default.
func DefaultConfig() Config {
	return Config{
		Listen: ":7443", Model: "sonde", InferenceStream: true,
		Sessions: "mem:", Queue: "mem:", Results: "sqlite:results.db",
		KeepResults: 30 * 24 * time.Hour, KeepPackets: 24 * time.Hour,
		HandOverDeadline: 10 * time.Second, SessionBytes: "256MiB", DrainTimeout: 10 * time.Second,
		Admin: "127.0.0.1:9464", ConfigName: config.DefaultName,
	}
}

// RegisterFlags adds the daemon's flags; the defaults are the values already in c.
func (c *Config) RegisterFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Listen, "listen", c.Listen, "host:port to serve agents and operators on")
	fs.StringVar(&c.Inference, "inference", c.Inference, "host:port of the inference service")
	fs.BoolVar(&c.InferenceStream, "inference-stream", c.InferenceStream, "send requests over one ModelStreamInfer instead of a call each; where the server answers none, calls are made all the same")
	fs.StringVar(&c.Model, "model", c.Model, "name of the model that classifies sessions")
	fs.StringVar(&c.Sessions, "sessions", c.Sessions, "session store: mem:")
	fs.StringVar(&c.Queue, "queue", c.Queue, "queue between session store and workers: mem:")
	fs.StringVar(&c.Results, "results", c.Results, "result store: sqlite:PATH")
	fs.DurationVar(&c.KeepResults, "keep-results", c.KeepResults, "how long results are kept, by the time their session opened; 0: for ever")
	fs.DurationVar(&c.KeepPackets, "keep-packets", c.KeepPackets, "how long the packets of heads are kept, likewise; 0: none are")
	fs.DurationVar(&c.HandOverDeadline, "hand-over-deadline", c.HandOverDeadline, "when a session that goes on is classified at the latest, and again after changes")
	fs.StringVar(&c.SessionBytes, "session-bytes", c.SessionBytes, "memory for sessions, for example 256MiB; one agent gets half of it at most")
	fs.DurationVar(&c.DrainTimeout, "drain-timeout", c.DrainTimeout, "how long agents and calls under way may take when the collector stops")
	fs.StringVar(&c.Admin, "admin", c.Admin, "host:port of the admin HTTP with metrics and health; empty: none")
	fs.StringVar(&c.ConfigStore, "config-store", c.ConfigStore, "store of the configuration, etcd://HOST:PORT[,HOST:PORT][?root=/sonde]; what it does not set the flags do; empty: none")
	fs.StringVar(&c.ConfigName, "config-name", c.ConfigName, "name in service_config")
	fs.StringVar(&c.State, "state", c.State, "folder for the last good configuration; empty: none is kept")
	c.TLS.RegisterFlags(fs)
}

// Validate returns everything that is wrong, each named by its flag.
func (c *Config) Validate() error {
	bad := []error{c.TLS.Validate()}
	fail := func(flag, format string, args ...any) {
		bad = append(bad, fmt.Errorf("--"+flag+": "+format, args...))
	}
	for flag, address := range map[string]string{"listen": c.Listen, "inference": c.Inference, "admin": c.Admin} {
		if flag == "admin" && address == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			fail(flag, "%q is not host:port", address)
		}
	}
	if c.Model == "" {
		fail("model", "needed")
	}
	if c.Sessions != "mem:" {
		fail("sessions", "%q is not mem:", service.Redacted(c.Sessions))
	}
	if c.Queue != "mem:" {
		fail("queue", "%q is not mem:, and with sessions in memory no other queue will do", service.Redacted(c.Queue))
	}
	if path, ok := strings.CutPrefix(c.Results, "sqlite:"); !ok || path == "" {
		fail("results", "%q is not sqlite:PATH", service.Redacted(c.Results))
	}
	if c.KeepResults < 0 {
		fail("keep-results", "%v is negative", c.KeepResults)
	}
	if c.KeepPackets < 0 {
		fail("keep-packets", "%v is negative", c.KeepPackets)
	}
	if c.HandOverDeadline < config.MinHandOverDeadline || c.HandOverDeadline > config.MaxHandOverDeadline {
		fail("hand-over-deadline", "%v is not within %v and %v", c.HandOverDeadline, config.MinHandOverDeadline, config.MaxHandOverDeadline)
	}
	if bytes, err := service.ParseBytes(c.SessionBytes); err != nil || bytes < config.MinSessionBytes {
		fail("session-bytes", "%q is not a number of bytes from 16MiB on, such as 256MiB", c.SessionBytes)
	}
	if c.ConfigStore != "" {
		if _, _, err := parseStore(c.ConfigStore); err != nil {
			fail("config-store", "%w", err)
		}
	}
	if err := config.CheckName(c.ConfigName); err != nil {
		fail("config-name", "%w", err)
	}
	if c.DrainTimeout <= 0 {
		fail("drain-timeout", "%v is not positive", c.DrainTimeout)
	}
	return errors.Join(bad...)
}
