package config

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/internal/confstore"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
)

const (
	// grace is how long a deleted configuration stays in force, so that deleting a row and inserting it again leaves no gap.
	grace = 30 * time.Second
	// bootWait is how long Boot waits for the store when there is nothing on disk, and bootWaitCached when there is.
	bootWait       = 3 * time.Second
	bootWaitCached = 500 * time.Millisecond
)

// Published is the value of a daemon's key.
type Published interface {
	*configv1.PublishedAgentConfig | *configv1.PublishedServiceConfig
	proto.Message
	GetName() string
	GetRevision() uint64
	GetHash() string
	GetCommitTime() *timestamppb.Timestamp
}

// FollowerOptions say what a follower follows, and who obeys.
type FollowerOptions[P Published] struct {
	// Store is read and answered to; it stays the caller's.
	Store confstore.Client
	// Keys, Role and Name tell the daemon's own keys.
	Keys       Keys
	Role, Name string
	// Cache is the folder for the last good value, made when it is missing; several daemons may share one. Empty: none is
	// kept, and there is no guard against a configuration that brings the process down.
	Cache string
	// BootID is NewBootID, once a process. Version is the program's, for people.
	BootID, Version string
	// Apply puts a valid configuration in force, or returns an error and has changed nothing; a FieldError in it names the
	// column. It may be asked for what is already in force, and then restarts nothing. The warning says what deserves a
	// look all the same. An error that is marked with Later is tried again by itself, any other only when the row changes.
	// One call at a time, from the goroutine of Boot or Run.
	Apply func(ctx context.Context, p P) (warning string, err error)
	// Deleted tells that there is no configuration any more, 30 s after it was deleted. The same goroutine.
	Deleted func(ctx context.Context)
	// Log hears of what changes.
	Log *slog.Logger
}

// Follower keeps a daemon in step with its key, and the status key with the daemon. Boot it, then Run it; State may be asked
// at any time.
//
// The newest value wins: it is applied if its revision is greater than the one in force, or equal with another hash (drift).
// An older one changes nothing and is reported. What is refused changes nothing either, and is not tried again until
// revision or hash differ. While Apply works only the newest value waits. When the store cannot be reached the daemon goes on
// with what it has, from disk after a restart.
type Follower[P Published] struct {
	opts   FollowerOptions[P]
	kind   kind[P]
	log    *slog.Logger
	cache  *cache // nil without a folder
	guard  *guard // nil without a folder
	report *reporter

	// Of the goroutine of Boot and Run.
	booted  bool
	stamp   uint64 // of the newest entry seen; 0 before
	running value[P]
	warning string      // of what is in force
	refused identity    // zero: nothing is
	pending value[P]    // what the timer retry tries again
	first   uint64      // revision on disk at the start: no latency is told of it
	gone    *time.Timer // ends the grace of a deleted key
	trial   *time.Timer // ends the guard's trial
	retry   *time.Timer // for errors marked with Later

	mu    sync.Mutex // guards state
	state State
}

// AgentFollower follows an agent's key.
type AgentFollower = Follower[*configv1.PublishedAgentConfig]

// ServiceFollower follows a service's key.
type ServiceFollower = Follower[*configv1.PublishedServiceConfig]

// kind is what differs between agents and services.
type kind[P Published] struct {
	decode   func([]byte) (P, string, error)
	validate func(P) error
}

// identity tells one value from another.
type identity struct {
	revision uint64
	hash     string
}

// value is a value that could be decoded, as it was published: what a version does not know must not be lost on disk, for it
// may be part of the hash.
type value[P Published] struct {
	identity
	published P // nil: none
	raw       []byte
	unknown   string // warning of fields left out
	cached    bool   // read from disk
}

// NewBootID returns an id for this process.
func NewBootID() string { return rand.Text() }

// NewAgentFollower returns a follower of an agent's key. Nothing is read before Boot.
func NewAgentFollower(o FollowerOptions[*configv1.PublishedAgentConfig]) (*AgentFollower, error) {
	return newFollower(o, kind[*configv1.PublishedAgentConfig]{
		decode: DecodeAgent,
		validate: func(p *configv1.PublishedAgentConfig) error {
			if p.GetName() != o.Name {
				return fmt.Errorf("it is for agent %s", p.GetName())
			}
			return ValidateAgent(p.GetConfig())
		},
	})
}

// NewServiceFollower returns a follower of a service's key. Nothing is read before Boot.
func NewServiceFollower(o FollowerOptions[*configv1.PublishedServiceConfig]) (*ServiceFollower, error) {
	return newFollower(o, kind[*configv1.PublishedServiceConfig]{
		decode: DecodeService,
		validate: func(p *configv1.PublishedServiceConfig) error {
			if p.GetRole() != o.Role || p.GetName() != o.Name {
				return fmt.Errorf("it is for %s %s", p.GetRole(), p.GetName())
			}
			return ValidateService(o.Role, p.GetConfig())
		},
	})
}

func newFollower[P Published](o FollowerOptions[P], k kind[P]) (*Follower[P], error) {
	if err := CheckName(o.Name); err != nil {
		return nil, err
	}
	log := o.Log.With(telemetry.KeyComponent, "config")
	f := &Follower[P]{
		opts: o, kind: k, log: log, gone: stopped(), trial: stopped(), retry: stopped(),
		report: newReporter(o.Store, o.Keys.Status(o.Role, o.Name), o.BootID, log),
	}
	if o.Cache != "" {
		base := "config-" + o.Role + "-" + o.Name
		f.cache, f.guard = newCache(o.Cache, base+".json"), newGuard(o.Cache, base+".guard.json")
	}
	return f, nil
}

// stopped returns a timer that does not run.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// Boot applies what there is to start from: the newest value if the store answers soon, else the last good one on disk. It
// tells whether a configuration is in force; if not, the daemon runs on its flags, and Run goes on looking. Call it once,
// before Run, so that nothing is begun by the flags only to be begun again.
func (f *Follower[P]) Boot(ctx context.Context) bool {
	f.booted = true
	if err := f.guard.boot(); err != nil {
		f.log.Warn("no guard against a configuration that brings the process down", telemetry.KeyError, err)
	}
	kept := f.loadCache()
	wait := bootWait
	if len(kept) > 0 {
		f.first, wait = kept[0].revision, bootWaitCached
	}
	asking, cancel := context.WithTimeout(ctx, wait)
	entry, err := f.opts.Store.Get(asking, f.key())
	cancel()
	switch {
	case err == nil:
		f.confirmed()
		f.stamp = entry.Stamp
		f.offer(ctx, entry)
	case errors.Is(err, confstore.ErrNotFound):
		f.confirmed()
	case ctx.Err() == nil:
		f.log.Warn("configuration store does not answer", "cached", len(kept) > 0, telemetry.KeyError, err)
	}
	for _, v := range kept {
		if f.running.published == nil && ctx.Err() == nil {
			f.put(ctx, v)
		}
	}
	if errors.Is(err, confstore.ErrNotFound) {
		f.deleted() // while the daemon was away, or the store was wiped
	}
	return f.running.published != nil
}

func (f *Follower[P]) key() string { return f.opts.Keys.Config(f.opts.Role, f.opts.Name) }

// Run follows until ctx ends. It fails only when the store was closed. It boots first if nobody has.
func (f *Follower[P]) Run(ctx context.Context) error {
	if !f.booted {
		f.Boot(ctx)
	}
	offers := make(chan confstore.Entry, 1) // the newest only
	return service.Run(ctx,
		service.Func(func(ctx context.Context) error { return f.watch(ctx, offers) }),
		f.report,
		service.Func(func(ctx context.Context) error { return f.obey(ctx, offers) }),
	)
}

// obey is the loop in which everything is decided.
func (f *Follower[P]) obey(ctx context.Context, offers <-chan confstore.Entry) error {
	defer func() {
		for _, t := range []*time.Timer{f.gone, f.trial, f.retry} {
			t.Stop()
		}
		f.guarded(f.guard.end()) // nobody was brought down
	}()
	for {
		select {
		case entry := <-offers:
			f.offer(ctx, entry)
		case <-f.gone.C:
			f.forget(ctx)
		case <-f.trial.C:
			f.guarded(f.guard.survived())
		case <-f.retry.C:
			f.refused = identity{}
			f.put(ctx, f.pending)
		case <-ctx.Done():
			return nil
		}
	}
}

// offer looks at an entry of the store and does what it asks for.
func (f *Follower[P]) offer(ctx context.Context, entry confstore.Entry) {
	if entry.Value == nil {
		f.deleted()
		return
	}
	f.gone.Stop()
	p, unknown, err := f.kind.decode(entry.Value)
	if err != nil {
		sum := sha256.Sum256(entry.Value)
		f.refuse(value[P]{identity: identity{p.GetRevision(), hex.EncodeToString(sum[:])}}, err)
		return
	}
	v := value[P]{identity{p.GetRevision(), p.GetHash()}, p, entry.Value, unknown, false}
	switch {
	case v.identity == f.refused:
	case f.running.published == nil || v.revision > f.running.revision:
		f.put(ctx, v)
	case v.revision < f.running.revision:
		f.log.Warn("an older configuration is offered, the newer one stays", telemetry.KeyConfigRevision, v.revision, "running", f.running.revision)
		f.note(configv1.ConfigState_CONFIG_STATE_APPLIED, f.running.revision, func(s *State) {
			s.Warning = fmt.Sprintf("revision %d is offered, which is older", v.revision)
		})
	case v.hash == f.running.hash:
		f.refused, f.running.cached = identity{}, false
		f.retry.Stop()
		f.settle(v.revision)
	default:
		f.count(func(s *State) { s.Drifts++ })
		f.log.Warn("another configuration under the same revision", telemetry.KeyConfigRevision, v.revision)
		f.put(ctx, v)
	}
}

// put validates and applies v.
func (f *Follower[P]) put(ctx context.Context, v value[P]) {
	err := f.kind.validate(v.published)
	if err == nil {
		err = f.guard.denied(v.identity)
	}
	if err != nil {
		f.refuse(v, err)
		return
	}
	failed := f.Status() // from cache only: what the store has was refused before
	f.note(configv1.ConfigState_CONFIG_STATE_APPLYING, v.revision, nil)
	f.trial.Stop()
	f.guarded(f.guard.begin(v.identity))
	warning, err := f.opts.Apply(ctx, v.published)
	if err != nil {
		if ctx.Err() == nil { // else the daemon stops
			f.guarded(f.guard.end())
			f.refuse(v, err)
		}
		return
	}
	f.trial.Reset(trialPeriod)
	f.running, f.warning = v, joined(v.unknown, warning)
	f.count(func(s *State) {
		s.Applied++
		s.Running, s.Hash = v.revision, v.hash
		if late := time.Since(v.published.GetCommitTime().AsTime()); v.published.GetCommitTime() != nil && late >= 0 && v.revision != f.first {
			s.Latency = late
		}
	})
	f.log.Info("configuration applied", telemetry.KeyConfigRevision, v.revision, "hash", short(v.hash), "cached", v.cached, "warning", f.warning)
	if v.cached && f.refused != (identity{}) {
		f.settle(failed.GetWantedRevision())
		f.note(configv1.ConfigState_CONFIG_STATE_FAILED, failed.GetWantedRevision(), func(s *State) { s.Error, s.Field = failed.GetError(), failed.GetField() })
		return
	}
	f.refused = identity{}
	f.retry.Stop()
	f.settle(v.revision)
}

// settle reports what is in force, and keeps it on disk unless it is there.
func (f *Follower[P]) settle(wanted uint64) {
	warning := f.warning
	if !f.running.cached {
		warning = joined(warning, f.saveCache(f.running.raw))
	}
	f.note(configv1.ConfigState_CONFIG_STATE_APPLIED, wanted, func(s *State) {
		s.FromCache, s.Warning = f.running.cached, warning
	})
}

// refuse takes note of what is not in force and why. Of what comes from disk it says nothing more when the store's value was
// refused before.
func (f *Follower[P]) refuse(v value[P], err error) {
	if v.identity == f.refused {
		return
	}
	f.log.Error("configuration refused, the one before goes on",
		telemetry.KeyConfigRevision, v.revision, "cached", v.cached, "field", FieldOf(err), telemetry.KeyError, err)
	if v.cached && f.refused != (identity{}) {
		return
	}
	f.refused = v.identity
	f.retry.Stop()
	if late, ok := errors.AsType[*laterError](err); ok {
		f.pending = v
		f.retry.Reset(late.wait)
		if err == error(late) { //nolint:errorlint // wrapped, it is part of a longer sentence
			err = late.error
		}
	}
	f.note(configv1.ConfigState_CONFIG_STATE_FAILED, cmp.Or(v.revision, f.State().Wanted), func(s *State) {
		s.Refused++
		var text string
		s.Field, text = Explain(err)
		s.Error = clip(text)
	})
}

// deleted begins the grace, once.
func (f *Follower[P]) deleted() {
	f.refused = identity{}
	f.retry.Stop()
	if f.State().State == configv1.ConfigState_CONFIG_STATE_UNSPECIFIED || f.State().Deleted || f.State().Leaving {
		return
	}
	f.log.Warn("configuration was deleted", telemetry.KeyDuration, grace)
	f.count(func(s *State) { s.Leaving = true })
	f.gone.Reset(grace)
}

// forget ends the grace.
func (f *Follower[P]) forget(ctx context.Context) {
	if f.running.published != nil {
		f.opts.Deleted(ctx)
	}
	f.running = value[P]{}
	f.trial.Stop()
	f.guarded(f.guard.end())
	warning := "deleted"
	if f.cache != nil {
		if err := f.cache.save(nil); err != nil {
			warning = joined(warning, f.cacheFailed(err))
		}
	}
	f.log.Warn("no configuration any more")
	f.note(configv1.ConfigState_CONFIG_STATE_APPLIED, f.State().Wanted, func(s *State) {
		s.Deleted, s.Running, s.Hash, s.FromCache, s.Warning = true, 0, "", false, warning
	})
}

// note changes the state and reports it. Error, field and latency are told of the newest change only.
func (f *Follower[P]) note(to configv1.ConfigState, wanted uint64, change func(*State)) {
	f.mu.Lock()
	s := &f.state
	s.State, s.Wanted, s.Error, s.Field, s.Deleted, s.Leaving = to, wanted, "", "", false, false
	if to != configv1.ConfigState_CONFIG_STATE_APPLIED {
		s.Latency = 0
	}
	if change != nil {
		change(s)
	}
	f.mu.Unlock()
	f.report.set(f.Status())
}

// count changes what is told to metrics only.
func (f *Follower[P]) count(change func(*State)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.state)
}

// confirmed takes note that the store has answered.
func (f *Follower[P]) confirmed() { f.count(func(s *State) { s.Confirmed = time.Now() }) }

func (f *Follower[P]) guarded(err error) {
	if err != nil {
		f.log.Warn("guard is not kept", telemetry.KeyError, err)
	}
}

// loadCache returns what is on disk and good, newest first.
func (f *Follower[P]) loadCache() []value[P] {
	if f.cache == nil {
		return nil
	}
	values, err := f.cache.load()
	if err != nil {
		f.log.Error("last good configuration cannot be read", telemetry.KeyError, err)
	}
	var all []value[P]
	for _, raw := range values {
		p, unknown, err := f.kind.decode(raw)
		if err != nil {
			f.log.Error("last good configuration cannot be used", telemetry.KeyError, err)
			continue
		}
		all = append(all, value[P]{identity{p.GetRevision(), p.GetHash()}, p, raw, unknown, true})
	}
	return all
}

// saveCache keeps a value on disk; the warning says that it is not.
func (f *Follower[P]) saveCache(raw []byte) (warning string) {
	if f.cache == nil {
		return ""
	}
	if err := f.cache.save(raw); err != nil {
		return f.cacheFailed(err)
	}
	return ""
}

func (f *Follower[P]) cacheFailed(err error) (warning string) {
	f.log.Error("last good configuration is not kept", telemetry.KeyError, err)
	return "not kept on disk: " + clip(err.Error())
}

// Status is what is reported.
func (f *Follower[P]) Status() *configv1.ConfigStatus {
	s := f.State()
	status := &configv1.ConfigStatus{
		Name: f.opts.Name, Role: f.opts.Role, State: s.State, WantedRevision: s.Wanted, RunningRevision: s.Running, RunningHash: s.Hash,
		Error: s.Error, Field: s.Field, BootId: f.opts.BootID, FromCache: s.FromCache, Version: f.opts.Version, Warning: clip(s.Warning),
	}
	if s.Latency > 0 {
		status.Latency = durationpb.New(s.Latency)
	}
	return status
}
