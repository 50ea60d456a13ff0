// Package publish carries configuration from the tables to the daemons, and what became of it back. Rows come from a change
// source; each daemon's effective configuration (its group's settings, and over them its own) is validated, its filter
// compiled, and written under the daemon's key, all keys of a transaction and the position behind it in one step that only
// the leader can make. A row that is wrong is not published: the last good value stays, and the row's status says what is
// wrong with which column. It never keeps others waiting.
//
//	source ─ rows ─> image ─ touched ─> merge, validate, compile ─ changed ─> Term.Publish ─> daemon
//	   ^                                        └ wrong ┐                                       │
//	   └────────────── Report <── reports <─────────────┴──────────── status <──────────────────┘
//
// Whoever leads begins with a snapshot of the tables and makes the store the same, keys whose row is gone included; and does
// so again every ten minutes, and whenever the source has lost its place. Many deletions at once are held until an operator
// confirms them: a truncated table looks like that, and so does the wrong database.
package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sonde.example/confsync/change"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/retry"
	"sonde.example/internal/telemetry"
)

const (
	reconcileEvery = 10 * time.Minute
	// holdAtLeast and holdShare: more deletions of agents at once than both are held.
	holdAtLeast = 20
	holdShare   = 0.3
)

// Options for New. All but ConfirmDeletions are needed.
type Options struct {
	Source change.Source
	Store  confstore.Store
	Keys   config.Keys
	// Candidate names this process among those that want to lead.
	Candidate string
	// Compile is CompileFilter, but in tests.
	Compile Compile
	// ConfirmDeletions lets any number of agents be deleted at once.
	ConfirmDeletions bool
	Metrics          *Metrics
	Log              *slog.Logger
	// OnLead, if set, is told when this process begins and ends to lead.
	OnLead func(leads bool)
}

// Publisher publishes while it leads. Run it once.
type Publisher struct {
	o        Options
	log      *slog.Logger
	compiler *compiler
	compiled chan string // texts that are compiled now and were not when they were wanted
	reports  *reports
	retry    retry.Policy

	mu       sync.Mutex // guards what follows; nothing is held over it that waits for an operator
	term     confstore.Term
	image    *image
	position change.Position
	known    map[target]published
	waiting  map[string]map[target]bool // by filter text: daemons whose filter is not compiled yet
	part     uint64                     // makes each checkpoint another one
}

// published is what lies under a daemon's key.
type published struct {
	revision uint64
	hash     string
	deleted  bool
}

// New returns a publisher.
func New(o Options) *Publisher {
	p := &Publisher{
		o: o, log: o.Log.With(telemetry.KeyComponent, "publish"), compiled: make(chan string, compileCache),
		retry: retry.Policy{Initial: 100 * time.Millisecond, Max: 5 * time.Second},
	}
	if o.OnLead == nil {
		p.o.OnLead = func(bool) {}
	}
	p.compiler = newCompiler(o.Compile, func(text string) {
		select {
		case p.compiled <- text:
		default: // nobody leads, or far too many: the next reconcile finds it compiled
		}
	})
	p.reports = newReports(o.Source, o.Keys, o.Metrics, p.log)
	return p
}

// Run leads, again and again, until ctx ends. It gives up for nothing else.
func (p *Publisher) Run(ctx context.Context) error {
	for failures := 0; ; {
		err := p.lead(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case errors.Is(err, confstore.ErrFenced):
			failures = 0
			p.log.Info("another one leads")
		case err != nil:
			failures++
			p.log.Warn("publishing is interrupted, trying again", telemetry.KeyError, err)
		}
		if retry.Sleep(ctx, p.retry.Wait(max(failures, 1))) != nil {
			return nil
		}
	}
}

// lead waits until this process leads, and works until it does not any more.
func (p *Publisher) lead(ctx context.Context) (err error) {
	term, err := p.o.Store.Lead(ctx, p.o.Candidate)
	if err != nil {
		return fmt.Errorf("wait to lead: %w", err)
	}
	leading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-term.Lost():
			stop(confstore.ErrFenced)
		case <-leading.Done():
		}
	}()
	p.log.Info("leading")
	p.o.Metrics.leader.Set(1)
	p.o.OnLead(true)
	p.mu.Lock()
	p.term = term
	p.mu.Unlock()
	// What goes on beside Follow; the first that cannot go on ends the term.
	var beside sync.WaitGroup
	aside := func(work func(context.Context) error) {
		beside.Go(func() {
			if err := work(leading); err != nil {
				stop(err)
			}
		})
	}
	aside(p.reports.run)
	for _, prefix := range p.o.Keys.Statuses() {
		aside(func(ctx context.Context) error { return p.carry(ctx, prefix) })
	}
	defer func() {
		stop(nil)
		beside.Wait()
		p.mu.Lock()
		p.term = nil
		p.mu.Unlock()
		p.o.Metrics.leader.Set(0)
		p.o.OnLead(false)
		err = errors.Join(err, unlessEnded(ctx, term.Resign(context.WithoutCancel(ctx))))
	}()
	if err := p.reconcile(leading); err != nil {
		return cause(leading, err)
	}
	aside(p.late)
	for {
		if err := p.follow(leading); err != nil {
			return cause(leading, err)
		}
		if err := p.reconcile(leading); err != nil {
			return cause(leading, err)
		}
	}
}

// cause prefers why the work was ended to what that made of it.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}

func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, confstore.ErrFenced) {
		return nil
	}
	return err
}

// reconcile makes the store as the tables are.
func (p *Publisher) reconcile(ctx context.Context) error {
	image := newImage()
	all := map[target]bool{}
	position, err := p.o.Source.Snapshot(ctx, func(row change.Row) error {
		image.put(row, all)
		return nil
	})
	if err != nil {
		return fmt.Errorf("snapshot of the tables: %w", err)
	}
	known, broken, err := p.stored(ctx)
	if err != nil {
		return err
	}
	for name := range known {
		all[name] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.term.Checkpoint(ctx); err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	for name, before := range p.known { // revisions never go back, whatever became of the store
		now := known[name]
		now.revision = max(now.revision, before.revision)
		if _, there := known[name]; !there {
			now.deleted = true
		}
		known[name] = now
	}
	p.image, p.known, p.waiting = image, known, map[string]map[target]bool{}
	p.o.Metrics.reconciles.Inc()
	return p.publish(ctx, all, position, origin{broken: broken})
}

// stored reads what lies under the keys of daemons, and the keys that no value can be read from.
func (p *Publisher) stored(ctx context.Context) (known map[target]published, broken []string, err error) {
	known = map[target]published{}
	for _, prefix := range []string{p.o.Keys.Agents(), p.o.Keys.Services()} {
		entries, _, err := p.o.Store.List(ctx, prefix)
		if err != nil {
			return nil, nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		for _, e := range entries {
			name, value, ok := p.read(e)
			if !ok {
				broken = append(broken, e.Key)
				continue
			}
			known[name] = value
		}
	}
	for _, prefix := range p.o.Keys.Statuses() {
		entries, _, err := p.o.Store.List(ctx, prefix)
		if err != nil {
			return nil, nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		for _, e := range entries {
			if s, ok := p.reports.read(e); ok {
				name := target{s.GetRole(), s.GetName()}
				value, there := known[name]
				value.deleted = value.deleted || !there
				value.revision = max(value.revision, s.GetWantedRevision(), s.GetRunningRevision())
				known[name] = value
			}
		}
	}
	return known, broken, nil
}

func (p *Publisher) read(e confstore.Entry) (target, published, bool) {
	if a, _, err := config.DecodeAgent(e.Value); err == nil && p.o.Keys.Config(config.RoleAgent, a.GetName()) == e.Key {
		return target{config.RoleAgent, a.GetName()}, published{a.GetRevision(), a.GetHash(), false}, true
	}
	if s, _, err := config.DecodeService(e.Value); err == nil && p.o.Keys.Config(s.GetRole(), s.GetName()) == e.Key {
		return target{s.GetRole(), s.GetName()}, published{s.GetRevision(), s.GetHash(), false}, true
	}
	return target{}, published{}, false
}

// follow publishes transactions until it is time to reconcile, or something is wrong.
func (p *Publisher) follow(ctx context.Context) error {
	p.mu.Lock()
	from := p.position
	p.mu.Unlock()
	again := errors.New("tables have changed in a way that only a snapshot tells")
	following, cancel := context.WithTimeout(ctx, reconcileEvery)
	defer cancel()
	err := p.o.Source.Follow(following, from, func(t change.Transaction) error {
		if t.Again {
			return again
		}
		return p.apply(ctx, t)
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case following.Err() != nil, errors.Is(err, again):
		return nil
	case errors.Is(err, change.ErrPositionLost):
		p.log.Warn("the source has lost its place, the tables are read anew", telemetry.KeyError, err)
		return nil
	case err == nil:
		return errors.New("the source has ended")
	}
	return err
}

func (p *Publisher) apply(ctx context.Context, t change.Transaction) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	touched := map[target]bool{}
	for _, row := range t.Rows {
		if !p.image.put(row, touched) {
			p.o.Metrics.lateRows.Inc()
		}
	}
	return p.publish(ctx, touched, t.Position, origin{operator: true})
}

// late publishes what waited for filters, as they are compiled.
func (p *Publisher) late(ctx context.Context) error {
	for {
		select {
		case text := <-p.compiled:
			p.mu.Lock()
			touched := p.waiting[text]
			delete(p.waiting, text)
			err := p.publish(ctx, touched, p.position, origin{operator: true})
			p.mu.Unlock()
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// checkpoint is what lies in the store beside the keys.
type checkpoint struct {
	Position change.Position `json:"position"`
	Part     uint64          `json:"part"`
	Time     time.Time       `json:"time"`
	By       string          `json:"by"`
}

// checkpoint makes the next one; no two are the same. The caller holds mu.
func (p *Publisher) checkpoint(position change.Position) ([]byte, error) {
	p.part++
	return json.Marshal(checkpoint{position, p.part, time.Now().UTC(), p.o.Candidate})
}
