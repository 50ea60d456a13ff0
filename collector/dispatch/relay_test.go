package dispatch_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"

	"sonde.example/collector/dispatch"
	"sonde.example/internal/retry"
	"sonde.example/internal/service"
	"sonde.example/internal/testenv"
)

// outbox lends what comes through a channel, and notes what was confirmed.
type outbox struct {
	hand      chan []*flowv1.Session
	confirmed []string
	failures  int // of Take and of Confirm, before they succeed
}

func (o *outbox) Take(ctx context.Context, lease time.Duration, limit int) ([]*flowv1.Session, error) {
	if o.failures > 0 {
		o.failures--
		return nil, errors.New("connection refused")
	}
	if lease < time.Second || limit < 1 {
		return nil, errors.New("no time or no room")
	}
	select {
	case taken := <-o.hand:
		return taken, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (o *outbox) Confirm(_ context.Context, taken ...*flowv1.Session) error {
	if o.failures > 0 {
		o.failures--
		return errors.New("connection refused")
	}
	for _, s := range taken {
		o.confirmed = append(o.confirmed, s.GetId())
	}
	return nil
}

func TestRelayConfirmsWhatTheQueueHasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{hand: make(chan []*flowv1.Session, 1), failures: 3}
		queue := dispatch.NewMemory(1) // room for one message
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ran := make(chan error)
		go func() { ran <- dispatch.NewRelay(box, queue, testenv.Log(t)).Run(ctx) }()
		box.hand <- []*flowv1.Session{{Id: "one"}, {Id: "two"}}
		time.Sleep(time.Minute)
		if len(box.confirmed) > 0 {
			t.Errorf("%v were confirmed before the queue had them all", box.confirmed)
		}
		got := 0
		inner, done := context.WithCancel(t.Context())
		defer done()
		err := queue.Consume(inner, 1, func(_ context.Context, messages []dispatch.Message) []error {
			if got += len(messages); got == 2 {
				done()
			}
			return make([]error, len(messages))
		})
		if err != nil {
			t.Errorf("Consume: %v", err)
		}
		synctest.Wait()
		if !slices.Equal(box.confirmed, []string{"one", "two"}) {
			t.Errorf("confirmed %v, want one, two", box.confirmed)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestRelayEndsWhileTheQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{hand: make(chan []*flowv1.Session, 1)}
		box.hand <- []*flowv1.Session{{Id: "one"}, {Id: "two"}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := dispatch.NewRelay(box, dispatch.NewMemory(1), testenv.Log(t)).Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if len(box.confirmed) > 0 {
			t.Errorf("%v were confirmed though the queue had no room", box.confirmed)
		}
	})
}

func TestRelayEndsWhenTheQueueIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{hand: make(chan []*flowv1.Session, 1)}
		box.hand <- []*flowv1.Session{{Id: "one"}}
		queue := dispatch.NewMemory(1)
		if err := queue.Close(); err != nil {
			t.Fatal(err)
		}
		if err := dispatch.NewRelay(box, queue, testenv.Log(t)).Run(t.Context()); !errors.Is(err, dispatch.ErrClosed) {
			t.Errorf("Run = %v, want ErrClosed", err)
		}
	})
}

// Told to end, a pipeline with Drain in it stores what was handed over; without it, or when it takes too long, it does not.
func TestDrainWaitsUntilNothingIsOnItsWay(t *testing.T) {
	for name, c := range map[string]struct {
		timeout time.Duration
		stored  int
		took    time.Duration
	}{
		"in time":  {time.Minute, 200, 20 * time.Second}, // the model is asked twice
		"too long": {2 * time.Second, 0, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.classify = func(ctx context.Context, _ []string) error { return retry.Sleep(ctx, 9*time.Second) }
				w.publish(sessions(ids(200))...)
				ctx, cancel := context.WithCancel(t.Context())
				begin := time.Now()
				time.AfterFunc(10*time.Millisecond, cancel)
				if err := service.InOrder(dispatch.Drain(w.queue.Idle, c.timeout, testenv.Log(t)), w.worker).Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
				if len(w.stored) != c.stored {
					t.Errorf("%d results, want %d", len(w.stored), c.stored)
				}
				if took := time.Since(begin); took > c.took {
					t.Errorf("the end took %v, want %v at most", took, c.took)
				}
			})
		})
	}
}
