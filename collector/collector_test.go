package collector_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"sonde.example/collector"
	"sonde.example/collector/session/sessiontest"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/telemetry"
)

// daemon is a collector that runs; inference is away, so that only sessions without packets get results.
type daemon struct {
	*collector.Collector
	certs mtls.Development
	stop  context.CancelFunc
	ended chan error
}

func newConfig(t *testing.T) (collector.Config, mtls.Development) {
	t.Helper()
	certs, err := mtls.EnsureDevelopment(t.TempDir(), mtls.DevelopmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := collector.DefaultConfig()
	c.Listen, c.Admin, c.TLS = "127.0.0.1:0", "127.0.0.1:0", certs.Service
	c.Inference, c.Results = "127.0.0.1:1", "sqlite:"+filepath.Join(t.TempDir(), "results.db")
	return c, certs
}

func run(t *testing.T, c collector.Config, certs mtls.Development) *daemon {
	t.Helper()
	d, err := collector.Open(t.Context(), c, slog.New(slog.DiscardHandler), telemetry.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	running := &daemon{Collector: d, certs: certs, stop: stop, ended: make(chan error, 1)}
	go func() { running.ended <- d.Run(ctx) }()
	return running
}

func (d *daemon) end(t *testing.T) {
	t.Helper()
	d.stop()
	if err := errors.Join(<-d.ended, d.Close()); err != nil {
		t.Error(err)
	}
}

func (d *daemon) dial(t *testing.T, files mtls.Files) *grpc.ClientConn {
	t.Helper()
	source, err := mtls.Open(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := rpc.Dial(d.Addr().String(), rpc.DialOptions{Certificates: source})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// agentStream opens a scripted agent's stream.
func agentStream(t *testing.T, conn *grpc.ClientConn, hello *ingestv1.Hello) (ingestv1.IngestService_IngestClient, *ingestv1.Welcome) {
	t.Helper()
	stream, err := ingestv1.NewIngestServiceClient(conn).Ingest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return stream, first.GetWelcome()
}

func TestFromAnAgentToItsResultsAndDrained(t *testing.T) {
	defer goleak.VerifyNone(t)
	c, certs := newConfig(t)
	d := run(t, c, certs)
	agentConn, operatorConn := d.dial(t, certs.Agent), d.dial(t, certs.Operator)
	a := sessiontest.NewAgent("the certificate's id counts, not this", 7, 0)
	stream, _ := agentStream(t, agentConn, a.Hello(0))
	a.UDP("10.0.0.1:1000", "10.0.0.2:53").Cut(3).End(flowv1.EndReason_END_REASON_IDLE)
	if err := stream.Send(sessiontest.Request(a.Batch())); err != nil {
		t.Fatal(err)
	}
	for durable := uint64(0); durable < 1; {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		durable = r.GetAck().GetDurable()
	}
	list, err := queryv1.NewQueryServiceClient(operatorConn).ListResults(t.Context(), &queryv1.ListResultsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if r := list.GetResults(); len(r) != 1 || r[0].GetAgent() != "local" || r[0].GetForward().GetPackets() != 3 ||
		r[0].GetState() != queryv1.ResultState_RESULT_STATE_COUNTED {
		t.Errorf("results %v", r)
	}
	fleet := fleetv1.NewFleetServiceClient(operatorConn)
	ledger, err := fleet.GetLedger(t.Context(), &fleetv1.GetLedgerRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if total := ledger.GetTotal(); total.GetResidual() != 0 || total.GetStoredPackets() != 3 || total.GetPendingSessions() != 0 {
		t.Errorf("ledger %v", total)
	}

	// The collector stops: the agent is told, sends what it has in hand, and hears of it.
	d.stop()
	drained := false
	for !drained {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		drained = r.GetDrain() != nil
	}
	a.TCP("10.0.0.1:1000", "10.0.0.2:80").Up("head")
	if err := errors.Join(stream.Send(sessiontest.Request(a.Batch())), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	received := uint64(0)
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		received = max(received, r.GetAck().GetReceived())
	}
	if received != 2 {
		t.Errorf("received is %d when the stream ends", received)
	}
	if err := errors.Join(<-d.ended, agentConn.Close(), operatorConn.Close(), d.Close()); err != nil {
		t.Error(err)
	}

	// What was not durable comes again.
	again := run(t, c, certs)
	conn := again.dial(t, certs.Agent)
	stream, welcome := agentStream(t, conn, a.Hello(1))
	if welcome.GetResumeSequence() != 2 {
		t.Errorf("goes on from %d", welcome.GetResumeSequence())
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	again.end(t)
}

func TestWhoMayCallWhat(t *testing.T) {
	c, certs := newConfig(t)
	d := run(t, c, certs)
	defer d.end(t)
	calls := map[string]func(ctx context.Context, conn *grpc.ClientConn) error{
		"ingest": func(ctx context.Context, conn *grpc.ClientConn) error {
			stream, err := ingestv1.NewIngestServiceClient(conn).Ingest(ctx)
			if err != nil {
				return err
			}
			_ = stream.CloseSend() // Recv tells
			_, err = stream.Recv()
			return err
		},
		"list": func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := queryv1.NewQueryServiceClient(conn).ListResults(ctx, &queryv1.ListResultsRequest{})
			return err
		},
		"packets": func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := queryv1.NewQueryServiceClient(conn).GetSessionPackets(ctx, &queryv1.GetSessionPacketsRequest{SessionId: strings.Repeat("0", 26)})
			return err
		},
		"ledger": func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := fleetv1.NewFleetServiceClient(conn).GetLedger(ctx, &fleetv1.GetLedgerRequest{})
			return err
		},
		"health": func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
			return err
		},
	}
	const denied = codes.PermissionDenied
	for _, test := range []struct {
		role  string
		files mtls.Files
		want  map[string]codes.Code
	}{
		{"agent", certs.Agent, map[string]codes.Code{
			"ingest": codes.FailedPrecondition, "list": denied, "packets": denied, "ledger": denied, "health": codes.OK,
		}},
		{"viewer", certs.Viewer, map[string]codes.Code{
			"ingest": denied, "list": codes.OK, "packets": denied, "ledger": codes.OK, "health": codes.OK,
		}},
		{"service", certs.Service, map[string]codes.Code{
			"ingest": denied, "list": codes.OK, "packets": denied, "ledger": codes.OK, "health": codes.OK,
		}},
		{"operator", certs.Operator, map[string]codes.Code{
			"ingest": denied, "list": codes.OK, "packets": codes.NotFound, "ledger": codes.OK, "health": codes.OK,
		}},
	} {
		t.Run(test.role, func(t *testing.T) {
			conn := d.dial(t, test.files)
			defer conn.Close()
			for name, want := range test.want {
				if err := calls[name](t.Context(), conn); status.Code(err) != want {
					t.Errorf("%s: %v, want %v", name, err, want)
				}
			}
		})
	}
}

func TestMetricsAndReadiness(t *testing.T) {
	c, certs := newConfig(t)
	d := run(t, c, certs)
	defer d.end(t)
	get := func(path string) (int, string) {
		r, err := http.Get("http://" + d.AdminAddr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(body)
	}
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "inference") {
		t.Errorf("ready without inference: %d %s", code, body)
	}
	_, body := get("/metrics")
	for _, name := range []string{"streams", "rejected_batches_total{reason=\"full\"}", "open_sessions", "outbox_sessions",
		"sweep_lag_seconds", "law_residual"} {
		if !strings.Contains(body, "sonde_collector_"+name+" 0") {
			t.Errorf("no metric %s that is 0", name)
		}
	}
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for _, test := range []struct {
		flag  string
		spoil func(c *collector.Config)
	}{
		{"--listen", func(c *collector.Config) { c.Listen = "7443" }},
		{"--inference", func(c *collector.Config) { c.Inference = "" }},
		{"--model", func(c *collector.Config) { c.Model = "" }},
		{"--sessions", func(c *collector.Config) { c.Sessions = "redis://x" }},
		{"--queue", func(c *collector.Config) { c.Queue = "amqp://user:secret@x" }},
		{"--results", func(c *collector.Config) { c.Results = "sqlite:" }},
		{"--keep-results", func(c *collector.Config) { c.KeepResults = -1 }},
		{"--keep-packets", func(c *collector.Config) { c.KeepPackets = -1 }},
		{"--hand-over-deadline", func(c *collector.Config) { c.HandOverDeadline = time.Hour }},
		{"--session-bytes", func(c *collector.Config) { c.SessionBytes = "1MiB" }},
		{"--drain-timeout", func(c *collector.Config) { c.DrainTimeout = 0 }},
		{"--admin", func(c *collector.Config) { c.Admin = "no port" }},
		{"--tls-ca", func(c *collector.Config) { c.TLS.CA = "" }},
	} {
		c, _ := newConfig(t)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		test.spoil(&c)
		_, err := collector.Open(t.Context(), c, slog.New(slog.DiscardHandler), telemetry.NewRegistry())
		if err == nil || !strings.Contains(err.Error(), test.flag+":") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", test.flag, err)
		}
	}
}

func TestATakenPortIsAnErrorAtOnce(t *testing.T) {
	c, certs := newConfig(t)
	d := run(t, c, certs)
	defer d.end(t)
	c.Listen, c.Results = d.Addr().String(), "sqlite:"+filepath.Join(t.TempDir(), "other.db")
	if _, err := collector.Open(t.Context(), c, slog.New(slog.DiscardHandler), telemetry.NewRegistry()); err == nil ||
		!strings.Contains(err.Error(), "--listen") {
		t.Errorf("got %v", err)
	}
}
