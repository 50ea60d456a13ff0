// Package route says which version of a model answers.
//
// Requests that name a version get that one. Those that name none get the version that the configuration names, or the
// newest; a share of them, chosen by a hash of the first row, goes to the canary, and the answer says which version it
// comes from. What the served version has answered is run by the shadow as well, later and only to be compared: rows that
// it has no time for are dropped and counted, and nobody waits for it. A configuration changes all this in one step, after
// every version it names was loaded, checked and warmed up; what it replaces leaves when the last request has left it. One
// that cannot be loaded changes nothing.
package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"sonde.example/internal/config"
	"sonde.example/internal/serving"
	"sonde.example/internal/telemetry"
)

// Models are the models that are loaded, and the repository they come from; model.Repository is one.
type Models interface {
	// Acquire returns a lease on a loaded version, or serving.ErrNotFound; an empty version is the highest.
	Acquire(name, version string) (serving.Lease, error)
	// Loaded returns leases on everything that is loaded, by name and version.
	Loaded() []serving.Lease
	// Index lists every version in the repository or loaded.
	Index() ([]serving.Entry, error)
	// Load brings a model into the state that policy asks for, or changes nothing.
	Load(ctx context.Context, name string, policy serving.VersionPolicy) error
	// Unload takes a model out of service; serving.ErrNotFound if it is not in it.
	Unload(name string) error
	// Versions lists the versions in the repository, ascending.
	Versions(name string) ([]int64, error)
	// Retain lets all versions of a model but the given ones leave.
	Retain(name string, versions ...int64)
}

// Predictor runs rows; batcher.Batcher is one.
type Predictor interface {
	Predict(ctx context.Context, lease serving.Lease, in *serving.Inputs, out *serving.Outputs, o serving.CallOptions) error
}

// Plan says what is served. The zero Plan is the default model's newest version.
type Plan struct {
	// Model answers requests that name none; empty: the one of the flags.
	Model string
	// Version answers requests that name none; empty: the newest.
	Version string
	// Shadow is compared with Version; empty: none.
	Shadow string
	// Canary answers Percent of the requests that name no version, 0 to 100.
	Canary  string
	Percent uint32
}

// configured tells whether the plan names versions, which nobody else may then load and unload.
func (p *Plan) configured() bool { return p.Version != "" }

// Options say how a router works.
type Options struct {
	// Models has what is served, Predictor runs it.
	Models    Models
	Predictor Predictor
	// Model is the default of Plan.Model.
	Model string
	// Changed, if set, is told after a plan came into force.
	Changed func()
	// Compared, if set, is told of rows that the shadow ran or did not run.
	Compared func(outcome Outcome, rows int)
	Log      *slog.Logger
}

// Router stands between the services and the repository and the batcher. Many goroutines may use it.
type Router struct {
	opts Options
	log  *slog.Logger

	applying sync.Mutex // one plan at a time
	plan     atomic.Pointer[Plan]
	shadow   shadow
}

// New makes a router with the zero Plan. Run runs the shadow.
func New(o Options) *Router {
	r := &Router{opts: o, log: o.Log.With(telemetry.KeyComponent, "route"), shadow: newShadow()}
	r.plan.Store(&Plan{Model: o.Model})
	return r
}

// Plan returns what is in force; its Model is never empty.
func (r *Router) Plan() Plan { return *r.plan.Load() }

// Model names the model of requests that name none.
func (r *Router) Model() string { return r.plan.Load().Model }

// Apply brings a plan into force, or returns an error and has changed nothing: a config.FieldError, of the column that
// names what cannot be served. The warning tells of what has no effect. Requests under way notice nothing.
func (r *Router) Apply(ctx context.Context, p Plan) (warning string, err error) {
	r.applying.Lock()
	defer r.applying.Unlock()
	p.Model = cmp.Or(p.Model, r.opts.Model)
	there, err := r.opts.Models.Versions(p.Model)
	if err == nil && len(there) == 0 {
		err = fmt.Errorf("%w: no model %q in the repository", serving.ErrNotFound, p.Model)
	}
	if err != nil {
		return "", &config.FieldError{Field: config.FieldModel, Err: err}
	}
	newest := there[len(there)-1]
	if p.Version == "" && (p.Shadow != "" || p.Canary != "") {
		p.Version = strconv.FormatInt(newest, 10) // from now on, lest a newer one takes its place unasked
	}
	if p.Canary == "" && p.Percent > 0 {
		warning, p.Percent = "canary_percent has no effect without canary_version", 0
	}
	if old := r.plan.Load(); p == *old && !p.configured() && len(r.loaded(p.Model)) > 0 {
		return warning, nil // whatever an operator has loaded
	}
	before := r.loaded(p.Model)
	if err := r.load(ctx, &p, newest); err != nil {
		r.opts.Models.Retain(p.Model, before...)
		return "", err
	}
	r.plan.Store(&p)
	if p.configured() { // only now, for requests came for the old ones until now
		r.opts.Models.Retain(p.Model, p.versions()...)
	} else {
		r.opts.Models.Retain(p.Model, newest)
	}
	if r.opts.Changed != nil {
		r.opts.Changed()
	}
	r.log.Info("plan in force", telemetry.KeyModel, p.Model, telemetry.KeyModelVersion, cmp.Or(p.Version, "newest"), "shadow", p.Shadow, "canary", p.Canary, "percent", p.Percent)
	return warning, nil
}

// load loads what the plan names beside what is loaded.
func (r *Router) load(ctx context.Context, p *Plan, newest int64) error {
	if !p.configured() {
		if err := r.opts.Models.Load(ctx, p.Model, serving.VersionPolicy{Specific: []int64{newest}, Keep: true}); err != nil {
			return &config.FieldError{Field: config.FieldModel, Err: err}
		}
		return nil
	}
	var served *serving.Info
	for _, want := range []struct{ field, version string }{
		{config.FieldModelVersion, p.Version}, {config.FieldShadowVersion, p.Shadow}, {config.FieldCanaryVersion, p.Canary},
	} {
		if want.version == "" {
			continue
		}
		number, err := strconv.ParseInt(want.version, 10, 64)
		if err != nil {
			return config.Wrong(want.field, "%q is not the number of a version", want.version)
		}
		if err := r.opts.Models.Load(ctx, p.Model, serving.VersionPolicy{Specific: []int64{number}, Keep: true}); err != nil {
			return &config.FieldError{Field: want.field, Err: err}
		}
		info, err := r.info(p.Model, want.version)
		if err != nil {
			return &config.FieldError{Field: want.field, Err: err}
		}
		if served == nil {
			served = info
		}
		if err := stands(served, info); err != nil {
			return config.Wrong(want.field, "version %s: %w", want.version, err)
		}
	}
	return nil
}

// stands tells why a version cannot stand in for the served one, row for row.
func stands(served, other *serving.Info) error {
	if !other.Classifier() {
		return errors.New("it does not classify sessions")
	}
	same := slices.EqualFunc(served.Inputs, other.Inputs, func(a, b serving.Tensor) bool {
		return a.Name == b.Name && a.Type == b.Type && slices.Equal(a.Dims, b.Dims)
	})
	if !same {
		return fmt.Errorf("its inputs are not those of version %d", served.Version)
	}
	return nil
}

func (r *Router) info(name, version string) (*serving.Info, error) {
	lease, err := r.opts.Models.Acquire(name, version)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	return lease.Info(), nil
}

// versions lists what the plan needs.
func (p *Plan) versions() []int64 {
	var all []int64
	for _, version := range []string{p.Version, p.Shadow, p.Canary} {
		if n, err := strconv.ParseInt(version, 10, 64); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// loaded lists the versions of a model that are loaded.
func (r *Router) loaded(name string) []int64 {
	var all []int64
	for _, lease := range r.opts.Models.Loaded() {
		if lease.Info().Name == name {
			all = append(all, lease.Info().Version)
		}
		lease.Release()
	}
	return all
}

// Acquire returns a lease on a loaded version, or serving.ErrNotFound. Without a name it is the plan's model, without a
// version the served one.
func (r *Router) Acquire(name, version string) (serving.Lease, error) {
	for {
		p := r.plan.Load()
		wanted := version
		model := cmp.Or(name, p.Model)
		if wanted == "" && model == p.Model {
			wanted = p.Version
		}
		lease, err := r.opts.Models.Acquire(model, wanted)
		if err != nil && version == "" && r.plan.Load() != p {
			continue // what the old plan served has left meanwhile
		}
		return lease, err
	}
}

// Route hands rows that no version was asked for to the canary, if they are of its share. It takes the lease and returns
// the one to run them with. The same rows go the same way.
func (r *Router) Route(lease serving.Lease, in *serving.Inputs) serving.Lease {
	p, info := r.plan.Load(), lease.Info()
	if p.Percent == 0 || info.Name != p.Model || info.VersionString() != p.Version || share(info, in) >= p.Percent {
		return lease
	}
	canary, err := r.opts.Models.Acquire(p.Model, p.Canary)
	if err != nil {
		return lease // another plan is in force by now
	}
	lease.Release()
	return canary
}

// share hashes the first row to a number from 0 to 99.
func share(info *serving.Info, in *serving.Inputs) uint32 {
	sum := uint32(0)
	for i, data := range in.Data {
		sum = crc32.Update(sum, crc32.IEEETable, data[:min(len(data), info.Inputs[i].RowBytes())])
	}
	return sum % 100
}

// Predict runs rows, counts for their version what came and what was answered, and gives the shadow a copy of what the
// served version has answered.
func (r *Router) Predict(ctx context.Context, lease serving.Lease, in *serving.Inputs, out *serving.Outputs, o serving.CallOptions) error {
	if err := r.opts.Predictor.Predict(ctx, lease, in, out, o); err != nil {
		return err
	}
	if o.MadeUp {
		return nil
	}
	lease.Drift().Count(in, out)
	if p := r.plan.Load(); p.Shadow != "" && lease.Info().Name == p.Model && lease.Info().VersionString() == p.Version {
		r.compare(p, lease.Info(), in, out)
	}
	return nil
}

// Loaded returns leases on everything that is loaded.
func (r *Router) Loaded() []serving.Lease { return r.opts.Models.Loaded() }

// Index lists every version in the repository or loaded.
func (r *Router) Index() ([]serving.Entry, error) { return r.opts.Models.Index() }

// Load loads a model for an operator: serving.ErrRefused if the configuration says which of its versions are served.
func (r *Router) Load(ctx context.Context, name string, policy serving.VersionPolicy) error {
	return r.unconfigured(name, func() error { return r.opts.Models.Load(ctx, name, policy) })
}

// Unload takes a model out of service, likewise.
func (r *Router) Unload(name string) error {
	return r.unconfigured(name, func() error { return r.opts.Models.Unload(name) })
}

func (r *Router) unconfigured(name string, do func() error) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	if p := r.plan.Load(); p.Model == name && p.configured() {
		return fmt.Errorf("%w: what is served of model %s stands in service_config", serving.ErrRefused, name)
	}
	return do()
}
