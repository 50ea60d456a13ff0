package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/retry"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
)

// drainInterval is how often Drain looks: often enough beside the time that a micro-batch takes.
const drainInterval = 10 * time.Millisecond

const (
	// relayLease is how long the outbox waits for a confirmation before it lends a hand-over again: well above what a
	// broker takes to confirm.
	relayLease = 30 * time.Second
	// relayLimit is how many hand-overs go out at once: a micro-batch of the worker.
	relayLimit = microBatch
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
	return &Relay{outbox: outbox, queue: queue, log: telemetry.Limited(log, logInterval).With(telemetry.KeyComponent, "relay")}
}

// Run works until ctx ends or the queue is closed. An outbox or a queue that cannot be reached is tried again; meanwhile
// the outbox keeps everything.
func (r *Relay) Run(ctx context.Context) error {
	for {
		err := r.relay(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// relay carries hand-overs once. What was published but not confirmed comes again, which the stores behind forgive.
func (r *Relay) relay(ctx context.Context) error {
	var taken []*flowv1.Session
	err := r.persist(ctx, "outbox does not answer", func(ctx context.Context) (err error) {
		taken, err = r.outbox.Take(ctx, relayLease, relayLimit)
		return err
	})
	if err != nil {
		return fmt.Errorf("take hand-overs: %w", err)
	}
	messages := make([]Message, len(taken))
	for i, s := range taken {
		messages[i] = Message{Session: s}
	}
	err = r.persist(ctx, "queue does not take hand-overs", func(ctx context.Context) error {
		err := r.queue.Publish(ctx, messages...)
		if errors.Is(err, ErrClosed) {
			return retry.Permanent(err)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("publish hand-overs: %w", err)
	}
	err = r.persist(ctx, "outbox does not answer", func(ctx context.Context) error { return r.outbox.Confirm(ctx, taken...) })
	if err != nil {
		return fmt.Errorf("confirm hand-overs: %w", err)
	}
	return nil
}

func (r *Relay) persist(ctx context.Context, message string, call func(context.Context) error) error {
	return retry.Do(ctx, retry.Policy{OnRetry: func(err error, wait time.Duration) {
		r.log.Warn(message, telemetry.KeyError, err, telemetry.KeyDuration, wait)
	}}, call)
}

// Drain is the stage before the relay of a collector whose outbox and queue die with the process: told to end, it waits
// until idle says that nothing is on its way to the result store any more, or the timeout has passed, so that sessions
// which agents ended and then forgot are stored. Where nothing is forgotten it is not needed.
func Drain(idle func() bool, timeout time.Duration, log *slog.Logger) service.Service {
	return service.Func(func(ctx context.Context) error {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		for !idle() {
			if retry.Sleep(ctx, drainInterval) != nil {
				log.Warn("drain took too long, sessions handed over wait for the agents to send them again", telemetry.KeyDuration, timeout)
				return nil
			}
		}
		return nil
	})
}
