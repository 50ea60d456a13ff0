package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	configv1 "sonde.example/gen/go/sonde/config/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"

	"sonde.example/collector/classify"
	"sonde.example/internal/config"
	"sonde.example/internal/retry"
	"sonde.example/internal/service"
)

const (
	// proveFor is how long a model that is not served yet is waited for: collector and inference are often told of a new
	// version by one transaction, and loading takes a moment.
	proveFor = 3 * time.Second
	// proveEvery lies between two questions.
	proveEvery = 100 * time.Millisecond
	// proveAgain is when a model that was refused is asked for again.
	proveAgain = 15 * time.Second
)

// openFollower makes the follower of the configuration, if there is a store to follow.
func (d *Collector) openFollower(ctx context.Context, reg prometheus.Registerer) error {
	c := &d.config
	store, keys, err := openStore(ctx, c, d.certs, d.log)
	if err != nil {
		return fmt.Errorf("--config-store: %w", err)
	}
	if store == nil {
		return nil
	}
	if c.Store == nil {
		d.closeLater(store.Close)
	}
	d.follower, err = config.NewServiceFollower(config.FollowerOptions[*configv1.PublishedServiceConfig]{
		Store: store, Keys: keys, Role: config.RoleCollector, Name: c.ConfigName, Cache: c.State,
		BootID: config.NewBootID(), Version: c.Version, Apply: d.apply, Deleted: d.unapply, Log: d.log,
	})
	if err == nil {
		reg.MustRegister(d.follower.Metrics("collector"))
	}
	return err
}

// settings are what applies live, the flags put in for what is not set.
type settings struct {
	deadline                 time.Duration
	sessionBytes             int64
	keepResults, keepPackets time.Duration
	target                   classify.Target
	ports                    *flowv1.TunnelPorts // unset: the well-known ones
}

// settle merges a configuration, which is valid, with the flags.
func (c *Config) settle(from *configv1.ServiceConfig) (settings, error) {
	bytes, err := service.ParseBytes(c.SessionBytes)
	if err != nil {
		return settings{}, err
	}
	s := settings{
		deadline:     cmp.Or(from.GetHandOverDeadline().AsDuration(), c.HandOverDeadline),
		sessionBytes: cmp.Or(int64(from.GetSessionBytes()), bytes), //nolint:gosec // at most config.MaxBytes
		keepResults:  cmp.Or(from.GetKeepResults().AsDuration(), c.KeepResults),
		keepPackets:  c.KeepPackets,
		target:       classify.Target{Model: cmp.Or(from.GetModel(), c.Model), Version: from.GetModelVersion()},
		ports:        from.GetTunnelPorts(),
	}
	if from.GetKeepPackets() != nil { // zero is a wish too
		s.keepPackets = from.GetKeepPackets().AsDuration()
	}
	return s, nil
}

// apply puts a configuration in force: first everything is proved, then nothing can fail any more.
func (d *Collector) apply(ctx context.Context, p *configv1.PublishedServiceConfig) (warning string, err error) {
	s, err := d.config.settle(p.GetConfig())
	if err != nil {
		return "", err
	}
	if s.target != d.classify.Target() {
		if warning, err = d.prove(ctx, s.target); err != nil {
			return "", err
		}
	}
	d.use(s)
	return warning, nil
}

// prove asks inference for a model. One that does not answer at the start proves nothing against it.
func (d *Collector) prove(ctx context.Context, target classify.Target) (warning string, err error) {
	for deadline := time.Now().Add(proveFor); ; {
		err = d.classify.Prove(ctx, target)
		switch {
		case err == nil:
			return "", nil
		case !d.booted.Load() && !errors.Is(err, classify.ErrNotServed):
			return "not proved: " + err.Error(), nil
		case !d.booted.Load(), time.Now().After(deadline), retry.Sleep(ctx, proveEvery) != nil:
			field := config.FieldModelVersion
			if target.Version == "" {
				field = config.FieldModel
			}
			return "", config.Later(&config.FieldError{Field: field, Err: err}, proveAgain)
		}
	}
}

// unapply goes back to the flags.
func (d *Collector) unapply(context.Context) {
	s, err := d.config.settle(nil)
	if err != nil {
		panic("the flags were valid")
	}
	d.use(s)
}

func (d *Collector) use(s settings) {
	d.sessions.SetDeadline(s.deadline)
	d.sessions.SetBytes(s.sessionBytes)
	d.retention.Keep(s.keepResults, s.keepPackets)
	if s.target != d.classify.Target() {
		d.classify.Use(s.target)
		d.again.Look()
	}
	d.walkers.SetDefault(s.ports)
}
