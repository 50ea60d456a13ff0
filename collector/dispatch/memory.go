package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
)

// gatherTime is how long a consumer waits for a micro-batch to fill after its first message: a twentieth of what an
// unloaded hand-over may take.
const gatherTime = 5 * time.Millisecond

// messageOverhead is what a message costs beside its encoded size, in bytes: about as much again in Go structures, and a
// floor for small ones.
const messageOverhead = 1024

// Memory is a queue in the process, bounded in bytes. What it holds dies with the process: the memory session store knows
// what has no result yet and the agents send it again.
type Memory struct {
	limit int

	mu      sync.Mutex // guards what follows
	waiting []Message
	bytes   int // of waiting messages
	closed  bool
	changed chan struct{} // closed and replaced whenever something above changes
}

var _ Queue = (*Memory)(nil)

// NewMemory returns an empty queue that holds up to limit bytes; one message always fits.
func NewMemory(limit int) *Memory {
	return &Memory{limit: limit, changed: make(chan struct{})}
}

// announce wakes everyone who waits. The caller holds mu.
func (q *Memory) announce() {
	close(q.changed)
	q.changed = make(chan struct{})
}

func size(m Message) int { return 2*proto.Size(m.Session) + messageOverhead }

// Publish adds messages; see Queue. They enter one by one as room comes up, so after an error some may be in the queue.
func (q *Memory) Publish(ctx context.Context, messages ...Message) error {
	for _, m := range messages {
		if err := q.publish(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (q *Memory) publish(ctx context.Context, m Message) error {
	n := size(m)
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return ErrClosed
		}
		if len(q.waiting) == 0 || q.bytes+n <= q.limit {
			q.waiting = append(q.waiting, m)
			q.bytes += n
			q.announce()
			q.mu.Unlock()
			return nil
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Consume hands messages out; see Queue. Several consumers share the messages.
func (q *Memory) Consume(ctx context.Context, limit int, handle Handler) error {
	for {
		messages, err := q.take(ctx, limit)
		if err != nil {
			if errors.Is(err, ctx.Err()) {
				return nil
			}
			return err
		}
		q.answer(ctx, messages, handle(ctx, messages))
	}
}

// take waits for a message, then a little for more.
func (q *Memory) take(ctx context.Context, limit int) ([]Message, error) {
	var full <-chan time.Time // set once there is a first message
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return nil, ErrClosed
		}
		if len(q.waiting) >= limit {
			defer q.mu.Unlock()
			return q.pop(limit), nil
		}
		some, changed := len(q.waiting) > 0, q.changed
		q.mu.Unlock()
		if some && full == nil {
			timer := time.NewTimer(gatherTime)
			defer timer.Stop()
			full = timer.C
		}
		select {
		case <-changed:
		case <-full:
			q.mu.Lock()
			if len(q.waiting) > 0 {
				defer q.mu.Unlock()
				return q.pop(limit), nil
			}
			q.mu.Unlock() // another consumer was quicker
			full = nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pop takes up to limit messages. The caller holds mu.
func (q *Memory) pop(limit int) []Message {
	n := min(limit, len(q.waiting))
	taken := make([]Message, n)
	copy(taken, q.waiting)
	clear(q.waiting[:n]) // let go of the sessions
	q.waiting = q.waiting[n:]
	for _, m := range taken {
		q.bytes -= size(m)
	}
	q.announce()
	return taken
}

// answer puts back what was not acknowledged: given back in front, rejected at the end. It may pass the limit, since these
// messages were in the queue before.
func (q *Memory) answer(ctx context.Context, messages []Message, errs []error) {
	var back, rejected []Message
	for i, m := range messages {
		switch err := errs[i]; {
		case err == nil:
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			back = append(back, m)
		default:
			m.DeliveryCount++
			rejected = append(rejected, m)
		}
	}
	if len(back)+len(rejected) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(append(back, q.waiting...), rejected...)
	for _, m := range append(back, rejected...) {
		q.bytes += size(m)
	}
	q.announce()
}

// Close closes the queue; see Queue.
func (q *Memory) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.announce()
	}
	return nil
}

// Len tells how many messages wait and how many bytes they take, for metrics.
func (q *Memory) Len() (messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting), q.bytes
}
