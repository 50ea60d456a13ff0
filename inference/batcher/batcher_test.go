package batcher_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sonde.example/inference/batcher"
	"sonde.example/inference/model"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/serving"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a batcher over the good model, whose runs wait for the test.
type bench struct {
	*batcher.Batcher
	t     *testing.T
	repo  *model.Repository
	lease serving.Lease
	runs  chan int      // rows of each run as it begins
	gate  chan error    // what each run gives, once it may go on
	free  chan struct{} // closed: runs go through
}

// open makes a batcher. With held, each run stops until the test lets it go on.
func open(t *testing.T, o batcher.Options, held bool) *bench {
	t.Helper()
	h := &bench{t: t, runs: make(chan int, 1000), gate: make(chan error), free: make(chan struct{})}
	warm := false
	fake := &modeltest.Fake{Before: func(_ *serving.Info, rows int) error {
		if !warm {
			return nil
		}
		h.runs <- rows
		if !held {
			return nil
		}
		select {
		case err := <-h.gate:
			return err
		case <-h.free:
			return nil
		}
	}}
	if o.Workers == 0 {
		o.Workers = 1
	}
	h.repo = model.New(model.Options{
		Folders: []model.Folder{{FS: modeltest.Files(t), Origin: "test"}}, Opener: fake, Workers: o.Workers,
	}, slog.New(slog.DiscardHandler))
	if err := h.repo.Load(t.Context(), "good", serving.VersionPolicy{All: true}); err != nil {
		t.Fatal(err)
	}
	warm = true
	var err error
	if h.lease, err = h.repo.Acquire("good", "1"); err != nil {
		t.Fatal(err)
	}
	h.Batcher = batcher.New(o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		close(h.free)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		h.lease.Release()
		if err := h.repo.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// send asks for rows in the background; the channel gives the answer.
func (h *bench) send(ctx context.Context, rows int, seed uint64, o serving.CallOptions) (*serving.Outputs, chan error) {
	in, out := modeltest.Rows(h.lease.Info(), rows, seed), serving.NewOutputs(h.lease.Info(), rows)
	done := make(chan error, 1)
	go func() { done <- h.Predict(ctx, h.lease, in, out, o) }()
	return out, done
}

func (h *bench) want(rows int, seed uint64) *serving.Outputs {
	h.t.Helper()
	file := modeltest.File(h.t, "good/1")
	info, err := model.Inspect(file)
	if err != nil {
		h.t.Fatal(err)
	}
	info.Name, info.Version = "good", 1
	m, err := (&modeltest.Fake{}).Open(h.t.Context(), file, info)
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := m.NewRunner()
	if err != nil {
		h.t.Fatal(err)
	}
	out := serving.NewOutputs(info, rows)
	if err := errors.Join(r.Run(h.t.Context(), modeltest.Rows(info, rows, seed), out), r.Close(), m.Close()); err != nil {
		h.t.Fatal(err)
	}
	return out
}

func bubble(t *testing.T, o batcher.Options, test func(t *testing.T, h *bench)) {
	synctest.Test(t, func(t *testing.T) { test(t, open(t, o, true)) })
}

func TestWhatWaitsRunsTogether(t *testing.T) {
	bubble(t, batcher.Options{}, func(t *testing.T, h *bench) {
		_, first := h.send(t.Context(), 1, 0, serving.CallOptions{})
		synctest.Wait() // it runs, alone
		var outs []*serving.Outputs
		var dones []chan error
		for n := range 5 {
			out, done := h.send(t.Context(), n+1, uint64(n+1), serving.CallOptions{})
			outs, dones = append(outs, out), append(dones, done)
		}
		synctest.Wait()
		if requests, rows := h.Waiting(); requests != 5 || rows != 15 {
			t.Errorf("%d requests with %d rows wait", requests, rows)
		}
		h.gate <- nil
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		h.gate <- nil
		for n, done := range dones {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			modeltest.Near(t, h.lease.Info(), outs[n], h.want(n+1, uint64(n+1)))
		}
		if got := []int{<-h.runs, <-h.runs}; !slices.Equal(got, []int{1, 15}) {
			t.Errorf("runs of %v rows", got)
		}
		s := h.lease.Stats().Snapshot()
		if s.Rows != 16 || s.Runs != 2 || s.Success.Count != 6 || s.Infer.Count != 6 || s.Batches[15].Infer.Count != 1 {
			t.Errorf("counted %+v", s)
		}
	})
}

func TestLargeRequestsRunAlone(t *testing.T) {
	bubble(t, batcher.Options{}, func(t *testing.T, h *bench) {
		h.send(t.Context(), 1, 0, serving.CallOptions{})
		synctest.Wait()
		for _, rows := range []int{batcher.BypassRows, 1, batcher.BypassRows + 1, 2} {
			h.send(t.Context(), rows, 1, serving.CallOptions{})
			synctest.Wait()
		}
		for range 4 {
			h.gate <- nil
		}
		synctest.Wait()
		if got := []int{<-h.runs, <-h.runs, <-h.runs, <-h.runs}; !slices.Equal(got, []int{1, 32, 3, 33}) {
			t.Errorf("runs of %v rows", got)
		}
	})
}

func TestARunIsNeverTooLarge(t *testing.T) {
	bubble(t, batcher.Options{}, func(t *testing.T, h *bench) {
		h.send(t.Context(), 1, 0, serving.CallOptions{})
		synctest.Wait()
		for range 12 {
			h.send(t.Context(), 31, 1, serving.CallOptions{})
		}
		synctest.Wait()
		for range 4 {
			h.gate <- nil
		}
		synctest.Wait()
		if got := []int{<-h.runs, <-h.runs, <-h.runs, <-h.runs}; !slices.Equal(got, []int{1, 124, 124, 124}) {
			t.Errorf("runs of %v rows", got)
		}
	})
}

func TestInteractiveGoesFirst(t *testing.T) {
	bubble(t, batcher.Options{}, func(t *testing.T, h *bench) {
		h.send(t.Context(), 1, 0, serving.CallOptions{})
		synctest.Wait()
		for rows, o := range map[int]serving.CallOptions{40: {}, 41: {Priority: 9}, 42: {Priority: serving.PriorityInteractive}} {
			h.send(t.Context(), rows, 1, o)
		}
		synctest.Wait()
		h.gate <- nil
		synctest.Wait()
		if got := []int{<-h.runs, <-h.runs}; !slices.Equal(got, []int{1, 42}) {
			t.Errorf("runs of %v rows", got)
		}
	})
}

func TestWhoIsGoneIsNotRun(t *testing.T) {
	bubble(t, batcher.Options{}, func(t *testing.T, h *bench) {
		h.send(t.Context(), 1, 0, serving.CallOptions{})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		_, gone := h.send(ctx, 2, 1, serving.CallOptions{})
		late, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, deadline := h.send(late, 3, 1, serving.CallOptions{})
		_, timeout := h.send(t.Context(), 4, 1, serving.CallOptions{Timeout: time.Millisecond})
		_, stays := h.send(t.Context(), 5, 1, serving.CallOptions{Timeout: time.Hour})
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v", err)
		}
		if err := <-timeout; !errors.Is(err, serving.ErrTimeout) {
			t.Errorf("timed out in the queue: got %v", err)
		}
		if err := <-deadline; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("past its deadline: got %v", err)
		}
		if requests, rows := h.Waiting(); requests != 1 || rows != 5 {
			t.Errorf("%d requests with %d rows wait", requests, rows)
		}
		h.gate <- nil
		h.gate <- nil
		if err := <-stays; err != nil {
			t.Error(err)
		}
		if got := []int{<-h.runs, <-h.runs}; !slices.Equal(got, []int{1, 5}) {
			t.Errorf("runs of %v rows", got)
		}
		failed := h.lease.Stats().Snapshot().Failed
		got := map[serving.Failure]uint64{}
		for reason, d := range failed {
			got[reason] = d.Count
		}
		if diff := cmp.Diff(map[serving.Failure]uint64{serving.Canceled: 2, serving.Rejected: 1}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhoLeavesDuringTheRunWaitsForItsEnd(t *testing.T) {
	bubble(t, batcher.Options{}, func(t *testing.T, h *bench) {
		ctx, cancel := context.WithCancel(t.Context())
		_, done := h.send(ctx, 1, 0, serving.CallOptions{})
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("its memory was given back under the run: %v", err)
		default:
		}
		h.gate <- nil
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestFullIsSaidAtOnce(t *testing.T) {
	bubble(t, batcher.Options{MaxQueueRows: 10}, func(t *testing.T, h *bench) {
		h.send(t.Context(), 1, 0, serving.CallOptions{})
		synctest.Wait()
		_, fits := h.send(t.Context(), 9, 1, serving.CallOptions{})
		synctest.Wait()
		_, not := h.send(t.Context(), 2, 1, serving.CallOptions{})
		if err := <-not; !errors.Is(err, serving.ErrFull) {
			t.Errorf("got %v", err)
		}
		h.gate <- nil
		h.gate <- nil
		if err := <-fits; err != nil {
			t.Error(err)
		}
	})
}

func TestDelayWaitsForCompany(t *testing.T) {
	bubble(t, batcher.Options{MaxDelay: time.Millisecond, Workers: 2}, func(t *testing.T, h *bench) {
		begun := time.Now()
		_, a := h.send(t.Context(), 1, 0, serving.CallOptions{})
		synctest.Wait()
		_, b := h.send(t.Context(), 2, 0, serving.CallOptions{})
		_, large := h.send(t.Context(), 64, 0, serving.CallOptions{})
		h.gate <- nil
		if err := <-large; err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("the large one waited for %v", waited)
		}
		h.gate <- nil
		if err := errors.Join(<-a, <-b); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited != time.Millisecond {
			t.Errorf("the small ones waited for %v", waited)
		}
		if got := []int{<-h.runs, <-h.runs}; !slices.Equal(got, []int{64, 3}) {
			t.Errorf("runs of %v rows", got)
		}
	})
}

func TestOneBadRequestDoesNotSpoilTheOthers(t *testing.T) {
	bubble(t, batcher.Options{}, func(t *testing.T, h *bench) {
		h.send(t.Context(), 1, 0, serving.CallOptions{})
		synctest.Wait()
		_, a := h.send(t.Context(), 2, 1, serving.CallOptions{})
		synctest.Wait()
		_, b := h.send(t.Context(), 3, 1, serving.CallOptions{})
		synctest.Wait()
		broken := errors.New("broken")
		for _, err := range []error{nil, broken, broken, nil} { // first, together, a, b
			h.gate <- err
		}
		if err := <-a; !errors.Is(err, broken) {
			t.Errorf("a: got %v", err)
		}
		if err := <-b; err != nil {
			t.Errorf("b: got %v", err)
		}
		if n := h.lease.Stats().Snapshot().Failed[serving.Backend].Count; n != 1 {
			t.Errorf("%d failures counted", n)
		}
	})
}

func TestVersionsDoNotMix(t *testing.T) {
	bubble(t, batcher.Options{}, func(t *testing.T, h *bench) {
		other, err := h.repo.Acquire("good", "2")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Release()
		h.send(t.Context(), 1, 0, serving.CallOptions{})
		synctest.Wait()
		in, out := modeltest.Rows(other.Info(), 2, 1), serving.NewOutputs(other.Info(), 2)
		done := make(chan error, 1)
		h.send(t.Context(), 4, 1, serving.CallOptions{})
		synctest.Wait()
		go func() { done <- h.Predict(t.Context(), other, in, out, serving.CallOptions{}) }()
		synctest.Wait()
		h.send(t.Context(), 8, 1, serving.CallOptions{})
		synctest.Wait()
		for range 3 {
			h.gate <- nil
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := []int{<-h.runs, <-h.runs, <-h.runs}; !slices.Equal(got, []int{1, 12, 2}) {
			t.Errorf("runs of %v rows", got)
		}
	})
}

func TestTheEndRunsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New(batcher.Options{Workers: 1})
		h := open(t, batcher.Options{}, false) // for its model
		in, out := modeltest.Rows(h.lease.Info(), 2, 1), serving.NewOutputs(h.lease.Info(), 2)
		done := make(chan error, 1)
		go func() { done <- b.Predict(t.Context(), h.lease, in, out, serving.CallOptions{}) }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := b.Predict(t.Context(), h.lease, in, out, serving.CallOptions{}); !errors.Is(err, serving.ErrClosed) {
			t.Errorf("after the end: got %v", err)
		}
	})
}

func TestTheEndWaitsForWhatACallerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New(batcher.Options{Workers: 1})
		h := open(t, batcher.Options{}, true) // for its model
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		synctest.Wait()
		in, out := modeltest.Rows(h.lease.Info(), 2, 1), serving.NewOutputs(h.lease.Info(), 2)
		done := make(chan error, 1)
		go func() { done <- b.Predict(t.Context(), h.lease, in, out, serving.CallOptions{}) }()
		synctest.Wait() // it runs
		cancel()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("Run has returned while a request was run")
		default:
		}
		h.gate <- nil
		if err := errors.Join(<-done, <-ended); err != nil {
			t.Error(err)
		}
	})
}

func TestManyAtOnceGetTheirOwnAnswers(t *testing.T) {
	h := open(t, batcher.Options{Workers: 2}, false)
	go func() {
		for range h.runs { // nobody counts them here
		}
	}()
	defer close(h.runs)
	wants := map[int]*serving.Outputs{}
	for rows := 1; rows <= 40; rows += 3 {
		wants[rows] = h.want(rows, uint64(rows))
	}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for rows := 1 + 3*(n%3); rows <= 40; rows += 9 {
				ctx, cancel := context.WithCancel(t.Context())
				if n == 7 {
					cancel()
				}
				out, done := h.send(ctx, rows, uint64(rows), serving.CallOptions{Priority: uint64(n % 3)})
				if err := <-done; n == 7 && errors.Is(err, context.Canceled) {
					cancel()
					continue
				} else if err != nil {
					t.Error(err)
				}
				modeltest.Near(t, h.lease.Info(), out, wants[rows])
				cancel()
			}
		})
	}
	wg.Wait()
	if requests, rows := h.Waiting(); requests != 0 || rows != 0 {
		t.Errorf("%d requests with %d rows are left", requests, rows)
	}
}
