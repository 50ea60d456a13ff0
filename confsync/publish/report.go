package publish

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sonde.example/confsync/change"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/retry"
	"sonde.example/internal/telemetry"
)

const (
	reportEvery = 25 * time.Millisecond // what comes in between goes in one transaction
	reportBatch = 20                    // in one transaction, which locks operators out for some milliseconds
	maxReports  = 10_000                // beyond, the oldest go; the newest of each daemon is what counts
	maxError    = 1 << 10
)

// reports carry statuses into the tables: those that daemons write into the store, and those of rows that are wrong, which
// no daemon has heard of. While a row is wrong its status says so, whatever its daemon runs.
type reports struct {
	source change.Source
	keys   config.Keys
	log    *slog.Logger
	m      *Metrics

	mu      sync.Mutex // guards what follows
	last    map[target]*configv1.ConfigStatus
	refused map[target]*configv1.ConfigStatus
	queue   []*configv1.ConfigStatus
	more    chan struct{} // capacity 1
}

func newReports(source change.Source, keys config.Keys, m *Metrics, log *slog.Logger) *reports {
	return &reports{
		source: source, keys: keys, log: log, m: m,
		last: map[target]*configv1.ConfigStatus{}, refused: map[target]*configv1.ConfigStatus{}, more: make(chan struct{}, 1),
	}
}

// read takes a status from the store. Whoever may write one key may write anything into it; a status for another daemon than
// the key's is none.
func (r *reports) read(e confstore.Entry) (*configv1.ConfigStatus, bool) {
	if e.Value == nil {
		return nil, false
	}
	s, _, err := config.DecodeStatus(e.Value)
	if err != nil || r.keys.Status(s.GetRole(), s.GetName()) != e.Key {
		r.m.brokenStatuses.Inc()
		return nil, false
	}
	return s, true
}

// daemon takes a status that a daemon has written.
func (r *reports) daemon(s *configv1.ConfigStatus) {
	name := target{s.GetRole(), s.GetName()}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.last[name]
	r.last[name] = s
	if s.GetState() == configv1.ConfigState_CONFIG_STATE_APPLIED && s.GetLatency() != nil && before.GetRunningRevision() != s.GetRunningRevision() {
		r.m.applied.Observe(s.GetLatency().AsDuration().Seconds())
	}
	r.enqueue(name)
}

// refuse notes that a daemon's row is wrong.
func (r *reports) refuse(name target, revision uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	field, text := config.Explain(err)
	s := &configv1.ConfigStatus{
		Role: name.role, Name: name.name, State: configv1.ConfigState_CONFIG_STATE_FAILED, WantedRevision: revision + 1,
		Error: short(text), Field: field, StatusTime: timestamppb.Now(),
	}
	if old := r.refused[name]; old.GetError() == s.GetError() && old.GetWantedRevision() == s.GetWantedRevision() {
		return
	}
	r.refused[name] = s
	r.enqueue(name)
}

// valid notes that a daemon's row is right, or gone.
func (r *reports) valid(name target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused[name] != nil {
		delete(r.refused, name)
		r.enqueue(name)
	}
}

// failed tells whether a daemon has refused the revision that is published for it.
func (r *reports) failed(name target, revision uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.last[name]
	return s.GetState() == configv1.ConfigState_CONFIG_STATE_FAILED && s.GetWantedRevision() == revision
}

// invalid tells how many rows are wrong.
func (r *reports) invalid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.refused)
}

func short(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxError)], "")
}

// enqueue sends what is to be said of a daemon on its way. The caller holds mu.
func (r *reports) enqueue(name target) {
	s := r.last[name]
	if refused := r.refused[name]; refused != nil {
		running := s
		s = proto.CloneOf(refused)
		s.RunningRevision, s.RunningHash = running.GetRunningRevision(), running.GetRunningHash()
		s.BootId, s.Version, s.FromCache = running.GetBootId(), running.GetVersion(), running.GetFromCache()
	}
	if s == nil {
		return
	}
	if len(r.queue) == maxReports {
		r.queue = r.queue[1:]
		r.m.lostReports.Inc()
	}
	r.queue = append(r.queue, s)
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// run writes reports until ctx ends.
func (r *reports) run(ctx context.Context) error {
	policy := retry.Policy{Initial: reportEvery, Max: 5 * time.Second}
	limited := telemetry.Limited(r.log, 10*time.Second)
	for failures := 0; ; {
		select {
		case <-r.more:
		case <-ctx.Done():
			return nil
		}
		if retry.Sleep(ctx, reportEvery) != nil {
			return nil
		}
		r.mu.Lock()
		queue := r.queue
		r.queue = nil
		r.mu.Unlock()
		for len(queue) > 0 {
			part := queue[:min(len(queue), reportBatch)]
			err := r.source.Report(ctx, part...)
			if err == nil {
				failures = 0
				queue = queue[len(part):]
				continue
			}
			if ctx.Err() != nil {
				return nil
			}
			failures++
			limited.Warn("statuses cannot be written into the tables, trying again", telemetry.KeyError, err)
			if retry.Sleep(ctx, policy.Wait(failures)) != nil {
				return nil
			}
		}
	}
}

// carry follows the statuses under a prefix until ctx ends.
func (p *Publisher) carry(ctx context.Context, prefix string) error {
	limited := telemetry.Limited(p.log, 10*time.Second)
	var stamp uint64
	listed := false
	for failures := 1; ctx.Err() == nil; {
		var entries []confstore.Entry
		var err error
		if listed {
			entries, stamp, err = p.o.Store.NextUnder(ctx, prefix, stamp)
		} else {
			entries, stamp, err = p.o.Store.List(ctx, prefix)
		}
		switch {
		case errors.Is(err, confstore.ErrCompacted):
			listed = false
			continue
		case err != nil:
			if ctx.Err() == nil {
				limited.Warn("statuses cannot be read, trying again", telemetry.KeyError, err)
			}
			listed = false
			failures++
			if retry.Sleep(ctx, p.retry.Wait(failures)) != nil {
				return nil
			}
			continue
		}
		listed, failures = true, 1
		for _, e := range entries {
			if s, ok := p.reports.read(e); ok {
				p.reports.daemon(s)
				if err := p.exceed(ctx, s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// exceed publishes above a daemon that runs a newer revision than its key has: the store was restored or wiped.
func (p *Publisher) exceed(ctx context.Context, s *configv1.ConfigStatus) error {
	name := target{s.GetRole(), s.GetName()}
	p.mu.Lock()
	defer p.mu.Unlock()
	known, there := p.known[name]
	newest := max(s.GetWantedRevision(), s.GetRunningRevision())
	if p.image == nil || newest <= known.revision { // before the first reconcile, which looks itself
		return nil
	}
	known.revision, known.hash = newest, "" // another hash than any: it is published again
	known.deleted = known.deleted || !there
	p.known[name] = known
	return p.publish(ctx, map[target]bool{name: true}, p.position, origin{})
}
