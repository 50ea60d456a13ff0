package batcher

import (
	"context"
	"slices"
	"time"

	"sonde.example/internal/serving"
)

// worker runs what belongs together. Whoever took it has it alone. Its memory for
// gathered rows is made once and grows to the largest model.
type worker struct {
	batcher *Batcher
	number  int
	jobs    []*job // what it has now
	rows    int
	in, out [][]byte
}

// take waits until there is something to run and a worker to run it, and returns
// the worker with it; nil when the batcher is closed, empty, and runs nothing more.
func (b *Batcher) take() *worker {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		first := b.queues[0].first
		if first == nil {
			first = b.queues[1].first
		}
		if first == nil && b.closed && len(b.idle) == b.opts.Workers {
			return nil
		}
		if first == nil || len(b.idle) == 0 {
			b.more.Wait()
			continue
		}
		if left := b.opts.MaxDelay - time.Since(first.arrived); left > 0 && !b.closed &&
			first.in.Rows < BypassRows && b.rows < serving.MaxRunRows {
			if first = b.large(); first == nil {
				b.pause(left)
				continue
			}
		}
		w := b.wake()
		w.gather(first)
		if b.requests > 0 {
			b.more.Signal() // for another worker
		}
		if len(w.jobs) > 0 {
			return w
		}
		b.idle = append(b.idle, w)
	}
}

// large returns the first job that needs no company. The lock is held.
func (b *Batcher) large() *job {
	for q := range b.queues {
		for j := b.queues[q].first; j != nil; j = j.next {
			if j.in.Rows >= BypassRows {
				return j
			}
		}
	}
	return nil
}

// pause waits for news, or for the delay to be over. The lock is held.
func (b *Batcher) pause(left time.Duration) {
	timer := time.AfterFunc(left, func() {
		b.mu.Lock() // so that it cannot fall between looking and waiting
		defer b.mu.Unlock()
		b.more.Broadcast()
	})
	b.more.Wait()
	timer.Stop()
}

// gather takes the first job and, unless it is large, what else there is of the
// same version and fits into the run. The lock is held.
func (w *worker) gather(first *job) {
	w.jobs, w.rows = w.jobs[:0], 0
	w.pick(first)
	if len(w.jobs) == 0 || w.rows >= BypassRows && len(w.jobs) == 1 {
		return
	}
	most := first.lease.Info().MaxRows
	for q := range w.batcher.queues {
		for j := w.batcher.queues[q].first; j != nil && w.rows < most; {
			next := j.next
			if j.in.Rows < BypassRows && w.rows+j.in.Rows <= most && j.lease.Stats() == first.lease.Stats() {
				w.pick(j)
			}
			j = next
		}
	}
}

// pick takes a job out of the queue, and drops it if nobody waits for it any
// more.
func (w *worker) pick(j *job) {
	w.batcher.remove(j)
	if j.wait.Err() != nil {
		j.done <- j.expired()
		return
	}
	w.jobs = append(w.jobs, j)
	w.rows += j.in.Rows
}

// run runs what take took, and answers.
func (w *worker) run(ctx context.Context) {
	if len(w.jobs) == 1 {
		j := w.jobs[0]
		w.finish(w.alone(j))
		return
	}
	r, err := w.together(ctx)
	if err == nil {
		w.finish(r, nil)
		return
	}
	// One of them may have spoilt it for the others: each tries alone.
	jobs := slices.Clone(w.jobs)
	for _, j := range jobs {
		w.jobs, w.rows = append(w.jobs[:0], j), j.in.Rows
		w.finish(w.alone(j))
	}
}

// alone runs one job in its own memory.
func (w *worker) alone(j *job) (serving.Run, error) {
	begun := time.Now()
	err := j.lease.Runner(w.number).Run(j.ctx, j.in, j.out)
	ended := time.Now()
	return serving.Run{Infer: ended.Sub(begun), Ended: ended, Longest: begun.Sub(j.arrived)}, err
}

// together runs several small jobs in the worker's memory.
func (w *worker) together(ctx context.Context) (serving.Run, error) {
	begun := time.Now()
	lease := w.jobs[0].lease
	info := lease.Info()
	in := &serving.Inputs{Rows: w.rows, Data: grow(&w.in, len(info.Inputs))}
	for i := range info.Inputs {
		data := in.Data[i][:0]
		for _, j := range w.jobs {
			data = append(data, j.in.Data[i]...)
		}
		in.Data[i] = data
	}
	out := &serving.Outputs{Data: grow(&w.out, len(info.Outputs))}
	for i := range info.Outputs {
		n := w.rows * info.Outputs[i].RowBytes()
		out.Data[i] = slices.Grow(out.Data[i][:0], max(n, 1))[:n] // never nil, which would be an output that nobody wants
	}
	gathered := time.Now()
	if err := lease.Runner(w.number).Run(ctx, in, out); err != nil {
		return serving.Run{}, err
	}
	ran := time.Now()
	for i := range info.Outputs {
		data := out.Data[i]
		for _, j := range w.jobs {
			var own []byte
			own, data = info.Outputs[i].Cut(data, j.in.Rows)
			if info.Outputs[i].Type == serving.Bytes && j.out.Data[i] != nil {
				j.out.Data[i] = append(j.out.Data[i][:0], own...)
			} else {
				copy(j.out.Data[i], own) // nothing, if this output is not wanted
			}
		}
	}
	ended := time.Now()
	return serving.Run{
		Input: gathered.Sub(begun), Infer: ran.Sub(gathered), Output: ended.Sub(ran), Ended: ended,
		Longest: begun.Sub(w.jobs[0].arrived),
	}, nil
}

// grow gives the memory at least n slices, keeping what they have.
func grow(memory *[][]byte, n int) [][]byte {
	for len(*memory) < n {
		*memory = append(*memory, nil)
	}
	return (*memory)[:n]
}

// finish counts and answers.
func (w *worker) finish(r serving.Run, err error) {
	lease := w.jobs[0].lease
	begun := r.Ended.Add(-r.Input - r.Infer - r.Output)
	for _, j := range w.jobs {
		r.Queue += begun.Sub(j.arrived)
		r.Total += r.Ended.Sub(j.arrived)
	}
	r.Requests, r.Rows = len(w.jobs), w.rows
	switch {
	case err == nil:
		lease.Stats().Ran(r)
		if w.batcher.opts.Observe != nil {
			w.batcher.opts.Observe(lease.Info(), r)
		}
	case w.jobs[0].ctx.Err() != nil:
		lease.Stats().Fail(serving.Canceled, r.Requests, r.Total)
	default:
		lease.Stats().Fail(serving.Backend, r.Requests, r.Total)
	}
	for _, j := range w.jobs {
		j.done <- err
	}
	clear(w.jobs)
}
