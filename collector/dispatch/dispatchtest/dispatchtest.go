// Package dispatchtest is the definition of a queue: what every one must do, as a suite that each runs.
package dispatchtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"

	"sonde.example/collector/dispatch"
)

// patience is how long a test waits for what must come before it fails.
const patience = 20 * time.Second

// Options say what a queue cannot be asked to show.
type Options struct {
	// Open returns an empty queue, which the suite closes.
	Open func(t *testing.T) dispatch.Queue
	// OpenSmall returns one that a few messages of 10 KiB fill, 2 at least and 64 at most; nil for a queue whose bound is not
	// its own.
	OpenSmall func(t *testing.T) dispatch.Queue
}

// Run checks a queue.
func Run(t *testing.T, o Options) {
	for name, test := range map[string]func(*testing.T, dispatch.Queue){
		"keeps order and content":                  order,
		"calls with up to limit messages":          limited,
		"rejected messages come again":             rejected,
		"messages given back come again uncounted": givenBack,
		"mixed answers":                            mixed,
		"an ended context takes nothing more":      endedTakesNothing,
		"consume takes no more while handle waits": oneAtATime,
		"consume returns after the last answer":    lastAnswer,
		"several consumers share":                  shared,
		"publishers at the same time":              publishers,
		"close ends calls":                         closed,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t, o.Open)) })
	}
	if o.OpenSmall == nil {
		return
	}
	t.Run("publish waits while full", func(t *testing.T) { full(t, open(t, o.OpenSmall)) })
	t.Run("close ends a publish that waits", func(t *testing.T) { closedFull(t, open(t, o.OpenSmall)) })
}

func open(t *testing.T, open func(*testing.T) dispatch.Queue) dispatch.Queue {
	t.Helper()
	q := open(t)
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return q
}

func message(n int) dispatch.Message {
	return dispatch.Message{Session: &flowv1.Session{
		Id: fmt.Sprintf("session %06d", n), Agent: "a", Number: uint64(n), Head: &flowv1.Packets{Data: []byte{byte(n)}},
	}}
}

func messages(from, to int) []dispatch.Message {
	var all []dispatch.Message
	for n := from; n < to; n++ {
		all = append(all, message(n))
	}
	return all
}

func publish(t *testing.T, q dispatch.Queue, messages ...dispatch.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := q.Publish(ctx, messages...); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

// delivery is what a handler saw of one message.
type delivery struct {
	Number uint64
	Count  int
}

func deliveries(from, to, count int) []delivery {
	var all []delivery
	for n := from; n < to; n++ {
		all = append(all, delivery{uint64(n), count})
	}
	return all
}

func seen(messages []dispatch.Message) []delivery {
	all := make([]delivery, len(messages))
	for i, m := range messages {
		all[i] = delivery{m.Session.GetNumber(), m.DeliveryCount}
	}
	return all
}

// byNumber sorts where no order is promised.
func byNumber(all []delivery) []delivery {
	slices.SortFunc(all, func(a, b delivery) int {
		if a.Count != b.Count {
			return a.Count - b.Count
		}
		return int(a.Number) - int(b.Number)
	})
	return all
}

// consume runs Consume until handle says that it is done, or patience ends.
func consume(t *testing.T, q dispatch.Queue, limit int, handle func(messages []dispatch.Message) (errs []error, done bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := false
	err := q.Consume(ctx, limit, func(_ context.Context, messages []dispatch.Message) []error {
		errs, done := handle(messages)
		if ended = ended || done; ended {
			cancel()
		}
		return errs
	})
	if err != nil {
		t.Errorf("Consume: %v", err)
	}
	if !ended {
		t.Fatalf("Consume ended after %v without what was awaited", patience)
	}
}

func acknowledge(messages []dispatch.Message) []error { return make([]error, len(messages)) }

// same answers all messages alike.
func same(messages []dispatch.Message, err error) []error {
	return slices.Repeat([]error{err}, len(messages))
}

// collect acknowledges so many messages.
func collect(t *testing.T, q dispatch.Queue, limit, count int) []delivery {
	t.Helper()
	var got []delivery
	consume(t, q, limit, func(messages []dispatch.Message) ([]error, bool) {
		got = append(got, seen(messages)...)
		return acknowledge(messages), len(got) >= count
	})
	return got
}

// empty checks that nothing is left: what is published now comes first.
func empty(t *testing.T, q dispatch.Queue) {
	t.Helper()
	publish(t, q, message(999_999))
	if got := collect(t, q, 1, 1); got[0].Number != 999_999 {
		t.Errorf("%+v was still in the queue", got[0])
	}
}

func order(t *testing.T, q dispatch.Queue) {
	publish(t, q) // nothing is fine
	publish(t, q, messages(0, 100)...)
	publish(t, q, message(100))
	publish(t, q, messages(101, 150)...)
	var got []dispatch.Message
	consume(t, q, 7, func(messages []dispatch.Message) ([]error, bool) {
		got = append(got, messages...)
		return acknowledge(messages), len(got) >= 150
	})
	if diff := cmp.Diff(deliveries(0, 150, 0), seen(got)); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	for n, m := range got {
		if want := message(n).Session; m.Session.GetId() != want.GetId() || string(m.Session.GetHead().GetData()) != string(want.GetHead().GetData()) {
			t.Fatalf("message %d is %v, want %v", n, m.Session, want)
		}
	}
	empty(t, q)
}

func limited(t *testing.T, q dispatch.Queue) {
	publish(t, q, messages(0, 20)...)
	count := 0
	consume(t, q, 8, func(messages []dispatch.Message) ([]error, bool) {
		if len(messages) == 0 || len(messages) > 8 {
			t.Errorf("%d messages at once, want 1 to 8", len(messages))
		}
		count += len(messages)
		return acknowledge(messages), count >= 20
	})
}

func rejected(t *testing.T, q dispatch.Queue) {
	publish(t, q, messages(0, 3)...)
	var got []delivery
	consume(t, q, 3, func(messages []dispatch.Message) ([]error, bool) {
		got = append(got, seen(messages)...)
		errs := acknowledge(messages)
		for i, m := range messages {
			if m.DeliveryCount < 3 {
				errs[i] = errors.New("not now")
			}
		}
		return errs, len(got) >= 12
	})
	want := slices.Concat(deliveries(0, 3, 0), deliveries(0, 3, 1), deliveries(0, 3, 2), deliveries(0, 3, 3))
	if diff := cmp.Diff(want, byNumber(got)); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	empty(t, q)
}

func givenBack(t *testing.T, q dispatch.Queue) {
	publish(t, q, messages(0, 10)...)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		err := q.Consume(ctx, 4, func(ctx context.Context, messages []dispatch.Message) []error {
			cancel()
			return same(messages, fmt.Errorf("work: %w", ctx.Err()))
		})
		cancel()
		if err != nil {
			t.Errorf("Consume: %v", err)
		}
	}
	got := collect(t, q, 4, 10)
	if diff := cmp.Diff(deliveries(0, 10, 0), byNumber(got)); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	empty(t, q)
}

func mixed(t *testing.T, q dispatch.Queue) {
	publish(t, q, messages(0, 12)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var held []delivery
	answers := map[uint64]string{}
	err := q.Consume(ctx, 5, func(ctx context.Context, messages []dispatch.Message) []error {
		held = append(held, seen(messages)...)
		if len(held) < 5 { // a queue may bring the first ones in smaller portions
			for _, m := range messages {
				answers[m.Session.GetNumber()] = "acknowledged"
			}
			return acknowledge(messages)
		}
		cancel()
		errs := acknowledge(messages)
		for i, m := range messages {
			switch n := m.Session.GetNumber(); i % 5 {
			case 0, 1, 2:
				answers[n], errs[i] = "given back", ctx.Err()
			case 3:
				answers[n], errs[i] = "rejected", errors.New("not now")
			default:
				answers[n] = "acknowledged"
			}
		}
		return errs
	})
	if err != nil {
		t.Fatalf("Consume: %v", err)
	}
	var want []delivery
	for n := range uint64(12) {
		switch answers[n] {
		case "acknowledged":
		case "rejected":
			want = append(want, delivery{n, 1})
		default:
			want = append(want, delivery{n, 0})
		}
	}
	got := collect(t, q, 5, len(want))
	if diff := cmp.Diff(byNumber(want), byNumber(got)); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	empty(t, q)
}

func endedTakesNothing(t *testing.T, q dispatch.Queue) {
	publish(t, q, messages(0, 10)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := q.Consume(ctx, 5, func(_ context.Context, messages []dispatch.Message) []error {
		t.Errorf("%d messages handed out after the context's end", len(messages))
		return acknowledge(messages)
	})
	if err != nil {
		t.Errorf("Consume = %v, want nil", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	calls := 0
	err = q.Consume(ctx, 5, func(ctx context.Context, messages []dispatch.Message) []error {
		calls++
		cancel()
		return same(messages, ctx.Err())
	})
	if err != nil || calls != 1 {
		t.Errorf("Consume = %v after %d calls, want nil after 1", err, calls)
	}
	if got := collect(t, q, 5, 10); len(got) != 10 {
		t.Errorf("%d messages are left, want 10", len(got))
	}
}

func oneAtATime(t *testing.T, q dispatch.Queue) {
	publish(t, q, messages(0, 50)...)
	var mu sync.Mutex
	inside, count := 0, 0
	consume(t, q, 5, func(messages []dispatch.Message) ([]error, bool) {
		mu.Lock()
		inside++
		if inside > 1 {
			t.Errorf("handle was called %d times at once by one Consume", inside)
		}
		mu.Unlock()
		publish(t, q, message(100+count)) // while handle waits
		count += len(messages)
		mu.Lock()
		inside--
		mu.Unlock()
		return acknowledge(messages), count >= 50
	})
}

func lastAnswer(t *testing.T, q dispatch.Queue) {
	publish(t, q, message(1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	inside, finish, returned := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		returned <- q.Consume(ctx, 1, func(_ context.Context, messages []dispatch.Message) []error {
			close(inside)
			<-finish
			return acknowledge(messages) // although ctx has ended: it was done
		})
	}()
	<-inside
	cancel()
	select {
	case err := <-returned:
		t.Fatalf("Consume returned %v before handle did", err)
	default:
	}
	close(finish)
	if err := <-returned; err != nil {
		t.Errorf("Consume: %v", err)
	}
	empty(t, q)
}

func shared(t *testing.T, q dispatch.Queue) {
	const count = 300
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var mu sync.Mutex
	var got []delivery
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			err := q.Consume(ctx, 8, func(_ context.Context, messages []dispatch.Message) []error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, seen(messages)...)
				if len(got) >= count {
					cancel()
				}
				return acknowledge(messages)
			})
			if err != nil {
				t.Errorf("Consume: %v", err)
			}
		})
	}
	publish(t, q, messages(0, count)...)
	wg.Wait()
	if diff := cmp.Diff(deliveries(0, count, 0), byNumber(got)); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
}

func publishers(t *testing.T, q dispatch.Queue) {
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for n := range 25 {
				publish(t, q, message(100*p+n))
			}
		})
	}
	got := collect(t, q, 16, 100)
	wg.Wait()
	last := map[uint64]uint64{}
	for _, d := range got {
		if before, ok := last[d.Number/100]; ok && d.Number <= before {
			t.Errorf("%d came after %d of the same publisher", d.Number, before)
		}
		last[d.Number/100] = d.Number
	}
}

func closed(t *testing.T, q dispatch.Queue) {
	publish(t, q, message(1))
	inside, returned := make(chan struct{}), make(chan error, 1)
	go func() {
		returned <- q.Consume(t.Context(), 1, func(_ context.Context, messages []dispatch.Message) []error {
			close(inside)
			return acknowledge(messages)
		})
	}()
	<-inside
	if err := q.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := <-returned; !errors.Is(err, dispatch.ErrClosed) {
		t.Errorf("Consume = %v, want ErrClosed", err)
	}
	if err := q.Publish(t.Context(), message(2)); !errors.Is(err, dispatch.ErrClosed) {
		t.Errorf("Publish = %v, want ErrClosed", err)
	}
	if err := q.Close(); err != nil {
		t.Errorf("Close once more: %v", err)
	}
}
