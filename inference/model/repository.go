package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strconv"
	"sync"

	"sonde.example/internal/serving"
	"sonde.example/internal/telemetry"
)

// Repository has the models that are loaded, and loads them. Many goroutines
// may use it; loads go one after the other.
type Repository struct {
	opts Options
	log  *slog.Logger
	load sync.Mutex // held by Load, Unload and Close: one change at a time

	mu     sync.RWMutex // guards what follows; never held while a file is opened
	models map[string]map[int64]*version
	notes  map[key]note
	closed bool
	alive  sync.WaitGroup // versions not yet closed
}

// Options say how a repository works.
type Options struct {
	// Folders hold the models. The first one that has a model of a name has all
	// of its versions: files win over what is built in.
	Folders []Folder
	// Opener opens files.
	Opener Opener
	// Contract is what classifiers must keep.
	Contract Contract
	// Workers is how many runners each version gets, at least 1.
	Workers int
	// Changed, if set, is told of a model whose versions have changed, and which are
	// loaded now. It must not call the repository.
	Changed func(name string, versions []int64)
}

type key struct {
	name    string
	version int64
}

type note struct {
	state  serving.State
	reason string
}

// New makes an empty repository; nothing is read yet.
func New(opts Options, log *slog.Logger) *Repository {
	return &Repository{opts: opts, log: log.With(telemetry.KeyComponent, "model"), models: map[string]map[int64]*version{}, notes: map[key]note{}}
}

// Names lists the models in the folders, sorted.
func (r *Repository) Names() ([]string, error) {
	seen := map[string]bool{}
	for _, f := range r.opts.Folders {
		names, err := f.names()
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			seen[n] = true
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

// Index lists every version in the folders or loaded, by name and version.
func (r *Repository) Index() ([]serving.Entry, error) {
	names, err := r.Names()
	if err != nil {
		return nil, err
	}
	found := map[key]note{}
	for _, name := range names {
		_, versions, err := r.find(name)
		if err != nil {
			return nil, err
		}
		for _, v := range versions {
			found[key{name, v}] = note{}
		}
	}
	r.mu.RLock()
	maps.Copy(found, r.notes)
	for name, versions := range r.models {
		for v := range versions {
			found[key{name, v}] = note{state: serving.Ready}
		}
	}
	r.mu.RUnlock()
	keys := slices.SortedFunc(maps.Keys(found), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.version, b.version))
	})
	entries := make([]serving.Entry, len(keys))
	for i, k := range keys {
		entries[i] = serving.Entry{Name: k.name, Version: strconv.FormatInt(k.version, 10), State: found[k].state, Reason: found[k].reason}
	}
	return entries, nil
}

// find says where a model lies and which versions there are, ascending.
func (r *Repository) find(name string) (Folder, []int64, error) {
	for _, f := range r.opts.Folders {
		versions, err := f.versions(name)
		if err != nil || len(versions) > 0 {
			return f, versions, err
		}
	}
	return Folder{}, nil, nil
}

// Acquire returns a lease on a loaded version; an empty version is the highest
// that is loaded. ErrNotFound names what is not there.
func (r *Repository) Acquire(name, wanted string) (serving.Lease, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	versions := r.models[name]
	if len(versions) == 0 {
		return nil, fmt.Errorf("%w: no model %q is loaded", serving.ErrNotFound, name)
	}
	number := int64(0)
	if wanted == "" {
		for n := range versions {
			number = max(number, n)
		}
	} else if n, err := parseVersion(wanted); err == nil {
		number = n
	}
	v := versions[number]
	if v == nil {
		return nil, fmt.Errorf("%w: model %q has no version %q loaded", serving.ErrNotFound, name, wanted)
	}
	return v.acquire(), nil
}

// Loaded returns leases on everything that is loaded, by name and version; the
// caller releases each.
func (r *Repository) Loaded() []serving.Lease {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var all []serving.Lease
	for _, name := range slices.Sorted(maps.Keys(r.models)) {
		for _, number := range slices.Sorted(maps.Keys(r.models[name])) {
			all = append(all, r.models[name][number].acquire())
		}
	}
	return all
}

// Load brings a model into the state that policy asks for: files that are new or
// have changed are opened, checked and warmed up beside those that serve, and
// when all are good they take their place in one step; versions that policy does
// not name leave, unless it keeps them. On an error nothing has changed, and Index says why.
// ErrNotFound: no such model or version in the folders. ErrRefused: a file must
// not be served; the error names it.
func (r *Repository) Load(ctx context.Context, name string, policy serving.VersionPolicy) error {
	r.load.Lock()
	defer r.load.Unlock()
	folder, there, err := r.find(name)
	if err != nil {
		return err
	}
	wanted, err := choose(policy, name, there)
	if err != nil {
		return err
	}
	r.mu.RLock()
	old, closed := r.models[name], r.closed
	r.mu.RUnlock()
	if closed {
		return serving.ErrClosed
	}
	next := map[int64]*version{}
	for _, number := range wanted {
		k := key{name, number}
		r.note(k, note{state: serving.Loading})
		v, err := r.prepare(ctx, folder, k, old)
		if err != nil {
			file := path.Join(folder.Origin, folder.file(name, number))
			err = fmt.Errorf("%s: %w", file, err)
			r.note(k, note{serving.Unavailable, err.Error()})
			for n, v := range next {
				if old[n] != v {
					v.Release()
				}
				r.note(key{name, n}, note{})
			}
			return err
		}
		next[number] = v
	}
	for n, v := range old {
		if policy.Keep && next[n] == nil {
			next[n] = v
		}
	}
	r.swap(name, next)
	return nil
}

// Versions lists the versions of a model that lie in the folders, ascending; none when there is no such model.
func (r *Repository) Versions(name string) ([]int64, error) {
	_, versions, err := r.find(name)
	return versions, err
}

// Retain lets all versions of a model but the given ones leave. Those that are not loaded it does not load.
func (r *Repository) Retain(name string, versions ...int64) {
	r.load.Lock()
	defer r.load.Unlock()
	r.mu.RLock()
	next := maps.Clone(r.models[name])
	r.mu.RUnlock()
	maps.DeleteFunc(next, func(n int64, _ *version) bool { return !slices.Contains(versions, n) })
	r.swap(name, next)
}

// prepare returns what serves the version: the one that does already if its file
// has not changed, otherwise a new one, warm.
func (r *Repository) prepare(ctx context.Context, f Folder, k key, old map[int64]*version) (*version, error) {
	data, err := f.read(k.name, k.version)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", serving.ErrRefused, err)
	}
	if v := old[k.version]; v != nil && v.model.Info().SHA256 == sum(data) {
		return v, nil
	}
	v, err := r.open(ctx, data, k, path.Join(f.Origin, f.file(k.name, k.version)), old)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", serving.ErrRefused, err)
	}
	r.alive.Add(1)
	v.closed = func(err error) {
		defer r.alive.Done()
		if err != nil {
			r.log.Error("closing a model", telemetry.KeyModel, k.name, telemetry.KeyModelVersion, k.version, telemetry.KeyError, err)
		}
	}
	return v, nil
}

func (r *Repository) open(ctx context.Context, data []byte, k key, origin string, old map[int64]*version) (*version, error) {
	info, err := Inspect(data)
	if err != nil {
		return nil, err
	}
	info.Name, info.Version, info.Origin = k.name, k.version, origin
	if err := r.opts.Contract.Check(info); err != nil {
		return nil, err // before the engine spends time on it
	}
	for _, o := range old {
		if o.model.Info().Classifier() && !info.Classifier() {
			return nil, errors.New("it has none of Sonde's metadata and cannot take the place of a classifier")
		}
	}
	m, err := r.opts.Opener.Open(ctx, data, info)
	if err != nil {
		return nil, err
	}
	return newVersion(ctx, m, &r.opts)
}

// swap puts the versions in the place of those that were there.
func (r *Repository) swap(name string, next map[int64]*version) {
	r.mu.Lock()
	old := r.models[name]
	r.models[name] = next
	for n := range old {
		if next[n] == nil {
			r.notes[key{name, n}] = note{serving.Unavailable, "unloaded"}
		}
	}
	for n := range next {
		delete(r.notes, key{name, n})
	}
	if len(next) == 0 {
		delete(r.models, name)
	}
	r.mu.Unlock()
	if r.opts.Changed != nil {
		r.opts.Changed(name, slices.Sorted(maps.Keys(next)))
	}
	for n, v := range next {
		if old[n] != v {
			info := v.model.Info()
			r.log.Info("model loaded", telemetry.KeyModel, name, telemetry.KeyModelVersion, n, telemetry.KeyFile, info.Origin, "sha256", info.SHA256)
		}
	}
	for n, v := range old {
		if next[n] != v {
			r.log.Info("model leaves", telemetry.KeyModel, name, telemetry.KeyModelVersion, n)
			v.Release()
		}
	}
}

func (r *Repository) note(k key, n note) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n == (note{}) {
		delete(r.notes, k)
		return
	}
	r.notes[k] = n
}

// Unload takes a model out of service. Leases that were acquired before go on
// being good. ErrNotFound if it is not loaded.
func (r *Repository) Unload(name string) error {
	r.load.Lock()
	defer r.load.Unlock()
	r.mu.RLock()
	loaded := len(r.models[name]) > 0
	r.mu.RUnlock()
	if !loaded {
		return fmt.Errorf("%w: no model %q is loaded", serving.ErrNotFound, name)
	}
	r.swap(name, nil)
	return nil
}

// Close takes everything out of service and waits for the last lease.
func (r *Repository) Close() error {
	r.load.Lock()
	defer r.load.Unlock()
	r.mu.Lock()
	r.closed = true
	names := slices.Collect(maps.Keys(r.models))
	r.mu.Unlock()
	for _, name := range names {
		r.swap(name, nil)
	}
	r.alive.Wait()
	return nil
}

// choose picks the versions to serve out of those that are there, ascending.
func choose(p serving.VersionPolicy, name string, there []int64) ([]int64, error) {
	if len(there) == 0 {
		return nil, fmt.Errorf("%w: no model %q in the repository", serving.ErrNotFound, name)
	}
	switch {
	case len(p.Specific) > 0:
		for _, n := range p.Specific {
			if !slices.Contains(there, n) {
				return nil, fmt.Errorf("%w: model %q has no version %d, there are %v", serving.ErrNotFound, name, n, there)
			}
		}
		return slices.Compact(slices.Sorted(slices.Values(p.Specific))), nil
	case p.All:
		return there, nil
	}
	return there[max(0, len(there)-max(p.Latest, 1)):], nil
}
