package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	configv1 "sonde.example/gen/go/sonde/config/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/packet"
	"sonde.example/internal/telemetry"
)

// reload brings configurations from the store to the pump.
type reload struct {
	agent *Agent
	// probe tells whether there is a collector at an address, and redirect makes the uplinks go there.
	probe    func(ctx context.Context, address string) error
	redirect func(addresses []string)
}

const (
	// probeTimeout is how long a new collector has to prove itself.
	probeTimeout = 5 * time.Second
	// controlEvery is how often connections that are over are forgotten, and loops looked for.
	controlEvery = time.Second
)

// control puts in force what the agent is to do, at first and whenever that changes, until ctx ends.
func (a *Agent) control(ctx, work context.Context) error {
	if a.reload == nil {
		if err := a.enforce(ctx, work, a.flags); err != nil {
			return err
		}
	}
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

// enforce puts settings in force on the pump and the spool.
func (a *Agent) enforce(ctx, work context.Context, s *settings) error {
	if err := a.live.do(ctx, func() error { return a.live.configure(work, s) }); err != nil {
		return err
	}
	a.spool.Resize(s.spoolBytes)
	a.running.Store(s)
	return nil
}

// apply puts a published configuration in force, or leaves everything as it was and says why. What may be refused comes
// first, and of that the change of the capture last, so that nothing is ever to be undone:
//
//	check ──> filter ──> prove new collector ──> capture (two phases, in the kernel) ──> limits, spool, uplinks
func (r *reload) apply(ctx, work context.Context, published *configv1.PublishedAgentConfig) (warning string, err error) {
	a := r.agent
	next, err := settingsOf(&a.config, published)
	if err != nil {
		return "", err
	}
	// Compiling may take seconds, which the goroutine that captures does not have. What is wrong it will find again, if it is
	// asked for this link type.
	if _, err := next.program(packet.LinkEthernet); err != nil && ctx.Err() != nil {
		return "", ctx.Err()
	}
	before := a.running.Load()
	moves := !slices.Equal(before.collectors, next.collectors)
	var warnings []string
	if moves {
		unreachable, err := r.prove(ctx, next.collectors)
		if err != nil {
			return "", err
		}
		warnings = unreachable
	}
	if err := a.enforce(ctx, work, next); err != nil {
		return "", err
	}
	if moves {
		r.redirect(next.collectors)
	}
	for name, reason := range a.waitingPoints() {
		warnings = append(warnings, fmt.Sprintf("%s waits: %s", name, reason))
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
		probes.Go(func() { errs[i] = r.probe(ctx, address) })
	}
	probes.Wait()
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("%s: %w", addresses[i], err)
			unreachable = append(unreachable, errs[i].Error())
		}
	}
	if len(unreachable) == len(addresses) {
		return nil, config.Wrong(config.FieldCollector, "%w", errors.Join(errs...))
	}
	return unreachable, nil
}

// stop ends the capture, for the configuration was deleted; what was captured still goes up.
func (r *reload) stop(ctx, work context.Context) error {
	next := *r.agent.running.Load()
	next.points = nil
	return r.agent.enforce(ctx, work, &next)
}

// waitingPoints tells why capture points wait for their device.
func (a *Agent) waitingPoints() map[string]string {
	if waiting := a.waiting.Load(); waiting != nil {
		return *waiting
	}
	return nil
}
