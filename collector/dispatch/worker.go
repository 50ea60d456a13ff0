package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
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
	// microBatch is how many sessions are committed at once: a commit waits for the disk, so it should serve many.
	microBatch = 256
	// modelBatch is how many of them are classified at once: where batching has gained most of what it can. They need
	// memory, 20 KB each, until they are classified.
	modelBatch = 128
	// consumers is how many micro-batches are under way: some wait for inference while others are read or committed.
	consumers = 4
	// aloneFrom is the delivery count from which a message is processed by itself, for it may have taken others along.
	aloneFrom = 2
	// failedFrom is the delivery count at which a message that fails by itself gets a failed result.
	failedFrom = 5
	// lateParts is into how many parts items are divided that were not answered in time: each division costs as long as one
	// waits for the part that is to blame, so there should be few of them.
	lateParts = 8
	// maxFailureBytes bounds what a failed result says.
	maxFailureBytes = 512
	// logInterval is how often the same warning is logged.
	logInterval = 10 * time.Second
)

// Classifier says what sessions are; classify.Client fits it.
type Classifier interface {
	// Classify returns one classification for each session, in order. A permanent error (retry.Permanent) says that these
	// sessions cannot be classified; any other that inference is away or has too much to do. One that is
	// context.DeadlineExceeded says that there was no answer in time, which may be either's fault.
	Classify(ctx context.Context, sessions []*feature.Session) ([]*flowv1.Classification, error)
}

// Results is the part of the result store that the worker writes to; result.Store fits it.
type Results interface {
	// Put commits results, all or none; each entry's Result is then what stands in the store. A permanent error says that
	// an entry is at fault.
	Put(ctx context.Context, entries ...*record.Entry) error
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

// Worker turns messages into stored results.
type Worker struct {
	queue       Queue
	classifier  Classifier
	results     Results
	settler     Settler
	tail        Tail
	walkers     *packet.Walkers
	dropPackets func() bool
	log         *slog.Logger
	metrics     *Metrics
}

// WorkerOptions say what a worker works with. All but Metrics are needed.
type WorkerOptions struct {
	Queue      Queue
	Classifier Classifier
	Results    Results
	Settler    Settler
	Tail       Tail
	Walkers    *packet.Walkers // the session store's
	Log        *slog.Logger
	Metrics    *Metrics // nil counts nothing
	// DropPackets, if set, is asked for each result whether its head is kept out of the result store.
	DropPackets func() bool
}

// NewWorker returns a worker; Run starts it.
func NewWorker(o WorkerOptions) *Worker {
	return &Worker{
		queue: o.Queue, classifier: o.Classifier, results: o.Results, settler: o.Settler, tail: o.Tail,
		walkers: o.Walkers, dropPackets: o.DropPackets, metrics: o.Metrics,
		log: telemetry.Limited(o.Log, logInterval).With(telemetry.KeyComponent, "worker"),
	}
}

// Run works until ctx ends; what it then holds goes back to the queue.
func (w *Worker) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range consumers {
		var b batch
		group.Go(func() error {
			return w.queue.Consume(ctx, microBatch, func(ctx context.Context, messages []Message) []error {
				return w.handle(ctx, &b, messages)
			})
		})
	}
	return group.Wait()
}

// item is one message on its way through handle.
type item struct {
	message Message
	session *feature.Session // until it is classified; nil when there is nothing to classify
	entry   *record.Entry    // nil until it is known what to store
	err     error            // what becomes of the message
}

// batch is a consumer's micro-batch under way, with memory that the next one uses again: a feature.Session is large.
type batch struct {
	items           []item
	sessions        []feature.Session // of up to modelBatch items
	together, alone []*item           // those with something to classify
}

// handle is a consumer's Handler.
func (w *Worker) handle(ctx context.Context, b *batch, messages []Message) []error {
	b.items = slices.Grow(b.items[:0], len(messages))[:len(messages)]
	defer clear(b.items) // let go of the sessions
	for from := 0; from < len(messages); from += modelBatch {
		to := min(from+modelBatch, len(messages))
		w.open(b, b.items[from:to], messages[from:to])
		w.classify(ctx, b.together)
		for i := range b.alone {
			w.classify(ctx, b.alone[i:i+1])
		}
	}
	known := make([]*item, 0, len(b.items))
	for i := range b.items {
		if b.items[i].entry != nil {
			known = append(known, &b.items[i])
		}
	}
	w.store(ctx, known)

	errs := make([]error, len(b.items))
	rejected := 0
	for i := range b.items {
		errs[i] = b.items[i].err
		if errs[i] != nil && (ctx.Err() == nil || !errors.Is(errs[i], ctx.Err())) {
			rejected++
		}
	}
	w.metrics.reject(rejected)
	return errs
}

// open reads the heads of up to modelBatch messages.
func (w *Worker) open(b *batch, items []item, messages []Message) {
	if len(b.sessions) < len(items) {
		b.sessions = make([]feature.Session, len(items))
	}
	b.together, b.alone = b.together[:0], b.alone[:0]
	for i, m := range messages {
		it := &items[i]
		*it = item{message: m}
		if len(m.Session.GetHead().GetCaptured()) == 0 {
			it.entry = record.New(m.Session, nil, nil, "")
			continue
		}
		if err := b.sessions[i].FromHead(w.walkers, m.Session.GetFiveTuple().GetIpProtocol(), m.Session.GetHead()); err != nil {
			w.fail(it, err)
			continue
		}
		it.session = &b.sessions[i]
		if m.DeliveryCount < aloneFrom {
			b.together = append(b.together, it)
		} else {
			b.alone = append(b.alone, it)
		}
	}
}

// classify fills in entries. Items that fail together though inference is there are tried in halves, those that are not
// answered in time in smaller parts, so that one bad session fails no other.
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
		if errors.Is(err, context.DeadlineExceeded) && w.answers(ctx) {
			return retry.Permanent(err)
		}
		return err
	})
	switch {
	case err == nil:
		for i, it := range items {
			it.entry = w.entry(it, answers[i])
		}
	case ctx.Err() != nil:
		give(items, ctx.Err())
	case len(items) > 1:
		parts := 2
		if errors.Is(err, context.DeadlineExceeded) {
			parts = lateParts
		}
		for part := range slices.Chunk(items, (len(items)+parts-1)/parts) {
			w.classify(ctx, part)
		}
	default:
		w.fail(items[0], err)
	}
}

// answers tells whether inference classifies a session of no packets, when it has had no answer for others: then it is they
// who take too long. While it is away or overloaded, it does not.
func (w *Worker) answers(ctx context.Context) bool {
	_, err := w.classifier.Classify(ctx, []*feature.Session{{}})
	return err == nil && ctx.Err() == nil
}

func (w *Worker) entry(it *item, c *flowv1.Classification) *record.Entry {
	c.Packets = it.message.Session.GetHeadPackets()
	e := record.New(it.message.Session, c, it.session.Handshake(), "")
	e.Result.Evidence.PayloadHoleBytes = it.session.HoleBytes()
	return w.trim(e)
}

// trim leaves the head out where packets are not to be kept.
func (w *Worker) trim(e *record.Entry) *record.Entry {
	if w.dropPackets != nil && w.dropPackets() {
		e.Head = nil
	}
	return e
}

// give sets what becomes of all items.
func give(items []*item, err error) {
	for _, it := range items {
		it.err = err
	}
}

// fail rejects a message that has failed by itself, or, when that was often enough, gives it a failed result.
func (w *Worker) fail(it *item, err error) {
	it.entry, it.err = nil, err
	if it.message.DeliveryCount < failedFrom {
		return
	}
	w.log.Error("session cannot be classified", telemetry.KeySessionID, it.message.Session.GetId(), telemetry.KeyError, err)
	text := err.Error()
	text = strings.ToValidUTF8(text[:min(len(text), maxFailureBytes)], "")
	it.entry, it.err = w.trim(record.New(it.message.Session, nil, nil, text)), nil
}

// store commits what has an entry, then tells the session store and the tail. Entries that fail together though the store
// is there are tried in halves.
func (w *Worker) store(ctx context.Context, items []*item) {
	if len(items) == 0 {
		return
	}
	err := w.put(ctx, items)
	switch {
	case err == nil:
		w.settle(ctx, items)
	case ctx.Err() != nil:
		give(items, ctx.Err())
	case len(items) > 1:
		w.store(ctx, items[:len(items)/2])
		w.store(ctx, items[len(items)/2:])
	default:
		if w.fail(items[0], err); items[0].entry == nil {
			return
		}
		if err := w.put(ctx, items); err != nil {
			give(items, err)
			return
		}
		w.settle(ctx, items)
	}
}

func (w *Worker) put(ctx context.Context, items []*item) error {
	entries := make([]*record.Entry, len(items))
	for i, it := range items {
		entries[i] = it.entry
	}
	return retry.Do(ctx, w.policy("result store does not answer, nothing is lost meanwhile"), func(ctx context.Context) error {
		return w.results.Put(ctx, entries...)
	})
}

func (w *Worker) settle(ctx context.Context, items []*item) {
	sessions := make([]*flowv1.Session, len(items))
	for i, it := range items {
		sessions[i] = it.message.Session
	}
	err := retry.Do(ctx, w.policy("session store does not answer, nothing is lost meanwhile"), func(ctx context.Context) error {
		return w.settler.Settle(ctx, sessions...)
	})
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		give(items, err) // to be stored once more, which changes nothing, and settled then
		return
	}
	results := make([]*queryv1.Result, len(items))
	for i, it := range items {
		results[i] = it.entry.Result
	}
	w.metrics.store(results, sessions, time.Now())
	w.tail.Publish(results...)
}

func (w *Worker) policy(message string) retry.Policy {
	return retry.Policy{Initial: 20 * time.Millisecond, Max: 2 * time.Second, OnRetry: func(err error, wait time.Duration) {
		w.metrics.pause()
		w.log.Warn(message, telemetry.KeyError, err, telemetry.KeyDuration, wait)
	}}
}
