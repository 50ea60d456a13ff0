// Package batcher puts requests together, so that a model runs many rows at once
// however small the requests are.
//
// Requests come in with a lease on their model, wait in one queue that is bounded
// in rows, and go out by a fixed number of workers, one a core, each of which uses
// its own runner of every model. A worker that is free takes the oldest request at
// once (or, if a delay is set, when that is over) and with it whatever else waits
// for the same version, up to one run; so batches grow by themselves when there is
// much to do and nobody waits when there is little. When nothing waits and a worker
// is free, the caller's own goroutine runs the request: to hand it over and back
// costs more than one row does. A request of BypassRows or more runs alone,
// straight from its own memory. Interactive requests go before
// bulk ones. A request whose caller has left, or that has waited longer than it
// wanted to, is dropped before it is run; one that does not fit is refused at
// once, with serving.ErrFull. When the batcher ends it takes no more and runs what
// it has.
package batcher

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sonde.example/internal/serving"
)

// BypassRows is how many rows a request needs to run alone: beyond it a run gains
// little by more rows, and its rows need not be copied together.
const BypassRows = 32

// Options say how a batcher works. The zero value is sound.
type Options struct {
	// Workers is how many runs go on at the same time; 0 means one a core. Every
	// model must have been loaded with at least as many runners.
	Workers int
	// MaxQueueRows bounds what waits; 0 means DefaultQueueRows(Workers).
	MaxQueueRows int
	// MaxDelay is how long a small request waits for company even though a worker
	// is free; 0, the default, means that it does not.
	MaxDelay time.Duration
	// Observe, if set, is told of every run that went well. It must return soon.
	Observe func(info *serving.Info, run serving.Run)
}

// DefaultQueueRows is room for eight full runs a worker, and for at least one
// request of any size.
func DefaultQueueRows(workers int) int {
	return max(8*serving.MaxRunRows*workers, serving.MaxRequestRows)
}

// Batcher is the queue and the workers.
type Batcher struct {
	opts Options

	mu       sync.Mutex // guards what follows
	more     sync.Cond  // signalled when there is something to look at
	queues   [serving.PriorityLevels]list
	idle     []*worker // run nothing; none before Run
	rows     int       // in the queues
	requests int       // in the queues
	closed   bool
}

// New makes a batcher. Nothing runs before Run is called.
func New(o Options) *Batcher {
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.MaxQueueRows == 0 {
		o.MaxQueueRows = DefaultQueueRows(o.Workers)
	}
	b := &Batcher{opts: o}
	b.more.L = &b.mu
	return b
}

// Waiting tells how many requests, with how many rows, are in the queue.
func (b *Batcher) Waiting() (requests, rows int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests, b.rows
}

// Run works until ctx ends, runs what is in the queue then, and returns.
func (b *Batcher) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, b.close)
	defer stop()
	var dispatchers errgroup.Group
	for n := range b.opts.Workers {
		b.rest(&worker{batcher: b, number: n})
		dispatchers.Go(func() error {
			for w := b.take(); w != nil; w = b.take() {
				w.run(context.WithoutCancel(ctx))
				b.rest(w)
			}
			return nil
		})
	}
	return dispatchers.Wait()
}

// rest takes back a worker that has run what it had.
func (b *Batcher) rest(w *worker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle = append(b.idle, w)
	switch {
	case b.closed:
		b.more.Broadcast() // it may be the last
	case b.requests > 0:
		b.more.Signal()
	}
}

func (b *Batcher) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.more.Broadcast()
}

// Predict runs in and fills out. It returns when the batcher no longer touches
// either, and the caller keeps the lease until then. Errors: serving.ErrFull,
// serving.ErrTimeout and serving.ErrClosed, with nothing run; the context's, with
// nothing run either, unless it ended between two runs of a large request;
// otherwise the runner's.
func (b *Batcher) Predict(ctx context.Context, lease serving.Lease, in *serving.Inputs, out *serving.Outputs, o serving.CallOptions) error {
	if err := serving.Fit(lease.Info(), in, out); err != nil {
		return err
	}
	j := &job{lease: lease, in: in, out: out, ctx: ctx, wait: ctx, arrived: time.Now(), done: make(chan error, 1)}
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		j.wait, cancel = context.WithTimeoutCause(ctx, o.Timeout, serving.ErrTimeout)
		defer cancel()
	}
	if err := j.wait.Err(); err != nil {
		return j.fail(serving.Canceled, context.Cause(j.wait))
	}
	if o.Priority != serving.PriorityInteractive {
		j.queue = 1
	}
	w, err := b.enqueue(j)
	if err != nil {
		return j.fail(serving.Rejected, err)
	}
	if w != nil {
		w.run(context.WithoutCancel(ctx))
		b.rest(w)
		return <-j.done
	}
	select {
	case err := <-j.done:
		return err
	case <-j.wait.Done():
	}
	if !b.withdraw(j) {
		return <-j.done // a worker has it: it is soon done with it
	}
	return j.expired()
}

// enqueue puts a job into the queue, or gives it to a worker that the caller is to
// run.
func (b *Batcher) enqueue(j *job) (*worker, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, serving.ErrClosed
	}
	if b.requests == 0 && len(b.idle) > 0 && (b.opts.MaxDelay == 0 || j.in.Rows >= BypassRows) {
		w := b.wake()
		w.jobs, w.rows = append(w.jobs[:0], j), j.in.Rows
		return w, nil
	}
	if b.rows+j.in.Rows > b.opts.MaxQueueRows {
		return nil, fmt.Errorf("%w: %d rows wait, %d more do not fit into %d", serving.ErrFull, b.rows, j.in.Rows, b.opts.MaxQueueRows)
	}
	b.queues[j.queue].push(j)
	b.rows += j.in.Rows
	b.requests++
	j.lease.Stats().Wait(1)
	b.more.Signal()
	return nil, nil
}

// wake takes an idle worker. There is one, and the lock is held.
func (b *Batcher) wake() *worker {
	last := len(b.idle) - 1
	w := b.idle[last]
	b.idle = b.idle[:last]
	return w
}

// withdraw takes a job out of the queue; false if a worker has it already.
func (b *Batcher) withdraw(j *job) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !j.queued {
		return false
	}
	b.remove(j)
	return true
}

func (b *Batcher) remove(j *job) {
	b.queues[j.queue].remove(j)
	b.rows -= j.in.Rows
	b.requests--
	j.lease.Stats().Wait(-1)
}

// job is one request on its way. The batcher's lock guards queued and its place
// in the list; once a worker has sent to done it touches the job no more.
type job struct {
	lease   serving.Lease
	in      *serving.Inputs
	out     *serving.Outputs
	ctx     context.Context //nolint:containedctx // the job is the call
	wait    context.Context //nolint:containedctx // ctx, and the time-out in the queue
	arrived time.Time
	done    chan error

	queue      int
	queued     bool
	next, prev *job
}

// expired says why a job that was never run ends.
func (j *job) expired() error {
	if cause := context.Cause(j.wait); j.ctx.Err() == nil && errors.Is(cause, serving.ErrTimeout) {
		return j.fail(serving.Rejected, cause)
	}
	return j.fail(serving.Canceled, context.Cause(j.ctx))
}

func (j *job) fail(reason serving.Failure, err error) error {
	j.lease.Stats().Fail(reason, 1, time.Since(j.arrived))
	return err
}

// list is a queue from which jobs may leave anywhere.
type list struct{ first, last *job }

func (l *list) push(j *job) {
	j.queued, j.prev, j.next = true, l.last, nil
	if l.last == nil {
		l.first = j
	} else {
		l.last.next = j
	}
	l.last = j
}

func (l *list) remove(j *job) {
	if j.prev == nil {
		l.first = j.next
	} else {
		j.prev.next = j.next
	}
	if j.next == nil {
		l.last = j.prev
	} else {
		j.next.prev = j.prev
	}
	j.queued, j.prev, j.next = false, nil, nil
}
