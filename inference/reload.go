package inference

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/inference/route"
	"sonde.example/internal/config"
	"sonde.example/internal/telemetry"
)

// openFollower makes the follower of the configuration, if there is a store to follow.
func (d *Daemon) openFollower(ctx context.Context, reg prometheus.Registerer) error {
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
		Store: store, Keys: keys, Role: config.RoleInference, Name: c.ConfigName, Cache: c.State,
		BootID: config.NewBootID(), Version: c.Version, Apply: d.apply, Deleted: d.unapply, Log: d.log,
	})
	if err == nil && reg != nil {
		reg.MustRegister(d.follower.Metrics("inference"))
	}
	return err
}

// apply puts a configuration in force: every version it names serves, or nothing has changed.
func (d *Daemon) apply(ctx context.Context, p *configv1.PublishedServiceConfig) (warning string, err error) {
	c := p.GetConfig()
	return d.router.Apply(ctx, route.Plan{
		Model: c.GetModel(), Version: c.GetModelVersion(), Shadow: c.GetShadowVersion(), Canary: c.GetCanaryVersion(), Percent: c.GetCanaryPercent(),
	})
}

// unapply goes back to the flags.
func (d *Daemon) unapply(ctx context.Context) {
	if _, err := d.router.Apply(ctx, route.Plan{}); err != nil {
		d.log.Error("the model of the flags cannot be served any more", telemetry.KeyError, err)
	}
}
