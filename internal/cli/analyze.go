package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"sonde.example/agent"
	"sonde.example/collector"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/inference"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/telemetry"
)

// analysis is one run of sonde analyze: the whole way in one process, over loopback gRPC with mutual TLS, with state of
// its own that is gone afterwards.
type analysis struct {
	streams
	files []string
	json  bool
	stats bool
	log   telemetry.LogConfig

	inference inference.Config
	agent     agent.Config
}

func newAnalyze(s streams) *cobra.Command {
	a := &analysis{streams: s, log: telemetry.DefaultLogConfig(), inference: inference.DefaultConfig(), agent: agent.DefaultConfig()}
	a.log.Level = "warn"
	cmd := &cobra.Command{
		Use:     "analyze FILE...",
		GroupID: "use",
		Short:   "Classify every session of capture files and account for every packet",
		Long: `Classify every session of capture files (pcap, pcapng; - is standard input) and account for every packet.

An agent, a collector and an inference service run in this process and meet over loopback gRPC with mutual TLS, as they
do over a network. Nothing is kept.

A file that cannot be read is named, the others are analysed, and the exit code is 1. Of a file that is broken further on
what comes before counts.`,
		Example: `  sonde analyze web.pcapng
  sonde analyze --json *.pcap | jq -c '[.server, .classification.label]'
  sonde analyze --models models --model mine web.pcapng
  tcpdump -w - -c 1000 | sonde analyze -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.files = args
			return a.run(cmd)
		},
	}
	fs := cmd.Flags()
	fs.BoolVar(&a.json, "json", false, "one sonde.query.v1.Result as JSON a line, instead of a table")
	fs.BoolVar(&a.stats, "stats", false, "tell on standard error how long results took from hand-over to store")
	fs.StringVar(&a.agent.Filter, "filter", "", "only packets that match, in the syntax of pcap-filter(7)")
	fs.Uint32Var(&a.agent.HeadPackets, "head-packets", a.agent.HeadPackets, "packets of a session that are sent and classified; 0 sends every packet")
	fs.StringVar(&a.inference.ONNXRuntime, "onnxruntime", a.inference.ONNXRuntime, "path of libonnxruntime.so; empty: beside the program, then where the system looks")
	fs.StringVar(&a.inference.Models, "models", a.inference.Models, "folder of models, MODEL/VERSION/model.onnx; they win over the one built in")
	fs.StringVar(&a.inference.Model, "model", a.inference.Model, "model that classifies, in its newest version")
	a.log.RegisterFlags(fs)
	return cmd
}

func (a *analysis) validate() error {
	bad := []error{a.log.Validate()}
	if slices.Contains(a.files, "") {
		bad = append(bad, errors.New("a FILE without a name"))
	}
	if first := slices.Index(a.files, "-"); first >= 0 && slices.Contains(a.files[first+1:], "-") {
		bad = append(bad, errors.New("standard input (-) can be read only once"))
	}
	return errors.Join(bad...)
}

func (a *analysis) run(cmd *cobra.Command) (err error) {
	if err := setUp(cmd.Flags(), "analyze", a.validate); err != nil {
		return err
	}
	log, err := telemetry.NewLogger(a.err, a.log)
	if err != nil {
		return usageError{err}
	}
	state, err := os.MkdirTemp("", "sonde-analyze-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	certs, err := mtls.EnsureDevelopment(filepath.Join(state, "certs"), mtls.DevelopmentOptions{})
	if err != nil {
		return err
	}
	if err := a.daemons(cmd.Context(), log, state, certs); err != nil {
		return err
	}
	if cmd.Context().Err() != nil {
		return errInterrupted
	}
	return nil
}

// errInterrupted keeps scripts from taking a part for the whole.
var errInterrupted = errors.New("interrupted: only what was read before is shown")

// daemons runs inference and collector for as long as the agent reads.
func (a *analysis) daemons(ctx context.Context, log *slog.Logger, state string, certs mtls.Development) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	a.inference.Listen, a.inference.Admin, a.inference.TLS = "127.0.0.1:0", "", certs.Service
	inferenceDaemon, err := inference.Open(ctx, a.inference, log, telemetry.NewRegistry())
	if err != nil {
		return err
	}
	c := collector.DefaultConfig()
	c.Listen, c.Admin, c.TLS = "127.0.0.1:0", "", certs.Service
	c.Inference, c.Model = inferenceDaemon.Addr().String(), a.inference.Model
	c.KeepResults, c.KeepPackets = 0, 0 // captures may be of any age, and nobody can ask for packets
	c.Results = "sqlite:" + filepath.Join(state, "results.db")
	metrics := telemetry.NewRegistry()
	collectorDaemon, err := collector.Open(ctx, c, log, metrics)
	if err != nil {
		return errors.Join(err, inferenceDaemon.Close())
	}
	collectorContext, stopCollector := context.WithCancel(context.WithoutCancel(ctx))
	inferenceContext, stopInference := context.WithCancel(context.WithoutCancel(ctx))
	collectorEnded, inferenceEnded := make(chan error, 1), make(chan error, 1)
	go func() { inferenceEnded <- inferenceDaemon.Run(inferenceContext); stop() }()
	go func() { collectorEnded <- collectorDaemon.Run(collectorContext); stop() }()
	// In the order of the data: the agent has ended when these are called.
	defer func() {
		stopCollector()
		err = errors.Join(err, <-collectorEnded, collectorDaemon.Close())
		stopInference()
		err = errors.Join(err, <-inferenceEnded, inferenceDaemon.Close())
	}()

	conn, err := operator(certs.Operator, collectorDaemon.Addr().String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	a.agent.Collectors, a.agent.Certificates = []string{collectorDaemon.Addr().String()}, certs.Agent
	daemon, err := a.openAgent(ctx, log)
	if err != nil {
		return err
	}
	err = errors.Join(a.capture(ctx, daemon, conn), a.report(context.WithoutCancel(ctx), conn))
	if a.stats {
		err = errors.Join(err, latencyLine(a.err, metrics))
	}
	return err
}

func operator(files mtls.Files, address string) (*grpc.ClientConn, error) {
	source, err := mtls.Open(files, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return rpc.Dial(address, rpc.DialOptions{Certificates: source, MaxMessageBytes: maxAnswerBytes})
}

// openAgent opens the agent on all files. It fails when none of them can be read.
func (a *analysis) openAgent(ctx context.Context, log *slog.Logger) (*agent.Agent, error) {
	for _, f := range a.files {
		a.agent.Captures = append(a.agent.Captures, "file:"+f)
	}
	a.agent.Admin, a.agent.Version = "", Version()
	a.agent.PlainNames, a.agent.SkipUnreadable = true, true
	return agent.Open(ctx, a.agent, log, telemetry.NewRegistry(), agent.Options{})
}

// capture runs the agent until every session of the files has its result. Its error names the files that could not be
// read; the others have gone through.
func (a *analysis) capture(ctx context.Context, daemon *agent.Agent, conn *grpc.ClientConn) error {
	finished := make(chan struct{})
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		if isTerminal(a.err) {
			a.progress(finished, daemon, conn)
		}
	}()
	err := daemon.Run(ctx)
	close(finished)
	<-shown
	return errors.Join(err, daemon.Close())
}

// progress rewrites one line on a terminal until finished is closed.
func (a *analysis) progress(finished <-chan struct{}, daemon *agent.Agent, conn *grpc.ClientConn) {
	const often = 200 * time.Millisecond
	ticker := time.NewTicker(often)
	defer ticker.Stop()
	defer fmt.Fprint(a.err, "\r\033[K")
	fleet := fleetv1.NewFleetServiceClient(conn)
	for {
		select {
		case <-finished:
			return
		case <-ticker.C:
		}
		p := daemon.Progress()
		line := fmt.Sprintf("%s of %s read, %d packets", byteText(p.Bytes), byteText(p.FileBytes), p.Packets)
		if ledger, err := fleet.GetLedger(context.Background(), &fleetv1.GetLedgerRequest{}); err == nil {
			line += fmt.Sprintf(", %d results", ledger.GetTotal().GetStoredSessions())
		}
		fmt.Fprintf(a.err, "\r\033[K%s", line)
	}
}

// report lists every result and the ledger.
func (a *analysis) report(ctx context.Context, conn *grpc.ClientConn) error {
	w := newWriter(a.out, a.json)
	if err := errors.Join(list(ctx, queryv1.NewQueryServiceClient(conn), "", 0, w.write), w.flush()); err != nil {
		return err
	}
	ledger, err := fleetv1.NewFleetServiceClient(conn).GetLedger(ctx, &fleetv1.GetLedgerRequest{})
	if err != nil {
		return err
	}
	var to io.Writer = a.out
	if a.json {
		to = a.err // standard output is for results alone
	}
	if err := ledgerLine(to, ledger.GetTotal()); err != nil {
		return err
	}
	if residual := ledger.GetTotal().GetResidual(); residual != 0 {
		return fmt.Errorf("the ledger leaves %d packets over; this is a defect of Sonde, please report it", residual)
	}
	return nil
}
