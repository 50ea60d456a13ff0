package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"sonde.example/internal/serving"
)

// version is one loaded version, and the lease on it. The repository has one
// reference, each lease another.
type version struct {
	model   Model
	runners []serving.Runner
	stats   serving.Stats
	drift   *serving.Drift
	refs    atomic.Int64
	closed  func(error) // told what closing it gave, once
}

var _ serving.Lease = (*version)(nil)

// Info tells what the model is.
func (v *version) Info() *serving.Info { return v.model.Info() }

// Runner is the runner of a worker.
func (v *version) Runner(worker int) serving.Runner { return v.runners[worker] }

// Stats counts what the version has done.
func (v *version) Stats() *serving.Stats { return &v.stats }

// Drift counts what the version sees.
func (v *version) Drift() *serving.Drift { return v.drift }

// Release gives a reference back. The last one closes the version.
func (v *version) Release() {
	if v.refs.Add(-1) == 0 {
		v.closed(v.close())
	}
}

func (v *version) acquire() serving.Lease {
	v.refs.Add(1)
	return v
}

// newVersion checks an opened model, makes the runners and warms up. The model
// is its own from then on: on an error nothing is left of it.
func newVersion(ctx context.Context, m Model, o *Options) (_ *version, err error) {
	v := &version{model: m, drift: serving.NewDrift(m.Info(), time.Now())}
	v.refs.Store(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, v.close())
		}
	}()
	if err := o.Contract.Check(m.Info()); err != nil {
		return nil, err // again: now with the dimensions that the file left open
	}
	if m.Info().MaxRows < 1 || slices.ContainsFunc(m.Info().Outputs, func(t serving.Tensor) bool { return t.Open() }) {
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

func (v *version) close() error {
	var all []error
	for _, r := range v.runners {
		all = append(all, r.Close())
	}
	return errors.Join(append(all, v.model.Close())...)
}
