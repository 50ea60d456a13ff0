package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// Lease keeps one loaded version alive. Whoever acquired it releases it, once.
type Lease struct{ v *version }

// Info tells what the model is.
func (l Lease) Info() *Info { return l.v.model.Info() }

// Runner is the runner that belongs to one of the workers, from 0. Only that
// worker uses it, one run at a time, and only while it has a lease.
func (l Lease) Runner(worker int) Runner { return l.v.runners[worker] }

// Stats counts what the version has done.
func (l Lease) Stats() *Stats { return &l.v.stats }

// Same says whether both leases are of the same loaded version, whose rows can
// run together.
func (l Lease) Same(other Lease) bool { return l.v == other.v }

// Release gives the lease back. The last one of a version that was replaced or
// unloaded closes it.
func (l Lease) Release() { l.v.release() }

// version is one loaded version. The repository has one reference, each lease
// another.
type version struct {
	model   Model
	runners []Runner
	stats   Stats
	refs    atomic.Int64
	closed  func(error) // told what closing it gave, once
}

// newVersion checks an opened model, makes the runners and warms up. The model
// is its own from then on: on an error nothing is left of it.
func newVersion(ctx context.Context, m Model, o *Options) (_ *version, err error) {
	v := &version{model: m}
	v.refs.Store(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, v.close())
		}
	}()
	if err := o.Contract.Check(m.Info()); err != nil {
		return nil, err // again: now with the dimensions that the file left open
	}
	if m.Info().MaxRows < 1 || slices.ContainsFunc(m.Info().Outputs, func(t Tensor) bool { return t.Open() }) {
		return nil, errors.New("the engine left the model's form open")
	}
	for range o.Workers {
		r, err := m.NewRunner()
		if err != nil {
			return nil, fmt.Errorf("buffers of a worker: %w", err)
		}
		v.runners = append(v.runners, r)
	}
	if err := warmUp(ctx, m.Info(), v.runners[0]); err != nil {
		return nil, err
	}
	return v, nil
}

func (v *version) acquire() Lease {
	v.refs.Add(1)
	return Lease{v}
}

func (v *version) release() {
	if v.refs.Add(-1) == 0 {
		v.closed(v.close())
	}
}

func (v *version) close() error {
	var all []error
	for _, r := range v.runners {
		all = append(all, r.Close())
	}
	return errors.Join(append(all, v.model.Close())...)
}
