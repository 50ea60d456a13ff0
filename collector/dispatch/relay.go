package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/retry"
	"sonde.example/internal/telemetry"
)

const (
	// relayLease is how long the outbox waits for a confirmation before it lends a hand-over again: well above what a
	// broker takes to confirm.
	relayLease = 30 * time.Second
	// relayLimit is how many hand-overs go out at once: a micro-batch of the worker.
	relayLimit = 64
)

// Outbox is the part of the session store that the relay empties; session.Outbox fits it.
type Outbox interface {
	// Take waits, then lends up to limit hand-overs. What is not confirmed in time is lent again.
	Take(ctx context.Context, lease time.Duration, limit int) ([]*flowv1.Session, error)
	// Confirm removes what the queue has confirmed, by id and both numbers; twice is once.
	Confirm(ctx context.Context, taken ...*flowv1.Session) error
}

// Relay empties the outbox into the queue.
type Relay struct {
	outbox Outbox
	queue  Queue
	log    *slog.Logger
}

// NewRelay returns a relay; Run starts it.
func NewRelay(outbox Outbox, queue Queue, log *slog.Logger) *Relay {
	return &Relay{outbox: outbox, queue: queue, log: log.With(telemetry.KeyComponent, "relay")}
}

// Run works until ctx ends. A queue that cannot be reached is tried again; meanwhile the outbox keeps everything.
func (r *Relay) Run(ctx context.Context) error {
	for {
		taken, err := r.outbox.Take(ctx, relayLease, relayLimit)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("take from the outbox: %w", err)
		}
		messages := make([]Message, len(taken))
		for i, s := range taken {
			messages[i] = Message{Session: s}
		}
		err = retry.Do(ctx, retry.Policy{OnRetry: func(err error, wait time.Duration) {
			r.log.Warn("queue does not take hand-overs", telemetry.KeyError, err, telemetry.KeyDuration, wait)
		}}, func(ctx context.Context) error { return r.queue.Publish(ctx, messages...) })
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("publish hand-overs: %w", err)
		}
		if err := r.outbox.Confirm(ctx, taken...); err != nil && ctx.Err() == nil {
			return fmt.Errorf("confirm hand-overs: %w", err)
		}
	}
}
