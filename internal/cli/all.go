package cli

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sonde.example/agent"
	"sonde.example/collector"
	"sonde.example/confsync"
	"sonde.example/inference"
	"sonde.example/internal/mtls"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
)

// everything is sonde all: every daemon in one process. They meet over loopback gRPC with mutual TLS, and the configuration
// goes from the table through etcd to each of them, exactly as it does between processes.
type everything struct {
	streams
	state    string
	captures []string
	names    []string // by which other hosts call this machine
	store    string   // etcd's address
	log      telemetry.LogConfig
	lastBoot string // of the agent that the tables know from before

	agent     agent.Config
	collector collector.Config
	inference inference.Config
	confsync  confsync.Config
}

func newAll(s streams) *cobra.Command {
	e := &everything{
		streams: s, state: stateFolder(), store: "127.0.0.1:2379", log: telemetry.DefaultLogConfig(),
		agent: agent.DefaultConfig(), collector: collector.DefaultConfig(),
		inference: inference.DefaultConfig(), confsync: confsync.DefaultConfig(),
	}
	// Whoever starts all on one machine wants it for this machine.
	e.collector.Listen, e.inference.Listen = "127.0.0.1:7443", "127.0.0.1:8001"
	if isTerminal(s.err) {
		e.log.Level = "warn" // what a person needs to know is said in words
	}
	check := false
	cmd := &cobra.Command{
		Use:     "all",
		GroupID: "run",
		Short:   "Run everything in one process: agent, collector, inference, confsync and etcd",
		Long: `Run everything in one process: an agent that sniffs this machine, a collector, an inference service, confsync and an
etcd. They meet over loopback, with mutual TLS, as they do over a network. Everything that lasts is in one folder: results.db,
config.db, etcd/, certs/ and agent/; started again, sonde all goes on where it stopped.

What to capture, with which filter and how, says the row of the agent "local" in the table agent_config of config.db; a change
of it is in force within a second. --capture writes the row's device. sonde config shows and changes the rows, and so does any
other client of SQLite.

The flags of each daemon have its name before them, and each flag an environment variable, for example SONDE_COLLECTOR_LISTEN.`,
		Example: `  sudo sonde all --capture eth0
  sonde all --capture file:web.pcapng --state ./try
  sonde config set local filter='tcp port 443'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := setUp(cmd.Flags(), "", e.validate); err != nil || check {
				return err
			}
			return e.run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&e.state, "state", e.state, "folder for everything that lasts")
	fs.StringArrayVar(&e.captures, "capture", nil, "what to capture: a device such as eth0, or file:PATH; may be given several times; none: what the agent's row says")
	fs.StringArrayVar(&e.names, "host", nil, "name or address by which other hosts call this machine, for the certificate; may be given several times")
	fs.StringVar(&e.store, "etcd-listen", e.store, "address of the etcd in this process, host:port")
	fs.BoolVar(&check, "check", false, "check the flags and end")
	e.log.RegisterFlags(fs)
	e.registerDaemons(fs)
	return cmd
}

// registerDaemons adds the flags of every daemon, but for those that sonde all answers itself.
func (e *everything) registerDaemons(fs *pflag.FlagSet) {
	tls := []string{"tls-ca", "tls-certificate", "tls-key", "tls-revoked", "config-store", "config-name"}
	for _, d := range []struct {
		name   string
		config daemonConfig
		ours   []string
	}{
		{"agent", &e.agent, []string{"capture", "collector", "server-name", "state", "epoch"}},
		{"collector", &e.collector, []string{"inference", "results", "state"}},
		{"inference", &e.inference, []string{"state"}},
		{"confsync", &e.confsync, []string{"database"}},
	} {
		service.Prefixed(fs, d.name, func(inner *pflag.FlagSet) {
			every := pflag.NewFlagSet(d.name, pflag.ContinueOnError)
			d.config.RegisterFlags(every)
			every.VisitAll(func(f *pflag.Flag) {
				if !slices.Contains(tls, f.Name) && !slices.Contains(d.ours, f.Name) {
					inner.AddFlag(f)
				}
			})
		})
	}
}

func (e *everything) path(name string) string { return filepath.Join(e.state, name) }

// database is the URL of the configuration's tables.
func (e *everything) database() string { return databaseOf(e.state) }

// validate completes the daemons' settings and checks them.
func (e *everything) validate() error {
	if e.state == "" {
		return errors.New("--state: is empty")
	}
	if slices.Contains(e.captures, "") {
		return errors.New("--capture: names nothing")
	}
	if files := e.files(); len(files) != 0 && len(files) != len(e.captures) {
		return errors.New("--capture: files and devices cannot be captured together")
	}
	if _, _, err := net.SplitHostPort(e.store); err != nil {
		return fmt.Errorf("--etcd-listen: %w", err)
	}
	service, store := e.certificate("service-local"), "etcd://"+e.store
	e.confsync.Database, e.confsync.ConfigStore, e.confsync.TLS = e.database(), store, service
	e.inference.ConfigStore, e.inference.State, e.inference.TLS = store, e.path("inference"), service
	e.collector.ConfigStore, e.collector.State, e.collector.TLS = store, e.path("collector"), service
	e.collector.Inference, e.collector.Results = e.inference.Listen, "sqlite:"+e.path("results.db")
	e.agent.ConfigStore, e.agent.State, e.agent.Certificates = store, e.path("agent"), e.certificate("agent-"+agentName)
	e.agent.Collectors = []string{e.collector.Listen}
	e.agent.Version, e.collector.Version, e.inference.Version = Version(), Version(), Version()
	if files := e.files(); len(files) > 0 { // they are read once, as they are; a row is for what goes on
		e.agent.Captures, e.agent.ConfigStore = files, ""
	}
	return errors.Join(
		e.log.Validate(), inFlagsOf("agent", e.agent.Validate()), inFlagsOf("collector", e.collector.Validate()),
		inFlagsOf("inference", e.inference.Validate()), inFlagsOf("confsync", e.confsync.Validate()),
	)
}

// certificate names the files of a development certificate.
func (e *everything) certificate(name string) mtls.Files {
	return mtls.Files{
		CA: e.path("certs/ca.crt"), Certificate: e.path("certs/" + name + ".crt"), Key: e.path("certs/" + name + ".key"),
		Revoked: e.path("certs/revoked"),
	}
}

// files are the captures that are read from files.
func (e *everything) files() []string {
	return slices.DeleteFunc(slices.Clone(e.captures), func(text string) bool { return !strings.HasPrefix(text, "file:") })
}

// flagsError is a daemon's error, with the names that the daemon's flags have in sonde all.
type flagsError struct {
	error
	daemon string
}

func inFlagsOf(daemon string, err error) error {
	if err == nil {
		return nil
	}
	return flagsError{err, daemon}
}

func (e flagsError) Unwrap() error { return e.error }

func (e flagsError) Error() string {
	return regexp.MustCompile(`(?m)(^|[ (])--([a-z])`).ReplaceAllString(e.error.Error(), "$1--"+e.daemon+"-$2")
}
