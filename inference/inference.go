// Package inference is the daemon that runs models.
//
// Tensors come in by the Open Inference Protocol (kserve), raw sessions by the
// ClassifierService (server); both acquire a model from the repository (model),
// whose files were checked and warmed up before they took anybody's place, and wait
// in one queue bounded in rows (batcher) for a worker, one a core, to run them with
// whatever else waits for the same model. When the queue is full a request is
// refused at once, and callers that can wait do so. A new version takes the old
// one's place under load without a request noticing; one that is refused changes
// nothing. When the daemon stops it takes no more, answers what it has, and closes
// the models when the last request has left them.
package inference

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"sonde.example/inference/batcher"
	"sonde.example/inference/kserve"
	"sonde.example/inference/model"
	"sonde.example/inference/route"
	"sonde.example/inference/server"
	"sonde.example/internal/config"
	"sonde.example/internal/feature"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/service"
	"sonde.example/internal/serving"
	"sonde.example/internal/telemetry"
)

// partModel is the part of the daemon's readiness that the default model is.
const partModel = "model"

// Daemon is the inference daemon, open. Run it once, then Close it.
type Daemon struct {
	config   Config
	log      *slog.Logger
	listener net.Listener
	certs    *mtls.Source
	models   *model.Repository
	batcher  *batcher.Batcher
	router   *route.Router
	follower *config.ServiceFollower // nil without a configuration store
	server   *rpc.Server
	admin    *telemetry.Admin // nil without --admin
	ready    *telemetry.Ready
	close    []func() error // undoes Open, last first
}

// Open validates, binds the listeners, loads ONNX Runtime and the default model.
// The error says what to do about a taken port, a missing library, or a model that
// must not be served. It starts no goroutine; on an error nothing is left open.
func Open(ctx context.Context, c Config, log *slog.Logger, reg prometheus.Registerer) (_ *Daemon, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d := &Daemon{config: c, log: log, ready: telemetry.NewReady(partModel)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.certs, err = mtls.Open(c.TLS, log); err != nil {
		return nil, err
	}
	if err := d.certs.Require(mtls.RoleService); err != nil {
		return nil, err
	}
	if d.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	d.closeLater(func() error { return unlessClosed(d.listener.Close()) })
	gatherer, _ := reg.(prometheus.Gatherer)
	if c.Admin != "" && gatherer != nil {
		if d.admin, err = telemetry.OpenAdmin(ctx, c.Admin, gatherer, d.ready, log); err != nil {
			return nil, fmt.Errorf("--admin: %w", err)
		}
		d.closeLater(d.admin.Close)
	}
	if err := d.openModels(ctx); err != nil {
		return nil, err
	}
	metrics := newMetrics(reg, d)
	d.batcher = batcher.New(batcher.Options{Workers: c.workers(), MaxQueueRows: c.queueRows(), MaxDelay: c.MaxDelay, Observe: metrics.observe})
	d.router = route.New(route.Options{
		Models: d.models, Predictor: d.batcher, Model: c.Model, Changed: d.planned, Compared: metrics.compared, Log: log,
	})
	if err := d.openFollower(ctx, reg); err != nil {
		return nil, err
	}
	d.openServer(reg)
	return d, nil
}

func (d *Daemon) closeLater(f func() error) { d.close = append(d.close, f) }

func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// openModels makes the repository and loads the default model.
func (d *Daemon) openModels(ctx context.Context) error {
	opener, err := openRuntime(&d.config)
	if err != nil {
		return err
	}
	places, err := folders(&d.config)
	if err != nil {
		return err
	}
	d.models = model.New(model.Options{
		Folders: places, Opener: opener, Contract: contract(), Workers: d.config.workers(), Changed: d.changed,
	}, d.log)
	d.closeLater(d.models.Close)
	if err := d.models.Load(ctx, d.config.Model, serving.VersionPolicy{}); err != nil {
		return fmt.Errorf("--model: %w", err)
	}
	lease, err := d.models.Acquire(d.config.Model, "")
	if err != nil {
		return fmt.Errorf("--model: %w", err)
	}
	defer lease.Release()
	if !lease.Info().Classifier() {
		d.log.Warn("the default model does not classify sessions", telemetry.KeyModel, d.config.Model, telemetry.KeyFile, lease.Info().Origin)
	}
	return nil
}

// contract is what the features that this program computes demand of a
// classifier.
func contract() model.Contract {
	return model.Contract{SchemaSHA256: feature.SchemaSHA256(), Inputs: []serving.Tensor{
		{Name: feature.TensorBytes, Type: serving.Uint8, Dims: []int64{feature.ByteColumns}},
		{Name: feature.TensorSeries, Type: serving.FP32, Dims: []int64{feature.SeriesRows, feature.MaxPackets}},
		{Name: feature.TensorMeta, Type: serving.FP32, Dims: []int64{feature.MetaColumns}},
	}}
}

// changed keeps the readiness in step with the default model.
func (d *Daemon) changed(name string, versions []int64) {
	model := d.config.Model
	if d.router != nil { // not while it is opened
		model = d.router.Model()
	}
	switch {
	case name != model:
	case len(versions) == 0:
		d.ready.Unset(partModel, "model "+name+" is not loaded")
	default:
		d.ready.Set(partModel)
	}
}

// planned does so when another model becomes the default; it is loaded by then.
func (d *Daemon) planned() { d.ready.Set(partModel) }

// openServer makes the gRPC server with both services.
func (d *Daemon) openServer(reg prometheus.Registerer) {
	d.server = rpc.NewServer(rpc.ServerOptions{
		Certificates: d.certs, Table: table(), Log: d.log, Daemon: "inference", Registry: reg, Ready: d.ready,
		MaxMessageBytes: rpc.InferenceMaxMessageBytes,
	})
	d.closeLater(func() error { d.server.Close(); return nil })
	kserve.New(kserve.Options{
		Models: d.router, Predictor: d.router, Route: d.router.Route, Ready: func() bool { return d.ready.State().OK() }, Version: d.config.Version,
		Workers: d.config.workers(), MaxQueueRows: d.config.queueRows(), MaxDelay: d.config.MaxDelay,
	}, d.log).Register(d.server)
	server.New(server.Options{Models: d.router, Predictor: d.router, Model: d.router.Model, Route: d.router.Route, Log: d.log}).Register(d.server)
}

// Addr is the address of the gRPC services, which tells the port of :0.
func (d *Daemon) Addr() net.Addr { return d.listener.Addr() }

// AdminAddr is the address of the admin HTTP; nil without one.
func (d *Daemon) AdminAddr() net.Addr {
	if d.admin == nil {
		return nil
	}
	return d.admin.Addr()
}

// Run serves until ctx ends; then it takes no more calls, answers those under way,
// and returns.
func (d *Daemon) Run(ctx context.Context) error {
	others := []service.Service{d.certs, d.router}
	if d.admin != nil {
		others = append(others, d.admin)
	}
	if d.follower != nil {
		d.follower.Boot(ctx)
		others = append(others, d.follower)
	}
	return service.InOrder(
		service.Func(func(ctx context.Context) error { return d.server.Run(ctx, d.listener) }),
		d.batcher,
		service.Func(func(ctx context.Context) error { return service.Run(ctx, others...) }),
	).Run(ctx)
}

// Close undoes Open. It waits until no request has a lease on a model.
func (d *Daemon) Close() error {
	var all []error
	for len(d.close) > 0 {
		last := len(d.close) - 1
		all = append(all, d.close[last]())
		d.close = d.close[:last]
	}
	return errors.Join(all...)
}
