// Package collector takes the streams of agents, assembles sessions, has their heads classified and keeps the results.
//
//	agents ==> ingest -> session -> outbox -> relay -> queue -> worker -> results <- query <-- operators
//	              ^------ marks ------'                           '--> inference
//
// Each stage knows the next only through an interface of its own; here they are introduced to each other. A batch that was
// acknowledged as durable is in the results; a collector that is killed at any moment, and started again on the same
// results, loses nothing and counts nothing twice. When the result store or inference is away, queue, outbox and windows
// fill up, in this order, and the agents wait. When the collector stops, agents are told to go, what is in flight is
// applied and acknowledged, and no session ends by it.
package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sonde.example/collector/classify"
	"sonde.example/collector/dispatch"
	"sonde.example/collector/fleet"
	"sonde.example/collector/ingest"
	"sonde.example/collector/query"
	"sonde.example/collector/result"
	"sonde.example/collector/session"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet"
	"sonde.example/internal/rpc"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
)

// Collector is the daemon. Open makes one, Run runs it, Close undoes Open.
type Collector struct {
	config    Config
	log       *slog.Logger
	ready     *telemetry.Ready
	listener  net.Listener
	admin     *telemetry.Admin // nil without one
	certs     *mtls.Source
	server    *rpc.Server
	ingest    *ingest.Service
	sessions  sessions
	walkers   *packet.Walkers
	sweeper   *session.Sweeper
	queue     queue
	retention *result.Retention
	relay     *dispatch.Relay
	worker    *dispatch.Worker
	again     *dispatch.Again
	results   results
	classify  *classify.Client
	law       *law
	follower  *config.ServiceFollower // nil without a configuration store
	booted    atomic.Bool             // what there was to start from is in force
	closers   []func() error          // in the order of opening
}

// partInference names the part that readiness waits for; without it everything is taken and waits.
const partInference = "inference"

// table says who may call what; health and reflection are the server's own.
func table() rpc.Table {
	agent := []mtls.Role{mtls.RoleAgent}
	read := []mtls.Role{mtls.RoleService, mtls.RoleOperator, mtls.RoleViewer}
	return rpc.Table{
		ingestv1.IngestService_Ingest_FullMethodName:          agent,
		queryv1.QueryService_ListResults_FullMethodName:       read,
		queryv1.QueryService_GetResult_FullMethodName:         read,
		queryv1.QueryService_WatchResults_FullMethodName:      read,
		queryv1.QueryService_GetSessionPackets_FullMethodName: {mtls.RoleOperator}, // payload is personal data
		queryv1.QueryService_LabelSession_FullMethodName:      {mtls.RoleOperator},
		queryv1.QueryService_ListCorrections_FullMethodName:   {mtls.RoleOperator}, // payload, too
		fleetv1.FleetService_ListAgents_FullMethodName:        read,
		fleetv1.FleetService_GetLedger_FullMethodName:         read,
	}
}

// Open validates the configuration, opens the stores and binds the addresses. It starts nothing.
func Open(ctx context.Context, c Config, log *slog.Logger, reg *prometheus.Registry) (*Collector, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d := &Collector{config: c, log: log, ready: telemetry.NewReady(partInference)}
	if err := d.open(ctx, reg); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Collector) open(ctx context.Context, reg *prometheus.Registry) (err error) {
	c := &d.config
	if d.certs, err = mtls.Open(c.TLS, d.log); err != nil {
		return err
	}
	if err := d.certs.Require(mtls.RoleService); err != nil {
		return err
	}
	if d.listener, err = listen(ctx, c.Listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	d.closeLater(func() error { return ignoreClosed(d.listener.Close()) })
	if c.Admin != "" {
		if d.admin, err = telemetry.OpenAdmin(ctx, c.Admin, reg, d.ready, d.log); err != nil {
			return fmt.Errorf("--admin: %w", err)
		}
		d.closeLater(d.admin.Close)
	}
	if d.results, err = openResults(ctx, c.Results); err != nil {
		return fmt.Errorf("--results: %w", err)
	}
	d.closeLater(d.results.Close)
	d.walkers = packet.NewWalkers(packet.DefaultOptions())
	if d.sessions, err = openSessions(ctx, c, d.walkers, d.results, d.log); err != nil {
		return err
	}
	d.closeLater(d.sessions.Close)
	if d.queue, err = openQueue(c.Queue); err != nil {
		return err
	}
	d.closeLater(d.queue.Close)
	conn, err := rpc.Dial(c.Inference, rpc.DialOptions{Certificates: d.certs, MaxMessageBytes: rpc.InferenceMaxMessageBytes})
	if err != nil {
		return fmt.Errorf("--inference: %w", err)
	}
	d.closeLater(conn.Close)
	d.classify = classify.New(conn, classify.Target{Model: c.Model}, classify.Options{Stream: c.InferenceStream, Answers: func(classify.Target) { d.again.Look() }}, d.log)
	d.wire(reg)
	return d.openFollower(ctx, reg)
}

// wire introduces the stages to each other.
func (d *Collector) wire(reg *prometheus.Registry) {
	hub := query.NewHub()
	assembler := session.NewAssembler(d.sessions, d.walkers)
	d.ingest = ingest.New(assembler, ingest.Options{Log: d.log, DrainGrace: min(4*time.Second, d.config.DrainTimeout*3/4)})
	d.relay = dispatch.NewRelay(d.sessions, d.queue, d.log)
	counts := dispatch.NewMetrics(reg, d.queue.Len)
	d.again = dispatch.NewAgain(d.queue, d.results, d.log, counts)
	d.worker = dispatch.NewWorker(dispatch.WorkerOptions{
		Queue: d.queue, Classifier: d.classify, Results: d.results, Settler: d.sessions, Tail: hub, Walkers: d.walkers, Log: d.log,
		Metrics: counts, DropPackets: func() bool { return !d.retention.KeepsPackets() },
	})
	d.retention = result.NewRetention(d.results, d.config.KeepResults, d.config.KeepPackets, d.log)
	ledger := fleet.New(d.ingest, d.sessions, d.results)
	d.law = &law{ledger: ledger}
	metrics := newMetrics(reg, d.ingest, assembler, d.sessions, d.law)
	log := telemetry.Limited(d.log.With(telemetry.KeyComponent, "sweeper"), time.Minute)
	d.sweeper = session.NewSweeper(d.sessions, func(err error) {
		metrics.sweepErrors.Inc()
		log.Warn("sweep failed, it is tried again", telemetry.KeyError, err)
	})
	d.server = rpc.NewServer(rpc.ServerOptions{
		Certificates: d.certs, Table: table(), Log: d.log, Daemon: "collector", Registry: reg, Ready: d.ready,
		MapError: mapError, DrainTimeout: d.config.DrainTimeout,
	})
	d.closeLater(func() error { d.server.Close(); d.ingest.Wait(); return nil })
	d.ingest.Register(d.server)
	queryv1.RegisterQueryServiceServer(d.server, query.New(query.Options{
		Results: d.results, Corrections: d.results, Walkers: d.walkers, Hub: hub,
	}))
	ledger.Register(d.server)
}

// mapError is the table between the stages' sentinels and what goes over the wire.
func mapError(err error) error {
	switch {
	case errors.Is(err, session.ErrFenced):
		return ingest.ErrFenced
	case errors.Is(err, session.ErrClosed):
		return rpc.Unavailable(time.Second, ingest.ReasonDraining, "the collector stops")
	}
	return nil
}

func (d *Collector) closeLater(f func() error) { d.closers = append(d.closers, f) }

// Addr returns the address that is bound, which tells the port of :0.
func (d *Collector) Addr() net.Addr { return d.listener.Addr() }

// AdminAddr returns the address of the admin HTTP, nil without one.
func (d *Collector) AdminAddr() net.Addr {
	if d.admin == nil {
		return nil
	}
	return d.admin.Addr()
}

// Close undoes Open. After Run it lets go of what Run used.
func (d *Collector) Close() error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	d.closers = nil
	return errors.Join(errs...)
}

// Run works until ctx ends, and drains: agents are told to go and get their last acks, then the sweeper ends; once nothing
// is on its way to a result any more the relay ends, and the worker, and at last the store keeps its marks.
func (d *Collector) Run(ctx context.Context) error {
	background := []service.Service{d.certs, service.Func(d.watchInference), d.retention, d.law}
	if d.admin != nil {
		background = append(background, d.admin)
	}
	if d.follower != nil {
		d.follower.Boot(ctx)
		d.booted.Store(true)
		background = append(background, d.follower)
	}
	way := service.InOrder(
		service.Func(func(ctx context.Context) error { return d.server.Run(ctx, d.listener) }),
		d.sweeper, d.again, dispatch.Drain(d.idle, d.config.DrainTimeout, d.log), d.relay, d.worker, d.sessions,
	)
	// What stands beside the way of the data ends after it: certificates are needed to the last ack.
	return service.Run(ctx, service.InOrder(way, service.Func(func(ctx context.Context) error {
		return service.Run(ctx, background...)
	})))
}

// idle tells whether everything handed over has its result.
func (d *Collector) idle() bool { return d.sessions.Usage().Outbox == 0 && d.queue.Idle() }

const (
	inferenceUnready = 500 * time.Millisecond // between two looks at inference while it is away
	inferenceReady   = 5 * time.Second        // and while it is there
	inferenceTimeout = 2 * time.Second
)

// watchInference keeps readiness in step with inference, and has failed results tried again when it is back. The worker
// finds out by itself.
func (d *Collector) watchInference(ctx context.Context) error {
	for last, away := "", true; ; {
		wait := inferenceReady
		asking, cancel := context.WithTimeout(ctx, inferenceTimeout)
		err := d.classify.Ready(asking)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			d.ready.Set(partInference)
			if away {
				d.again.Look()
			}
			last, away = "", false
		default:
			wait, away = inferenceUnready, true
			d.ready.Unset(partInference, "does not answer, or has no model that fits")
			if err.Error() != last {
				last = err.Error()
				d.log.Warn("inference is not ready, sessions wait", telemetry.KeyError, err)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
