package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/collector/dispatch"
	"sonde.example/internal/retry"
)

func TestWorkerStoresThenSettlesThenTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.publish(session("one"), counts("two"))
		w.run(time.Second)
		want := []string{"classify one", "put one,two", "settle one,two", "tail "}
		if diff := cmp.Diff(want, w.events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		one, two := w.stored["one"], w.stored["two"]
		if one.Result.GetState() != queryv1.ResultState_RESULT_STATE_CLASSIFIED || one.Result.GetClassification().GetLabel() != "label of one" ||
			one.Result.GetClassification().GetPackets() != 1 || one.Result.GetEvidence().GetPacketsHeld() != 1 || one.Result.GetEvidence().GetGaps() != 3 {
			t.Errorf("result of a head is %v", one.Result)
		}
		if len(one.Head.GetCaptured()) != 1 {
			t.Error("the head was not stored")
		}
		if two.Result.GetState() != queryv1.ResultState_RESULT_STATE_COUNTED || two.Head != nil || !two.Result.GetEnded() {
			t.Errorf("result of counts is %v", two.Result)
		}
		if len(w.tail) != 2 || w.tail[0].GetCommunityId() != "merged" || w.tail[1].GetCommunityId() != "merged" {
			t.Errorf("the tail was told %v, want what stands in the store", w.tail)
		}
		w.metric("sonde_collector_stored_results_total", "state=classified", 1)
		w.metric("sonde_collector_stored_results_total", "state=counted", 1)
		w.metric("sonde_collector_stored_results_total", "state=failed", 0)
		w.metric("sonde_collector_hand_over_to_stored_seconds", "", 2)
		w.metric("sonde_collector_worker_pauses_total", "", 0)
		w.metric("sonde_collector_queue_messages", "", 0)
	})
}

func TestWorkerChangesNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		lent := session("one")
		w.publish(lent)
		w.run(time.Second)
		if diff := cmp.Diff(session("one").GetEvidence().GetPacketsHeld(), lent.GetEvidence().GetPacketsHeld()); diff != "" {
			t.Errorf("packets held of the session itself (-want +got):\n%s", diff)
		}
		if w.stored["one"].Result.GetEvidence() == lent.GetEvidence() {
			t.Error("the result shares the evidence of a session that may be lent again")
		}
	})
}

func TestWorkerDropsPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *dispatch.WorkerOptions) { o.DropPackets = func() bool { return true } })
		w.publish(session("one"))
		w.run(time.Second)
		if e := w.stored["one"]; e == nil || e.Head != nil || e.Result.GetClassification() == nil {
			t.Errorf("stored %v, want a classification without a head", e)
		}
	})
}

// While inference is away the worker waits with what it holds, rejects nothing, and goes on when it is back.
func TestWorkerWaitsForInference(t *testing.T) {
	for name, away := range map[string]error{
		"without a delay": errors.New("connection refused"),
		"with a delay":    retry.After(errors.New("too busy"), 7*time.Second),
		"late":            context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				back := time.Now().Add(time.Minute)
				w.classify = func(context.Context, []string) error {
					if time.Now().Before(back) {
						return away
					}
					return nil
				}
				all := ids(1200)
				w.publish(sessions(all)...)
				go func() {
					time.Sleep(30 * time.Second)
					// Four micro-batches are held, the rest waits in the queue.
					w.metric("sonde_collector_queue_messages", "", 1200-4*256)
				}()
				w.run(2 * time.Minute)
				if len(w.stored) != 1200 {
					t.Errorf("%d results, want 1200", len(w.stored))
				}
				w.metric("sonde_collector_rejected_hand_overs_total", "", 0)
				w.metric("sonde_collector_stored_results_total", "state=classified", 1200)
				if len(w.calls) < 10 || len(w.calls) > 800 { // half of them ask whether it answers at all
					t.Errorf("inference was asked %d times in a minute", len(w.calls))
				}
			})
		})
	}
}

// One session that inference refuses takes no other along, and after five more deliveries has a failed result.
func TestOnePoisonSessionFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const poison = "session-17"
		w := newWorld(t, nil)
		w.classify = func(_ context.Context, ids []string) error {
			if slices.Contains(ids, poison) {
				return retry.Permanent(errors.New("bad tensor \xff"))
			}
			return nil
		}
		all := ids(64)
		w.publish(sessions(all)...)
		w.run(time.Second)
		for _, id := range all {
			e := w.stored[id]
			switch {
			case e == nil:
				t.Errorf("%s has no result", id)
			case id == poison:
				if e.Result.GetState() != queryv1.ResultState_RESULT_STATE_FAILED || e.Result.GetFailure() != "bad tensor " || e.Head == nil {
					t.Errorf("result of the poison is %v", e.Result)
				}
			case e.Result.GetClassification().GetLabel() != "label of "+id:
				t.Errorf("result of %s is %v", id, e.Result)
			}
		}
		asked := 0
		for _, call := range w.calls {
			if len(call) == 1 && call[0] == poison {
				asked++
			}
		}
		if asked != 6 {
			t.Errorf("the poison was tried alone %d times, want 6", asked)
		}
		w.metric("sonde_collector_rejected_hand_overs_total", "", 5)
		w.metric("sonde_collector_stored_results_total", "state=failed", 1)
		w.metric("sonde_collector_stored_results_total", "state=classified", 63)
	})
}

// One session over which inference never comes to an end holds up the others for seconds, and then fails alone.
func TestOneSessionWithoutAnEndFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const poison = "session-17"
		w := newWorld(t, nil)
		begun := time.Now()
		var last time.Duration // of an answer to the others
		w.classify = func(ctx context.Context, ids []string) error {
			if slices.Contains(ids, poison) {
				if err := retry.Sleep(ctx, 2*time.Second); err != nil {
					return err
				}
				return fmt.Errorf("call: %w", context.DeadlineExceeded)
			}
			if ids[0] != "" { // which only asks whether anything is answered
				last = max(last, time.Since(begun))
			}
			return nil
		}
		all := ids(64)
		w.publish(sessions(all)...)
		w.run(time.Minute)
		for _, id := range all {
			e := w.stored[id]
			switch {
			case e == nil:
				t.Errorf("%s has no result", id)
			case id == poison:
				if e.Result.GetState() != queryv1.ResultState_RESULT_STATE_FAILED || !strings.Contains(e.Result.GetFailure(), "deadline") || e.Head == nil {
					t.Errorf("result of the poison is %v", e.Result)
				}
			case e.Result.GetClassification().GetLabel() != "label of "+id:
				t.Errorf("result of %s is %v", id, e.Result)
			}
		}
		w.metric("sonde_collector_rejected_hand_overs_total", "", 5)
		w.metric("sonde_collector_stored_results_total", "state=failed", 1)
		if last > 10*time.Second { // 64 sessions are divided twice, 8 are 1 each then
			t.Errorf("the others waited for %v", last)
		}
	})
}

// While inference answers nothing at all in time, no session is blamed.
func TestNobodyIsBlamedWhileInferenceHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		back := time.Now().Add(time.Hour)
		w.classify = func(ctx context.Context, _ []string) error {
			if time.Now().After(back) {
				return nil
			}
			if err := retry.Sleep(ctx, 2*time.Second); err != nil {
				return err
			}
			return context.DeadlineExceeded
		}
		w.publish(sessions(ids(100))...)
		if err := w.queue.Publish(t.Context(), dispatch.Message{Session: session("suspect"), DeliveryCount: 5}); err != nil {
			t.Fatal(err)
		}
		w.run(2 * time.Hour)
		w.metric("sonde_collector_rejected_hand_overs_total", "", 0)
		w.metric("sonde_collector_stored_results_total", "state=classified", 101)
	})
}

// A message that was rejected twice is asked for by itself, whatever comes with it.
func TestSuspectsAreTriedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		suspect := dispatch.Message{Session: session("suspect"), DeliveryCount: 2}
		if err := w.queue.Publish(t.Context(), suspect); err != nil {
			t.Fatal(err)
		}
		w.publish(session("one"), session("two"))
		w.run(time.Second)
		if diff := cmp.Diff([][]string{{"one", "two"}, {"suspect"}}, w.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

func TestUnreadableHeadHasAFailedResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		broken := session("broken")
		broken.Head.Missing = nil
		w.publish(broken, session("one"))
		w.run(time.Second)
		if r := w.stored["broken"].Result; r.GetState() != queryv1.ResultState_RESULT_STATE_FAILED || !strings.Contains(r.GetFailure(), "missing") {
			t.Errorf("result is %v", r)
		}
		if w.stored["one"] == nil {
			t.Error("the other session has no result")
		}
		w.metric("sonde_collector_rejected_hand_overs_total", "", 5)
	})
}

func TestWorkerWaitsForTheStores(t *testing.T) {
	for _, name := range []string{"result store", "session store"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				back := time.Now().Add(time.Minute)
				away := func(context.Context, []string) error {
					if time.Now().Before(back) {
						return errors.New("database is locked")
					}
					return nil
				}
				if name == "result store" {
					w.put = away
				} else {
					w.settle = away
				}
				w.publish(sessions(ids(100))...)
				w.run(2 * time.Minute)
				if len(w.stored) != 100 || len(w.tail) != 100 {
					t.Errorf("%d results, %d told; want 100", len(w.stored), len(w.tail))
				}
				w.metric("sonde_collector_rejected_hand_overs_total", "", 0)
			})
		})
	}
}

// An entry that the store refuses as it is takes no other along either; its failed result stands instead.
func TestOneUnstorableEntryFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const poison = "session-40"
		w := newWorld(t, nil)
		refusals := 0
		w.put = func(_ context.Context, ids []string) error {
			if !slices.Contains(ids, poison) {
				return nil
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(ids) == 1 {
				refusals++
			}
			if refusals == 7 { // the failed result
				return nil
			}
			return retry.Permanent(errors.New("not UTF-8"))
		}
		w.publish(sessions(ids(64))...)
		w.run(time.Second)
		if len(w.stored) != 64 {
			t.Errorf("%d results, want 64", len(w.stored))
		}
		if r := w.stored[poison].Result; r.GetState() != queryv1.ResultState_RESULT_STATE_FAILED || r.GetFailure() != "not UTF-8" {
			t.Errorf("result is %v", r)
		}
	})
}

// When ctx ends, whatever the worker is at, what it holds goes back to the queue as it came.
func TestWorkerGivesBackWhenItEnds(t *testing.T) {
	hang := func(ctx context.Context, _ []string) error {
		<-ctx.Done()
		return fmt.Errorf("call: %w", ctx.Err())
	}
	fail := func(context.Context, []string) error { return errors.New("away") }
	for name, prepare := range map[string]func(*world){
		"in a call to inference":           func(w *world) { w.classify = hang },
		"waiting to call inference again":  func(w *world) { w.classify = fail },
		"in a call to the result store":    func(w *world) { w.put = hang },
		"waiting for the result store":     func(w *world) { w.put = fail },
		"in a call to the session store":   func(w *world) { w.settle = hang },
		"waiting for the session store":    func(w *world) { w.settle = fail },
		"in the middle of halving a batch": func(w *world) { w.classify = halving(hang) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				prepare(w)
				w.publish(sessions(ids(20))...)
				w.run(time.Minute)
				left := w.left()
				if len(left) != 20 {
					t.Errorf("%d messages are back, want 20", len(left))
				}
				for id, count := range left {
					if count != 0 {
						t.Errorf("%s counts %d deliveries, want 0", id, count)
					}
				}
				if len(w.tail) > 0 {
					t.Errorf("the tail was told of %d results that are not settled", len(w.tail))
				}
			})
		})
	}
}

// halving refuses micro-batches of more than five, and does next with those.
func halving(next func(context.Context, []string) error) func(context.Context, []string) error {
	return func(ctx context.Context, ids []string) error {
		if len(ids) > 5 {
			return retry.Permanent(errors.New("one of them"))
		}
		return next(ctx, ids)
	}
}

// What has no head is stored even while inference is asked in vain until the end.
func TestCountsDoNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.classify = func(context.Context, []string) error { return errors.New("away") }
		w.publish(session("one"), counts("two"))
		w.run(time.Minute)
		if w.stored["two"] == nil || w.stored["one"] != nil {
			t.Errorf("stored %v, want two", w.stored)
		}
		if diff := cmp.Diff(map[string]int{"one": 0}, w.left()); diff != "" {
			t.Errorf("left (-want +got):\n%s", diff)
		}
	})
}

func TestWorkerEndsWhenTheQueueIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		if err := w.queue.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.worker.Run(t.Context()); !errors.Is(err, dispatch.ErrClosed) {
			t.Errorf("Run = %v, want ErrClosed", err)
		}
	})
}
