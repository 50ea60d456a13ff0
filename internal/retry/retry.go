// Package retry does something again until it succeeds, waiting longer each time. Every error is retryable unless it is
// marked with Permanent; an error marked with After says itself how long to wait. Waits have full jitter, so that a
// thousand agents that lost the same collector do not come back in the same moment.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Policy says how long to wait and how often to try. The zero value waits up to 100 ms after the first failure, twice
// as long after each further one, at most 10 s, and never gives up.
type Policy struct {
	// Initial bounds the wait after the first failure; zero means 100 ms.
	Initial time.Duration
	// Max bounds every wait that the error itself does not ask for; zero means 10 s.
	Max time.Duration
	// Attempts is how often to try at most, the first time included; zero means without end.
	Attempts int
	// OnRetry, if set, is told of each failure that will be tried again, before the wait.
	OnRetry func(err error, wait time.Duration)
	// Random returns a number in [0, 1); nil means the random numbers of math/rand/v2.
	Random func() float64
}

const (
	defaultInitial = 100 * time.Millisecond
	defaultMax     = 10 * time.Second
)

// Wait returns how long to wait after a number of failures in a row, from 1: anything from nothing to
// Initial * 2^(failures-1), bounded by Max. Do uses it; loops of their own may too.
func (p Policy) Wait(failures int) time.Duration {
	bound, limit := p.Initial, p.Max
	if bound <= 0 {
		bound = defaultInitial
	}
	if limit <= 0 {
		limit = defaultMax
	}
	for n := 1; n < failures && bound < limit; n++ {
		bound *= 2
	}
	return time.Duration(p.random() * float64(min(bound, limit)))
}

func (p Policy) random() float64 {
	if p.Random != nil {
		return p.Random()
	}
	return rand.Float64() //nolint:gosec // spreads load, keeps no secret
}

// next returns the wait after err. What the error asks for is kept, and spread over a quarter more.
func (p Policy) next(err error, failures int) time.Duration {
	if asked, ok := errors.AsType[*afterError](err); ok {
		return asked.wait + time.Duration(p.random()*float64(asked.wait)/4)
	}
	return p.Wait(failures)
}

// Do calls fn until it returns nil or a permanent error, the policy's attempts are used up, or ctx ends; it then
// returns fn's last error. When ctx ends, the error is also the context's.
func Do(ctx context.Context, p Policy, fn func(context.Context) error) error {
	for failures := 1; ; failures++ {
		err := fn(ctx)
		if err == nil || IsPermanent(err) {
			return err
		}
		if ctx.Err() != nil {
			return ended(ctx, err)
		}
		if p.Attempts > 0 && failures >= p.Attempts {
			return fmt.Errorf("after %d attempts: %w", failures, err)
		}
		wait := p.next(err, failures)
		if p.OnRetry != nil {
			p.OnRetry(err, wait)
		}
		if Sleep(ctx, wait) != nil {
			return ended(ctx, err)
		}
	}
}

// ended joins the context's error with the last one, which says what was not working.
func ended(ctx context.Context, last error) error {
	if errors.Is(last, ctx.Err()) {
		return last
	}
	return fmt.Errorf("%w; last error: %w", ctx.Err(), last)
}

// Sleep waits; it returns the context's error when ctx ends first.
func Sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// Permanent marks an error that trying again does not cure. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent tells whether an error, or one that it wraps, was marked with Permanent.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*permanentError](err)
	return ok
}

type afterError struct {
	error
	wait time.Duration
}

func (e *afterError) Unwrap() error { return e.error }

// After marks an error that says itself when to try again: not before wait has passed. After(nil, wait) is nil.
func After(err error, wait time.Duration) error {
	if err == nil {
		return nil
	}
	return &afterError{err, max(wait, 0)}
}

// Asked returns the wait that an error, or one that it wraps, was marked with by After.
func Asked(err error) (wait time.Duration, ok bool) {
	asked, ok := errors.AsType[*afterError](err)
	if !ok {
		return 0, false
	}
	return asked.wait, true
}
