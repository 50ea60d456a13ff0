package cli

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sonde.example/agent"
	"sonde.example/collector"
	"sonde.example/confsync"
	"sonde.example/inference"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
)

// daemonConfig is what every daemon's Config can do.
type daemonConfig interface {
	RegisterFlags(fs *pflag.FlagSet)
	Validate() error
}

// daemon is what every daemon's Open returns.
type daemon interface {
	service.Service
	Close() error
}

type opener func(ctx context.Context, log *slog.Logger, reg *prometheus.Registry) (daemon, error)

// newDaemon makes the subcommand of one daemon.
func newDaemon(s streams, name, short, long, example string, config daemonConfig, open opener) *cobra.Command {
	logs, check := telemetry.DefaultLogConfig(), false
	cmd := &cobra.Command{
		Use: name, GroupID: "run", Short: short, Long: long, Example: example,
		RunE: func(cmd *cobra.Command, _ []string) error {
			validate := func() error { return errors.Join(config.Validate(), logs.Validate()) }
			if err := setUp(cmd.Flags(), name, validate); err != nil || check {
				return err
			}
			log, err := telemetry.NewLogger(s.err, logs)
			if err != nil {
				return usageError{err}
			}
			d, err := open(cmd.Context(), log, telemetry.NewRegistry())
			if err != nil {
				return err
			}
			return errors.Join(d.Run(cmd.Context()), d.Close())
		},
	}
	config.RegisterFlags(cmd.Flags())
	logs.RegisterFlags(cmd.Flags())
	cmd.Flags().BoolVar(&check, "check", false, "check the flags and end")
	return cmd
}

func newAgent(s streams) *cobra.Command {
	config := agent.DefaultConfig()
	return newDaemon(s, "agent", "Capture packets and stream them to a collector",
		`Capture packets at one or several capture points, cut them into sessions, and stream the head and the counts of each
to a collector. Every flag can be set by an environment variable, for example SONDE_AGENT_COLLECTOR.`,
		`  sonde agent --capture file:web.pcapng --collector collector.example.net:7443 \
    --tls-ca ca.crt --tls-certificate agent-probe-7.crt --tls-key agent-probe-7.key`,
		&config, func(ctx context.Context, log *slog.Logger, reg *prometheus.Registry) (daemon, error) {
			config.Version = Version()
			return agent.Open(ctx, config, log, reg, agent.Options{})
		})
}

func newCollector(s streams) *cobra.Command {
	config := collector.DefaultConfig()
	return newDaemon(s, "collector", "Assemble sessions, have them classified, store and serve the results",
		`Take the streams of agents, assemble sessions, have their heads classified by an inference service, store the results
and serve them. Every flag can be set by an environment variable, for example SONDE_COLLECTOR_LISTEN.`,
		`  sonde collector --inference inference.example.net:8001 --results sqlite:/var/lib/sonde/results.db \
    --tls-ca ca.crt --tls-certificate service-collector.crt --tls-key service-collector.key`,
		&config, func(ctx context.Context, log *slog.Logger, reg *prometheus.Registry) (daemon, error) {
			config.Version = Version()
			return collector.Open(ctx, config, log, reg)
		})
}

func newInference(s streams) *cobra.Command {
	config := inference.DefaultConfig()
	return newDaemon(s, "inference", "Serve models by the Open Inference Protocol",
		`Serve models by the Open Inference Protocol v2 over gRPC, and classify raw sessions. Without --models the model that
ships with Sonde is served. Every flag can be set by an environment variable, for example SONDE_INFERENCE_LISTEN.`,
		`  sonde inference --models /var/lib/sonde/models \
    --tls-ca ca.crt --tls-certificate service-inference.crt --tls-key service-inference.key`,
		&config, func(ctx context.Context, log *slog.Logger, reg *prometheus.Registry) (daemon, error) {
			config.Version = Version()
			return inference.Open(ctx, config, log, reg)
		})
}

func newConfsync(s streams) *cobra.Command {
	config := confsync.DefaultConfig()
	return newDaemon(s, "confsync", "Carry the configuration from the tables to the daemons",
		`Follow the tables in which operators keep the configuration, check each row, compile its filter, and publish it in etcd
for the daemon whose row it is; and write what became of it beside the tables. Several on the same tables and the same etcd are
fine: one leads. Every flag can be set by an environment variable, for example SONDE_CONFSYNC_DATABASE.`,
		`  sonde confsync --database sqlite:/var/lib/sonde/config.db --config-store etcd://etcd.example.net:2379 \
    --tls-ca ca.crt --tls-certificate service-confsync.crt --tls-key service-confsync.key`,
		&config, func(ctx context.Context, log *slog.Logger, reg *prometheus.Registry) (daemon, error) {
			return confsync.Open(ctx, config, log, reg, confsync.Options{})
		})
}
