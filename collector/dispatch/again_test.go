package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/collector/dispatch"
	"sonde.example/internal/record"
	"sonde.example/internal/retry"
	"sonde.example/internal/testenv"
)

// failures is a store of failed results, newest first, of which some have a head.
type failures struct {
	mu    sync.Mutex
	ids   []string
	heads map[string]bool
	lists int
	err   error
}

func newFailures(n int) *failures {
	f := &failures{heads: map[string]bool{}}
	for i := range n {
		id := fmt.Sprintf("session-%05d", n-i)
		f.ids = append(f.ids, id)
		f.heads[id] = true
	}
	return f
}

func (f *failures) List(_ context.Context, filter record.Filter, size int, token string) ([]*queryv1.Result, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	if f.err != nil {
		return nil, "", f.err
	}
	at, _ := slices.BinarySearchFunc(f.ids, token, func(id, token string) int {
		if token == "" || id < token {
			return 1
		}
		return -1
	})
	var page []*queryv1.Result
	for _, id := range f.ids[at:] {
		r := record.New(session(id), nil, nil, "no answer").Result
		if !filter.Match(r) {
			return nil, "", errors.New("asked for others")
		}
		if len(page) == size {
			return page, page[size-1].GetSessionId(), nil
		}
		page = append(page, r)
	}
	return page, "", nil
}

func (f *failures) Packets(_ context.Context, id string) (*flowv1.Packets, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.heads[id] {
		return nil, record.ErrNotFound
	}
	return session(id).GetHead(), nil
}

// again runs an Again in a bubble, with a worker behind it.
func again(t *testing.T, f *failures, test func(w *world, a *dispatch.Again)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		a := dispatch.NewAgain(w.queue, f, testenv.Log(t), nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- a.Run(ctx) }()
		go func() { ended <- w.worker.Run(ctx) }()
		test(w, a)
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Error(err)
		}
	})
}

func (f *failures) looks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lists
}

func (f *failures) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// count waits until nothing goes on, and counts the results.
func (w *world) count() int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.stored)
}

func TestFailedResultsAreTriedAgain(t *testing.T) {
	f := newFailures(250)
	delete(f.heads, "session-00007") // kept no more
	again(t, f, func(w *world, a *dispatch.Again) {
		begun := time.Now()
		time.Sleep(time.Minute)
		if f.looks() != 0 {
			t.Error("it looked without a reason")
		}
		w.classify = func(_ context.Context, ids []string) error {
			if len(ids) != 1 {
				t.Errorf("%d were tried together", len(ids))
			}
			if ids[0] == "session-00042" {
				return retry.Permanent(errors.New("no answer"))
			}
			return nil
		}
		a.Look()
		time.Sleep(500 * time.Millisecond)
		if n := w.count(); n != 100 {
			t.Errorf("%d were tried at once, want 100", n)
		}
		time.Sleep(10 * time.Second)
		if n := w.count(); n != 249 {
			t.Errorf("%d results, want 249", n)
		}
		w.mu.Lock()
		for id, e := range w.stored {
			want := queryv1.ResultState_RESULT_STATE_CLASSIFIED
			if id == "session-00042" {
				want = queryv1.ResultState_RESULT_STATE_FAILED
			}
			if e.Result.GetState() != want || e.Result.GetEvidence().GetGaps() != 3 || e.Head == nil {
				t.Errorf("%s: %v", id, e.Result)
			}
		}
		if calls := len(w.calls); calls != 249 { // the one that fails is not sent back either
			t.Errorf("inference was asked %d times, want 249", calls)
		}
		w.mu.Unlock()
		looks := f.looks()
		time.Sleep(time.Until(begun.Add(time.Hour + time.Minute)))
		synctest.Wait()
		if f.looks() == looks {
			t.Error("it did not look after an hour")
		}
	})
}

func TestOneLookHasABound(t *testing.T) {
	again(t, newFailures(11_000), func(w *world, a *dispatch.Again) {
		a.Look()
		time.Sleep(10 * time.Minute)
		n := w.count()
		w.mu.Lock()
		defer w.mu.Unlock()
		if n != 10_000 || w.stored["session-11000"] == nil {
			t.Errorf("%d were tried, want the newest 10000", n)
		}
	})
}

func TestAStoreThatIsAwayIsLookedAtAgain(t *testing.T) {
	f := newFailures(3)
	f.fail(errors.New("database is locked"))
	again(t, f, func(w *world, a *dispatch.Again) {
		a.Look()
		if w.count() != 0 {
			t.Error("something was tried")
		}
		f.fail(nil)
		a.Look()
		time.Sleep(time.Second)
		if n := w.count(); n != 3 {
			t.Errorf("%d were tried, want 3", n)
		}
	})
}
