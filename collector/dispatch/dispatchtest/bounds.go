package dispatchtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"sonde.example/collector/dispatch"
)

func large(n int) dispatch.Message {
	m := message(n)
	m.Session.Head.Data = make([]byte, 10<<10)
	return m
}

// fill publishes until the queue is full and tells how many it took; the publish that then waits is under way.
func fill(ctx context.Context, t *testing.T, q dispatch.Queue) (taken int, waiting <-chan error) {
	t.Helper()
	published := make(chan error)
	go func() {
		for n := 0; ; n++ {
			err := q.Publish(ctx, large(n))
			published <- err
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case err := <-published:
			if err != nil {
				t.Fatalf("Publish: %v", err)
			}
			if taken++; taken > 64 {
				t.Fatal("more than 64 messages of 10 KiB did not fill the queue")
			}
		case <-time.After(time.Second): // the queue is full; nothing but time can show that a call waits
			return taken, published
		}
	}
}

func full(t *testing.T, q dispatch.Queue) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	taken, waiting := fill(ctx, t, q)
	if taken < 2 {
		t.Errorf("the queue took %d messages, want 2 at least", taken)
	}
	if got := collect(t, q, 1, 1); got[0].Number != 0 {
		t.Errorf("first message is %d, want 0", got[0].Number)
	}
	if err := <-waiting; err != nil { // there is room now
		t.Errorf("Publish: %v", err)
	}
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("Publish = %v, want the context's error", err)
	}
	if got := collect(t, q, 64, taken); got[taken-1].Number != uint64(taken) {
		t.Errorf("last message is %d, want %d", got[taken-1].Number, taken)
	}
	empty(t, q)
}

func closedFull(t *testing.T, q dispatch.Queue) {
	_, waiting := fill(t.Context(), t, q)
	if err := q.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-waiting; !errors.Is(err, dispatch.ErrClosed) {
		t.Errorf("Publish = %v, want ErrClosed", err)
	}
}
