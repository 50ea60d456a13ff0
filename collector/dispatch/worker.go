package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/feature"
	"sonde.example/internal/packet"
	"sonde.example/internal/record"
	"sonde.example/internal/retry"
	"sonde.example/internal/telemetry"
)

const (
	// microBatch is how many sessions are classified and committed at once: where batching has gained most of what it can.
	microBatch = 64
	// consumers is how many micro-batches are under way: some wait for inference while others are read or committed.
	consumers = 4
	// aloneFrom is the delivery count from which a message is processed by itself, for it may have taken others along.
	aloneFrom = 2
	// failedFrom is the delivery count at which a message that fails by itself gets a failed result.
	failedFrom = 5
)

// Classifier says what sessions are; classify.Client fits it.
type Classifier interface {
	// Classify returns one classification for each session, in order. A permanent error (retry.Permanent) says that these
	// sessions cannot be classified; any other that inference is away or has too much to do.
	Classify(ctx context.Context, sessions []*feature.Session) ([]*flowv1.Classification, error)
}

// Settler is told what is committed; session.Outbox fits it.
type Settler interface {
	// Settle tells that results are committed, up to both numbers.
	Settle(ctx context.Context, stored ...*flowv1.Session) error
}

// Tail is told of every result that was stored, as it now stands; query.Hub fits it. It never waits.
type Tail interface {
	Publish(results ...*queryv1.Result)
}

// Results is the part of the result store that the worker writes to; result.Store fits it.
type Results interface {
	Put(ctx context.Context, entries ...*record.Entry) error
}

// Worker turns messages into stored results.
type Worker struct {
	queue       Queue
	classifier  Classifier
	results     Results
	settler     Settler
	tail        Tail
	walker      *packet.Walker
	keepPackets bool
	log         *slog.Logger
	metrics     *Metrics
	sessions    sync.Pool // of *feature.Session, which are large and used for the time of one micro-batch
}

// WorkerOptions say what a worker works with. All but Metrics are needed.
type WorkerOptions struct {
	Queue      Queue
	Classifier Classifier
	Results    Results
	Settler    Settler
	Tail       Tail
	Walker     *packet.Walker // looks for tunnels where the session store does
	Log        *slog.Logger
	Metrics    *Metrics // nil counts nothing
	// DropPackets keeps heads out of the result store.
	DropPackets bool
}

// NewWorker returns a worker; Run starts it.
func NewWorker(o WorkerOptions) *Worker {
	return &Worker{
		queue: o.Queue, classifier: o.Classifier, results: o.Results, settler: o.Settler, tail: o.Tail,
		walker: o.Walker, keepPackets: !o.DropPackets, log: o.Log.With(telemetry.KeyComponent, "worker"), metrics: o.Metrics,
		sessions: sync.Pool{New: func() any { return &feature.Session{} }},
	}
}

// Run works until ctx ends; what it then holds goes back to the queue.
func (w *Worker) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range consumers {
		group.Go(func() error { return w.queue.Consume(ctx, microBatch, w.handle) })
	}
	return group.Wait()
}

// item is one message on its way through handle.
type item struct {
	message Message
	session *feature.Session // nil when there is nothing to classify
	entry   *record.Entry    // nil until it is known what to store
	err     error            // what becomes of the message
}

// handle is the worker's Handler.
func (w *Worker) handle(ctx context.Context, messages []Message) []error {
	items := make([]item, len(messages))
	var together, alone []*item
	for i, m := range messages {
		it := &items[i]
		it.message = m
		if len(m.Session.GetHead().GetCaptured()) == 0 {
			it.entry = record.New(m.Session, nil, nil, "")
			continue
		}
		session, _ := w.sessions.Get().(*feature.Session)
		defer w.sessions.Put(session)
		if err := session.FromHead(w.walker, m.Session.GetFiveTuple().GetIpProtocol(), m.Session.GetHead()); err != nil {
			w.reject(it, err)
			continue
		}
		it.session = session
		if m.DeliveryCount >= aloneFrom {
			alone = append(alone, it)
		} else {
			together = append(together, it)
		}
	}
	w.classify(ctx, together)
	for _, it := range alone {
		w.classify(ctx, []*item{it})
	}
	w.store(ctx, items)
	errs := make([]error, len(items))
	for i := range items {
		errs[i] = items[i].err
	}
	return errs
}

// classify fills in entries. Items that fail together though inference is there are tried in halves, so that one bad
// session fails no other.
func (w *Worker) classify(ctx context.Context, items []*item) {
	if len(items) == 0 {
		return
	}
	sessions := make([]*feature.Session, len(items))
	for i, it := range items {
		sessions[i] = it.session
	}
	var answers []*flowv1.Classification
	err := retry.Do(ctx, w.policy("inference does not answer, nothing is lost meanwhile"), func(ctx context.Context) (err error) {
		answers, err = w.classifier.Classify(ctx, sessions)
		return err
	})
	switch {
	case err == nil:
		for i, it := range items {
			it.entry = w.entry(it, answers[i])
		}
	case ctx.Err() != nil:
		for _, it := range items {
			it.err = ctx.Err()
		}
	case len(items) > 1:
		w.classify(ctx, items[:len(items)/2])
		w.classify(ctx, items[len(items)/2:])
	default:
		w.reject(items[0], err)
	}
}

func (w *Worker) entry(it *item, c *flowv1.Classification) *record.Entry {
	s := it.message.Session
	c.Packets = s.GetHeadPackets()
	e := record.New(s, c, it.session.Handshake(), "")
	if holes := it.session.HoleBytes(); holes > 0 {
		e.Result.Evidence.PayloadHoleBytes = holes
	}
	if !w.keepPackets {
		e.Head = nil
	}
	return e
}

// reject sends a message back, or, when it has failed by itself often enough, gives it a failed result.
func (w *Worker) reject(it *item, err error) {
	if it.message.DeliveryCount < failedFrom {
		it.err = err
		return
	}
	w.log.Error("session cannot be classified", telemetry.KeySessionID, it.message.Session.GetId(), telemetry.KeyError, err)
	it.entry = record.New(it.message.Session, nil, nil, err.Error())
	if !w.keepPackets {
		it.entry.Head = nil
	}
}

// store commits what has an entry, tells the session store and the tail, and leaves the context's error with what could
// not be committed before ctx ended.
func (w *Worker) store(ctx context.Context, items []item) {
	var entries []*record.Entry
	var sessions []*flowv1.Session
	for i := range items {
		if it := &items[i]; it.entry != nil {
			entries, sessions = append(entries, it.entry), append(sessions, it.message.Session)
		}
	}
	if len(entries) == 0 {
		return
	}
	err := retry.Do(ctx, w.policy("result store does not answer, nothing is lost meanwhile"), func(ctx context.Context) error {
		return w.results.Put(ctx, entries...)
	})
	if err == nil {
		err = w.settler.Settle(ctx, sessions...)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		for i := range items {
			if items[i].entry != nil {
				items[i].err = fmt.Errorf("store result: %w", err)
			}
		}
		return
	}
	now := time.Now().UnixNano()
	stored := make([]*queryv1.Result, len(entries))
	for i, e := range entries {
		stored[i] = e.Result
		w.metrics.stored(e.Result.GetState(), time.Duration(now-sessions[i].GetHandedOverTimeNs()))
	}
	w.tail.Publish(stored...)
}

func (w *Worker) policy(message string) retry.Policy {
	return retry.Policy{Initial: 20 * time.Millisecond, Max: 2 * time.Second, OnRetry: func(err error, wait time.Duration) {
		w.metrics.pause()
		if !errors.Is(err, context.Canceled) {
			w.log.Warn(message, telemetry.KeyError, err, telemetry.KeyDuration, wait)
		}
	}}
}
