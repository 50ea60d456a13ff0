package dispatch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"

	"sonde.example/collector/dispatch"
	"sonde.example/collector/dispatch/dispatchtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryIsAQueue(t *testing.T) {
	dispatchtest.Run(t, dispatchtest.Options{
		Open:      func(*testing.T) dispatch.Queue { return dispatch.NewMemory(1 << 20) },
		OpenSmall: func(*testing.T) dispatch.Queue { return dispatch.NewMemory(100 << 10) },
	})
}

func TestMemoryTakesOneMessageWhateverItsSize(t *testing.T) {
	q := dispatch.NewMemory(1)
	if err := q.Publish(t.Context(), dispatch.Message{Session: &flowv1.Session{Head: &flowv1.Packets{Data: make([]byte, 5000)}}}); err != nil {
		t.Fatal(err)
	}
	messages, bytes := q.Len()
	if messages != 1 || bytes < 2*5000 {
		t.Errorf("Len = %d, %d; want 1 message and its size", messages, bytes)
	}
}

// A micro-batch goes out when it is full, at once, or 5 ms after its first message, and no sooner.
func TestMemoryGathersForFiveMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := dispatch.NewMemory(1 << 20)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		type call struct {
			messages int
			at       time.Duration
		}
		calls := make(chan call, 10)
		begin := time.Now()
		consumed := make(chan error)
		go func() {
			consumed <- q.Consume(ctx, 4, func(_ context.Context, messages []dispatch.Message) []error {
				calls <- call{len(messages), time.Since(begin)}
				return make([]error, len(messages))
			})
		}()
		publish := func(n int) {
			t.Helper()
			if err := q.Publish(ctx, blank(n)...); err != nil {
				t.Fatal(err)
			}
		}
		want := func(messages int, at time.Duration) {
			t.Helper()
			if got := <-calls; got != (call{messages, at}) {
				t.Errorf("handle was called with %d messages at %v, want %d at %v", got.messages, got.at, messages, at)
			}
		}
		time.Sleep(time.Second)
		publish(1)
		time.Sleep(3 * time.Millisecond)
		publish(1)
		want(2, 1005*time.Millisecond) // 5 ms after the first

		publish(3)
		time.Sleep(2 * time.Millisecond)
		publish(2)
		want(4, 1007*time.Millisecond) // full
		want(1, 1012*time.Millisecond) // the rest, 5 ms later
		cancel()
		if err := <-consumed; err != nil {
			t.Errorf("Consume: %v", err)
		}
	})
}

func blank(n int) []dispatch.Message {
	all := make([]dispatch.Message, n)
	for i := range all {
		all[i].Session = &flowv1.Session{}
	}
	return all
}
