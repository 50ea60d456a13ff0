// Package confsync is the daemon between the tables in which operators keep the configuration and the store that the daemons
// watch. It follows the tables, publishes what changed, and carries what became of it back into tables beside them. Several
// may run; one of them leads, and another takes over within seconds of its end.
//
//	tables ── change ──> publish ──> store ──> agents, collectors, inference
//	   ^                                              │
//	   └────────── status, history <── publish <──────┘
package confsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"sonde.example/confsync/change"
	"sonde.example/confsync/publish"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/mtls"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
)

// partTables is the part of readiness that is there while this daemon leads or waits to, with its tables open.
const partTables = "tables"

// Options are what code sets, beside the operator's Config.
type Options struct {
	// Store, if set, is the store to publish to, whatever Config says; it is not closed.
	Store confstore.Store
}

// Confsync is the daemon. Open makes one, Run runs it, Close undoes Open.
type Confsync struct {
	log       *slog.Logger
	ready     *telemetry.Ready
	admin     *telemetry.Admin // nil without one
	certs     *mtls.Source     // nil without certificates
	source    change.Source
	publisher *publish.Publisher
	closers   []func() error // in the order of opening
}

// Open validates the configuration, opens the tables, which it makes if there are none, and binds the admin address. It does
// not wait for the store.
func Open(ctx context.Context, c Config, log *slog.Logger, reg *prometheus.Registry, o Options) (*Confsync, error) {
	if err := c.validate(o.Store == nil); err != nil {
		return nil, err
	}
	d := &Confsync{log: log, ready: telemetry.NewReady(partTables)}
	if err := d.open(ctx, &c, reg, o); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Confsync) open(ctx context.Context, c *Config, reg *prometheus.Registry, o Options) (err error) {
	if c.Admin != "" {
		if d.admin, err = telemetry.OpenAdmin(ctx, c.Admin, reg, d.ready, d.log); err != nil {
			return fmt.Errorf("--admin: %w", err)
		}
		d.closers = append(d.closers, d.admin.Close)
	}
	store := o.Store
	keys, err := config.NewKeys(config.DefaultRoot)
	if err != nil {
		return err
	}
	if store == nil {
		if d.certs, err = mtls.Open(c.TLS, d.log); err != nil {
			return err
		}
		if err := d.certs.Require(mtls.RoleService); err != nil {
			return err
		}
		if store, keys, err = openStore(ctx, c.ConfigStore, d.certs, d.log); err != nil {
			return fmt.Errorf("--config-store: %w", err)
		}
		d.closers = append(d.closers, store.Close)
	}
	if d.source, err = openSource(ctx, c.Database); err != nil {
		return fmt.Errorf("--database: %w", err)
	}
	d.closers = append(d.closers, d.source.Close)
	metrics, err := publish.NewMetrics(reg)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	d.publisher = publish.New(publish.Options{
		Source: d.source, Store: store, Keys: keys, Candidate: c.Name, Compile: publish.CompileFilter,
		ConfirmDeletions: c.ConfirmDeletions, Metrics: metrics, Log: d.log,
	})
	return nil
}

// AdminAddr returns the address of the admin HTTP, nil without one.
func (d *Confsync) AdminAddr() net.Addr {
	if d.admin == nil {
		return nil
	}
	return d.admin.Addr()
}

// Run publishes until ctx ends. What an operator has committed by then and is not published is published by the next one.
func (d *Confsync) Run(ctx context.Context) error {
	services := []service.Service{d.publisher}
	if d.certs != nil {
		services = append(services, d.certs)
	}
	if d.admin != nil {
		services = append(services, d.admin)
	}
	d.ready.Set(partTables)
	defer d.ready.Unset(partTables, "stopping")
	return service.Run(ctx, services...)
}

// Close undoes Open.
func (d *Confsync) Close() error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	d.closers = nil
	return errors.Join(errs...)
}
