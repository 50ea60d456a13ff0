package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"sonde.example/agent/uplink"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/packet"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
)

// reload brings configurations from the store to the pump, the spool and the uplinks.
type reload struct {
	agent    *Agent
	follower *config.AgentFollower
	store    confstore.Client
	owned    bool // the store is closed at the end
}

const (
	// probeTimeout is how long a new collector has to prove itself.
	probeTimeout = 5 * time.Second
	// idleRetry is how often an agent that captures nothing tries a configuration again whose devices were not there.
	idleRetry = 10 * time.Second
	// controlEvery is how often connections that are over are forgotten, and loops looked for.
	controlEvery = time.Second
)

// openReload opens the store, if there is to be one.
func (a *Agent) openReload(ctx context.Context, given confstore.Client, log *slog.Logger) (err error) {
	if a.live == nil || given == nil && a.config.ConfigStore == "" {
		return nil
	}
	r := &reload{agent: a, store: given}
	root := config.DefaultRoot
	if given == nil {
		if r.store, root, err = a.openStore(ctx); err != nil {
			return fmt.Errorf("--config-store: %w", err)
		}
		r.owned = true
	}
	a.reload = r
	keys, err := config.NewKeys(root)
	if err != nil {
		return fmt.Errorf("--config-store: %w", err)
	}
	r.follower, err = config.NewAgentFollower(config.FollowerOptions[*configv1.PublishedAgentConfig]{
		Store: r.store, Keys: keys, Role: config.RoleAgent, Name: a.certificates.Identity().ID, Cache: a.config.State,
		BootID: config.NewBootID(), Version: a.config.Version, Log: log, Apply: r.apply, Deleted: r.stop,
	})
	return err
}

// close lets go of the store.
func (r *reload) close() error {
	if r == nil || !r.owned {
		return nil
	}
	return r.store.Close()
}

// control puts in force what the agent is to do, at first and whenever that changes, until ctx ends. The uplinks begin when
// it is known where to.
func (a *Agent) control(ctx context.Context) error {
	if a.reload == nil || !a.reload.follower.Boot(ctx) && ctx.Err() == nil {
		if err := a.enforce(ctx, a.flags); errors.Is(err, errEnded) {
			return nil // it says itself why
		} else if err != nil {
			return err
		}
		if len(a.flags.points) == 0 {
			a.log.Info("nothing is captured until a configuration says what")
		}
	}
	a.begin()
	services := []service.Service{service.Func(a.tend)}
	if a.reload != nil {
		services = append(services, a.reload.follower)
	}
	return service.Run(ctx, services...)
}

// tend does what is to be done now and then.
func (a *Agent) tend(ctx context.Context) error {
	ticker := time.NewTicker(controlEvery)
	defer ticker.Stop()
	limited := telemetry.Limited(a.log, warnEvery)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if err := a.guard.expire(); err != nil && ctx.Err() == nil {
				limited.Warn("connections that are over are still left out of the capture", telemetry.KeyError, err)
			}
			a.loops.look(now, a.sent.Load(), a.progress.bytes.Load(), a.log)
		}
	}
}

// enforce puts settings in force: all of them, or none. Only the goroutine of control calls it.
func (a *Agent) enforce(ctx context.Context, s *settings) error {
	work := context.WithoutCancel(ctx) // what is batched goes to the spool, which does not wait
	if err := a.live.do(func() error { return a.live.configure(work, s) }); err != nil {
		return err
	}
	a.spool.Resize(s.spoolBytes)
	before := a.running.Swap(s)
	for _, client := range a.uplinks {
		if !slices.Equal(before.collectors, s.collectors) {
			client.Redirect(s.collectors)
		}
		if before.revision != s.revision || !slices.Equal(before.points, s.points) || before.filter != s.filter {
			client.Refresh() // its Hello told of what was captured before
		}
	}
	a.enforced = true
	return nil
}

// apply puts a published configuration in force, or leaves everything as it was and says why. What may be refused comes
// first, and of that the change of the capture last, so that nothing is ever to be undone:
//
//	check ──> filter ──> prove new collector ──> capture (two phases, in the kernel) ──> limits, spool, uplinks
func (r *reload) apply(ctx context.Context, published *configv1.PublishedAgentConfig) (warning string, err error) {
	a := r.agent
	next, err := settingsOf(&a.config, published)
	if err != nil {
		return "", err
	}
	// Compiling may take seconds, which the goroutine that captures does not have. It finds a mistake again if this is the link
	// type that it meets.
	_, _ = next.program(packet.LinkEthernet)
	var warnings []string
	// At the start there is nothing that could go on instead; the uplinks try until somebody is there.
	if a.enforced && !slices.Equal(a.running.Load().collectors, next.collectors) {
		if warnings, err = r.prove(ctx, next.collectors); err != nil {
			return "", err
		}
	}
	if err := a.enforce(ctx, next); err != nil {
		if config.FieldOf(err) == config.FieldDevice && (!a.enforced || len(a.running.Load().points) == 0) {
			err = config.Later(err, idleRetry) // a device that comes late, at boot; nothing else is captured meanwhile
		}
		return "", err
	}
	for name, reason := range a.waitingPoints() {
		warnings = append(warnings, name+" waits: "+reason)
	}
	slices.Sort(warnings)
	return strings.Join(warnings, "; "), nil
}

// prove tries all addresses of a collector at the same time. One must answer; of the others it returns what is wrong.
func (r *reload) prove(ctx context.Context, addresses []string) (unreachable []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	errs := make([]error, len(addresses))
	var probes sync.WaitGroup
	for i, address := range addresses {
		probes.Go(func() { errs[i] = uplink.Probe(ctx, r.agent.probe, address) })
	}
	probes.Wait()
	for _, err := range errs {
		if err != nil {
			unreachable = append(unreachable, err.Error())
		}
	}
	if len(unreachable) == len(addresses) {
		return nil, config.Wrong(config.FieldCollector, "%w", errors.Join(errs...))
	}
	return unreachable, nil
}

// stop ends the capture, for the configuration was deleted; what was captured still goes up.
func (r *reload) stop(ctx context.Context) {
	next := *r.agent.running.Load()
	next.points = nil
	if err := r.agent.enforce(ctx, &next); err != nil && ctx.Err() == nil {
		r.agent.log.Error("capture goes on though its configuration was deleted", telemetry.KeyError, err)
	}
}

// waitingPoints tells why capture points wait for their device.
func (a *Agent) waitingPoints() map[string]string {
	if waiting := a.waiting.Load(); waiting != nil {
		return *waiting
	}
	return nil
}
