//go:build linux

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sonde.example/internal/rpc"
)

const (
	// limit is what the slowest hundredth of requests may take, from the moment at which each was due.
	limit = 20 * time.Millisecond
	// warm is how long load goes on before it counts.
	warm = 250 * time.Millisecond
	// searchTime bounds the search for the highest rate: on a busy machine it would go on for long.
	searchTime = 6 * time.Second
	// checkEach is how many answers there are to one that is compared under load; before it, all are.
	checkEach = 64
)

// target is a server, or what stands in its place.
type target interface {
	// call sends a batch and waits for the answer; with check it compares it. Many calls go on at the same time.
	call(ctx context.Context, b *batch, check bool) error
	// used is the CPU time that the server has taken so far, without the caller's.
	used() (time.Duration, error)
	// runs counts what the server has run so far: rows, and in how many runs. Zeros where nobody counts.
	runs(ctx context.Context) (rows, runs uint64, err error)
}

// window is what one run of load has measured.
type window struct {
	rate           float64 // sessions/s answered
	p50, p99, p999 time.Duration
	server, client time.Duration // CPU a session
	batch          float64       // rows a run; 0 where nobody counts
	overloaded     bool
}

func (w *window) sustained() bool { return !w.overloaded && w.p99 <= limit }

// load sends batches at a rate of sessions a second, with exponential pauses between them, whatever becomes of the ones
// before: an open loop, as many clients make it. A request's latency counts from when it was due, so that a server, or a
// sender, that falls behind is not forgiven.
func load(ctx context.Context, t target, batches []*batch, rate float64, length time.Duration, seed uint64) (window, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		random   = rand.New(rand.NewPCG(seed, 1))
		pause    = float64(batches[0].rows) / rate * float64(time.Second)
		mu       sync.Mutex // guards taken
		taken    []time.Duration
		calls    sync.WaitGroup
		inFlight atomic.Int64
		refused  atomic.Bool
		most     = int64(max(64, 2*rate*limit.Seconds()*10/float64(batches[0].rows))) // twenty times what may be under way
		w        window
		begun    = time.Now()
		due      = begun
		counting bool
		before   counters
		timer    = time.NewTimer(0)
	)
	defer timer.Stop()
	for n := 0; ; n++ {
		due = due.Add(time.Duration(random.ExpFloat64() * pause))
		if due.Sub(begun) > warm+length {
			break
		}
		if left := time.Until(due); left > 0 {
			timer.Reset(left)
			select {
			case <-timer.C:
			case <-ctx.Done():
				calls.Wait()
				return w, context.Cause(ctx)
			}
		}
		if !counting && due.Sub(begun) > warm {
			var err error
			if before, err = count(ctx, t); err != nil {
				calls.Wait()
				return w, err
			}
			counting = true
		}
		if inFlight.Add(1) > most || refused.Load() {
			inFlight.Add(-1)
			break
		}
		b, check, counted, due := batches[random.IntN(len(batches))], n%checkEach == 0, counting, due
		calls.Go(func() {
			err := t.call(ctx, b, check)
			took := time.Since(due)
			inFlight.Add(-1)
			if isRefused(err) {
				refused.Store(true)
				return
			}
			if err != nil {
				cancel(err)
				return
			}
			if counted {
				mu.Lock()
				defer mu.Unlock()
				taken = append(taken, took)
			}
		})
	}
	w.overloaded = due.Sub(begun) <= warm+length || refused.Load()
	calls.Wait()
	if err := context.Cause(ctx); err != nil {
		return w, err
	}
	if len(taken) == 0 {
		return w, nil
	}
	after, err := count(ctx, t)
	if err != nil {
		return w, err
	}
	slices.Sort(taken)
	w.p50, w.p99, w.p999 = quantile(taken, 0.5), quantile(taken, 0.99), quantile(taken, 0.999)
	sessions := len(taken) * batches[0].rows
	w.rate = float64(sessions) / after.at.Sub(before.at).Seconds()
	w.server = (after.server - before.server) / time.Duration(sessions)
	w.client = (after.client - before.client) / time.Duration(sessions)
	if runs := after.runs - before.runs; runs > 0 {
		w.batch = float64(after.rows-before.rows) / float64(runs)
	}
	return w, nil
}

// errRefused says that a server's queue is full, where its answer has no status.
var errRefused = errors.New("the queue is full")

// isRefused tells whether there was just too much at once.
func isRefused(err error) bool {
	_, again := rpc.RetryDelay(err)
	return again || errors.Is(err, errRefused)
}

// counters are what is read before and after.
type counters struct {
	at             time.Time
	server, client time.Duration
	rows, runs     uint64
}

func count(ctx context.Context, t target) (c counters, err error) {
	if c.rows, c.runs, err = t.runs(ctx); err != nil {
		return c, err
	}
	if c.server, err = t.used(); err != nil {
		return c, err
	}
	own, err := processTime(0)
	c.client, c.at = own, time.Now()
	if _, ok := t.(*rawTarget); ok { // it runs in here
		c.client -= c.server
	}
	return c, err
}

// quantile returns the value below which the given part of them lies.
func quantile(sorted []time.Duration, part float64) time.Duration {
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

// closed keeps some calls under way for a while and tells how many sessions a second went through: about what a target
// can do, where the search begins.
func closed(ctx context.Context, t target, batches []*batch, callers int, length time.Duration) (float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		calls sync.WaitGroup
		done  atomic.Int64
		begun = time.Now()
	)
	for n := range callers {
		calls.Go(func() {
			for i := n; time.Since(begun) < length; i += callers {
				err := t.call(ctx, batches[i%len(batches)], false)
				if isRefused(err) {
					continue
				}
				if err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	calls.Wait()
	return float64(done.Load()) * float64(batches[0].rows) / time.Since(begun).Seconds(), context.Cause(ctx)
}

// search finds the highest rate at which p99 is within the limit: up in steps of a fifth until it is not, twice, and
// back by halves of the step.
func search(ctx context.Context, t target, batches []*batch, length time.Duration) (float64, error) {
	callers := 8
	if batches[0].rows == 1 {
		callers = 32
	}
	most, err := closed(ctx, t, batches, callers, length)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	try := func(rate float64) (bool, error) {
		for n := range uint64(2) { // one bad moment of the machine is not the target's
			if time.Since(begun) > searchTime {
				return false, nil
			}
			w, err := load(ctx, t, batches, rate, length, n)
			if err != nil || w.sustained() {
				return err == nil, err
			}
		}
		return false, nil
	}
	good, step := most/2, 1.2
	ok, err := try(good)
	for err == nil && !ok && time.Since(begun) < searchTime {
		good /= 1.5
		ok, err = try(good)
	}
	for err == nil && ok {
		if ok, err = try(good * step); ok {
			good *= step
		}
	}
	for range 2 {
		if err == nil {
			step = 1 + (step-1)/2
			if ok, err = try(good * step); ok {
				good *= step
			}
		}
	}
	return good, err
}
