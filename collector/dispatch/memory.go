package dispatch

import (
	"context"
	"errors"
	"slices"
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
	waiting []sized
	bytes   int // of waiting messages
	out     int // messages that handlers have
	closed  bool
	changed chan struct{} // closed and replaced whenever something above changes
}

// sized is a message and what it costs, in bytes.
type sized struct {
	Message
	bytes int
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

// Publish adds messages; see Queue. They enter as room comes up, so after an error some may be in the queue.
func (q *Memory) Publish(ctx context.Context, messages ...Message) error {
	rest := make([]sized, len(messages))
	for i, m := range messages {
		rest[i] = sized{m, 2*proto.Size(m.Session) + messageOverhead}
	}
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return ErrClosed
		}
		rest = q.add(rest)
		changed := q.changed
		q.mu.Unlock()
		if len(rest) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// add takes in what there is room for, and returns the rest. The caller holds mu.
func (q *Memory) add(messages []sized) (rest []sized) {
	n := 0
	for n < len(messages) && (len(q.waiting) == 0 || q.bytes+messages[n].bytes <= q.limit) {
		q.waiting = append(q.waiting, messages[n])
		q.bytes += messages[n].bytes
		n++
	}
	if n > 0 {
		q.announce()
	}
	return messages[n:]
}

// Consume hands messages out; see Queue. Several consumers share the messages. A micro-batch that is not full goes out
// after 5 ms.
func (q *Memory) Consume(ctx context.Context, limit int, handle Handler) error {
	for {
		taken, err := q.take(ctx, limit)
		if ctx.Err() != nil {
			q.put(len(taken), taken, nil)
			return nil
		}
		if err != nil {
			return err
		}
		messages := make([]Message, len(taken))
		for i, m := range taken {
			messages[i] = m.Message
		}
		q.answer(ctx, taken, handle(ctx, messages))
	}
}

// take waits for a message, then a little for more.
func (q *Memory) take(ctx context.Context, limit int) ([]sized, error) {
	var gathered <-chan time.Time // set once there is a first message
	for late := false; ; {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return nil, ErrClosed
		}
		waiting := len(q.waiting)
		if waiting >= limit || late && waiting > 0 {
			defer q.mu.Unlock()
			return q.pop(limit), nil
		}
		changed := q.changed
		q.mu.Unlock()
		switch {
		case waiting == 0: // nothing yet, or another consumer was quicker
			late, gathered = false, nil
		case gathered == nil:
			gathered = time.After(gatherTime)
		}
		select {
		case <-changed:
		case <-gathered:
			late = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pop takes up to limit messages. The caller holds mu.
func (q *Memory) pop(limit int) []sized {
	n := min(limit, len(q.waiting))
	taken := slices.Clone(q.waiting[:n])
	clear(q.waiting[:n]) // let go of the sessions
	q.waiting = q.waiting[n:]
	for _, m := range taken {
		q.bytes -= m.bytes
	}
	q.out += n
	q.announce()
	return taken
}

// answer puts back what was not acknowledged.
func (q *Memory) answer(ctx context.Context, taken []sized, errs []error) {
	var back, rejected []sized
	for i, m := range taken {
		switch {
		case errs[i] == nil:
		case ctx.Err() != nil && errors.Is(errs[i], ctx.Err()):
			back = append(back, m)
		default:
			m.DeliveryCount++
			rejected = append(rejected, m)
		}
	}
	q.put(len(taken), back, rejected)
}

// put notes that so many messages have been answered, and returns those that were not acknowledged: given back in front,
// rejected at the end. It may pass the limit, since they were in the queue before.
func (q *Memory) put(answered int, back, rejected []sized) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.out -= answered
	if len(back)+len(rejected) == 0 {
		return
	}
	q.waiting = slices.Concat(back, q.waiting, rejected)
	for _, m := range back {
		q.bytes += m.bytes
	}
	for _, m := range rejected {
		q.bytes += m.bytes
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

// Idle tells whether no message waits and no handler has one.
func (q *Memory) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)+q.out == 0
}
