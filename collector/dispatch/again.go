package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/record"
	"sonde.example/internal/retry"
	"sonde.example/internal/telemetry"
)

const (
	// againInterval is how often failed results are looked at when nothing has changed.
	againInterval = time.Hour
	// againPage of them are queued at once, and againPause later the next: inference, which classifies a hundred times as
	// many, does not notice.
	againPage  = 100
	againPause = time.Second
	// againMost of them are queued in one look, the newest ones; it takes less than two minutes.
	againMost = 10_000
)

// Stored is the part of the result store that Again reads; result.Store fits it.
type Stored interface {
	// List returns up to pageSize results, newest session first; an empty token begins and ends the list.
	List(ctx context.Context, f record.Filter, pageSize int, pageToken string) ([]*queryv1.Result, string, error)
	// Packets returns the packets of the head; record.ErrNotFound when none are kept.
	Packets(ctx context.Context, sessionID string) (*flowv1.Packets, error)
}

// Again has sessions classified that could not be before: it takes failed results whose head is still kept and puts them
// into the queue once more, when another version of the model answers, when inference is back, and every hour. The worker
// tries each once, by itself; one that fails again leaves its result as it was, and one that does not replaces it, unless a
// classification of more packets has come first. A head is kept for a limited time, and so is the number of trials.
type Again struct {
	queue   Queue
	results Stored
	log     *slog.Logger
	metrics *Metrics
	look    chan struct{} // 1: look soon
}

// NewAgain returns an Again; Run starts it. A nil Metrics counts nothing.
func NewAgain(queue Queue, results Stored, log *slog.Logger, metrics *Metrics) *Again {
	return &Again{
		queue: queue, results: results, metrics: metrics, look: make(chan struct{}, 1),
		log: telemetry.Limited(log, logInterval).With(telemetry.KeyComponent, "again"),
	}
}

// Look has it look soon, for there is reason to hope. Any goroutine may call it; it does not wait.
func (a *Again) Look() {
	select {
	case a.look <- struct{}{}:
	default: // it has not begun since the last time
	}
}

// Run works until ctx ends.
func (a *Again) Run(ctx context.Context) error {
	ticker := time.NewTicker(againInterval)
	defer ticker.Stop()
	for {
		select {
		case <-a.look:
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		switch queued, err := a.pass(ctx); {
		case ctx.Err() != nil || errors.Is(err, ErrClosed):
			return nil
		case err != nil:
			a.log.Warn("failed results could not be looked at, it is tried again", telemetry.KeyError, err, telemetry.KeyDuration, againInterval)
		case queued > 0:
			a.log.Info("sessions that could not be classified are tried again", "sessions", queued)
		}
	}
}

// pass queues what there is now.
func (a *Again) pass(ctx context.Context) (queued int, err error) {
	failed, err := record.ParseFilter("state = failed")
	if err != nil {
		return 0, err
	}
	for token := ""; queued < againMost; {
		page, next, err := a.results.List(ctx, failed, againPage, token)
		if err != nil {
			return queued, err
		}
		messages, err := a.messages(ctx, page)
		if err != nil {
			return queued, err
		}
		if err := a.queue.Publish(ctx, messages...); err != nil {
			return queued, err
		}
		queued += len(messages)
		a.metrics.again(len(messages))
		if next == "" {
			break
		}
		token = next
		if err := retry.Sleep(ctx, againPause); err != nil {
			return queued, err
		}
	}
	return queued, nil
}

// messages are the sessions of results whose head is kept, each as if it had failed by itself often enough: the worker
// tries it once, alone.
func (a *Again) messages(ctx context.Context, results []*queryv1.Result) ([]Message, error) {
	var messages []Message
	for _, r := range results {
		head, err := a.results.Packets(ctx, r.GetSessionId())
		switch {
		case errors.Is(err, record.ErrNotFound):
		case err != nil:
			return nil, err
		default:
			s := record.Session(r, head)
			s.HandedOverTimeNs = time.Now().UnixNano()
			messages = append(messages, Message{Session: s, DeliveryCount: failedFrom})
		}
	}
	return messages, nil
}
