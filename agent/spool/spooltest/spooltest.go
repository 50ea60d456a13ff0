// Package spooltest is what every spool must pass.
package spooltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"sonde.example/agent/spool"
)

// Options are what a suite asks of a spool.
type Options struct {
	Epoch uint64
	Lanes int
	Bytes int64
	Wait  bool
}

// Run checks a spool against the promises of spool.Spool. Open returns an empty one; tests close it. Overhead is what a
// batch takes beside its payload.
func Run(t *testing.T, overhead int64, open func(testing.TB, Options) spool.Spool) {
	s := suite{open: open, overhead: overhead}
	for name, test := range map[string]func(*testing.T){
		"GivesSequencesInOrder":      s.sequences,
		"LendsUntilRelease":          s.lends,
		"ForgetsWhatIsDurable":       s.forgets,
		"LetsTheOldestGoWhenFull":    s.full,
		"KnowsWhatWasUnderWay":       s.underWay,
		"WaitsForRoomWhenAskedTo":    s.waits,
		"StopsWaitingWhenToldTo":     s.stopsWaiting,
		"CountsRejectedOnce":         s.rejects,
		"BelievesNoMarkBeyondLast":   s.marks,
		"TellsOfChanges":             s.tells,
		"RefusesWhatIsTooLarge":      s.tooLarge,
		"ChangesItsBound":            s.resizes,
		"RefusesAfterClose":          s.closes,
		"ServesManyGoroutines":       s.concurrent,
		"DoesWhatASimpleModelDoes":   s.model,
		"KeepsLanesApart":            s.lanes,
		"RefusesLanesThatAreNotMade": s.noLane,
	} {
		t.Run(name, test)
	}
}

type suite struct {
	open     func(testing.TB, Options) spool.Spool
	overhead int64
}

// fresh opens a spool with room for so many batches of 100 bytes.
func (s suite) fresh(t testing.TB, batches int64, wait bool, lanes int) spool.Spool {
	t.Helper()
	sp := s.open(t, Options{Epoch: 99, Lanes: lanes, Bytes: batches * (100 + s.overhead), Wait: wait})
	t.Cleanup(func() {
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	})
	return sp
}

// payload of a sequence, 100 bytes.
func payload(lane uint32, sequence uint64) []byte {
	return fmt.Appendf(nil, "%-100s", fmt.Sprintf("lane %d, sequence %d", lane, sequence))
}

func appendN(t testing.TB, sp spool.Spool, n int) {
	t.Helper()
	for range n {
		next := sp.State().Lanes[0].Last + 1
		text := payload(0, next)
		got, err := sp.Append(t.Context(), 0, 10, text[:30], nil, text[30:])
		if err != nil || got != next {
			t.Fatalf("append: sequence %d, want %d: %v", got, next, err)
		}
		clear(text) // it was only borrowed
	}
}

func next(t testing.TB, sp spool.Spool, after uint64) (spool.Entry, bool) {
	t.Helper()
	e, ok, err := sp.Next(t.Context(), 0, after)
	if err != nil {
		t.Fatal(err)
	}
	if ok && !bytes.Equal(e.Payload, payload(0, e.Sequence)) {
		t.Errorf("payload of %d is %q", e.Sequence, e.Payload)
	}
	return e, ok
}

func mark(t testing.TB, sp spool.Spool, received, durable uint64) {
	t.Helper()
	if err := sp.Mark(t.Context(), 0, received, durable); err != nil {
		t.Fatal(err)
	}
}

func lane(sp spool.Spool) spool.LaneState {
	s := sp.State().Lanes[0]
	s.OldestUnixNano = 0
	return s
}

func expect(t testing.TB, sp spool.Spool, want spool.LaneState) {
	t.Helper()
	if got := lane(sp); got != want {
		t.Errorf("lane is\n%+v, want\n%+v", got, want)
	}
}

func (s suite) sequences(t *testing.T) {
	sp := s.fresh(t, 10, false, 1)
	if got := sp.State(); got.Epoch != 99 || got.Lanes[0].First != 1 || got.Lanes[0].Last != 0 {
		t.Errorf("empty spool: %+v", got)
	}
	if _, ok := next(t, sp, 0); ok {
		t.Error("an empty spool lends something")
	}
	appendN(t, sp, 3)
	for after := range uint64(3) {
		e, ok := next(t, sp, after)
		if !ok || e.Sequence != after+1 || e.Skipped != 0 || e.Packets != 10 {
			t.Fatalf("after %d: %+v, %t", after, e, ok)
		}
		e.Release()
	}
	if _, ok := next(t, sp, 3); ok {
		t.Error("more than was appended")
	}
	expect(t, sp, spool.LaneState{First: 1, Last: 3, PendingPackets: 30, PendingBatches: 3})
}

func (s suite) lends(t *testing.T) {
	sp := s.fresh(t, 3, false, 1)
	appendN(t, sp, 2)
	twice, _ := next(t, sp, 0)
	again, _ := next(t, sp, 0)
	mark(t, sp, 1, 1)
	appendN(t, sp, 20) // whatever is used again, is used again
	if !bytes.Equal(twice.Payload, payload(0, 1)) {
		t.Errorf("lent payload became %q", twice.Payload)
	}
	twice.Release()
	appendN(t, sp, 20)
	if !bytes.Equal(again.Payload, payload(0, 1)) {
		t.Errorf("payload that was lent twice became %q", again.Payload)
	}
	again.Release()
}

func (s suite) forgets(t *testing.T) {
	sp := s.fresh(t, 10, false, 1)
	appendN(t, sp, 5)
	mark(t, sp, 4, 2)
	expect(t, sp, spool.LaneState{First: 3, Last: 5, Received: 4, Durable: 2, DurablePackets: 20, PendingPackets: 10, PendingBatches: 1})
	e, ok := next(t, sp, 0)
	if !ok || e.Sequence != 3 || e.Skipped != 2 {
		t.Errorf("first left is %+v", e)
	}
	e.Release()
	mark(t, sp, 5, 5)
	expect(t, sp, spool.LaneState{First: 6, Last: 5, Received: 5, Durable: 5, DurablePackets: 50})
	if got := sp.State().Bytes; got != 0 {
		t.Errorf("%d bytes in an empty spool", got)
	}
}

func (s suite) full(t *testing.T) {
	sp := s.fresh(t, 4, false, 1)
	appendN(t, sp, 4)
	mark(t, sp, 2, 0)
	appendN(t, sp, 3)
	expect(t, sp, spool.LaneState{
		First: 4, Last: 7, Received: 2, Losses: spool.Losses{Released: 20, Dropped: 10}, PendingPackets: 40, PendingBatches: 4,
	})
	e, ok := next(t, sp, 2)
	if !ok || e.Sequence != 4 || e.Skipped != 1 {
		t.Errorf("after a drop %+v", e)
	}
	e.Release()
}

// underWay lets batches go that were lent and not received: what became of them only the collector tells.
func (s suite) underWay(t *testing.T) {
	sp := s.fresh(t, 4, false, 1)
	appendN(t, sp, 4)
	for after := range uint64(3) {
		e, _ := next(t, sp, after)
		e.Release()
	}
	appendN(t, sp, 4) // lets 1 to 3, which are under way, and 4 go
	known := spool.LaneState{First: 5, Last: 8, Losses: spool.Losses{Dropped: 10}, PendingPackets: 70, PendingBatches: 7}
	expect(t, sp, known)
	mark(t, sp, 1, 0) // that one had arrived
	known.Received, known.Released, known.PendingPackets, known.PendingBatches = 1, 10, 60, 6
	expect(t, sp, known)
	if err := sp.Reject(t.Context(), 0, 2); err != nil {
		t.Error(err)
	}
	known.Rejected, known.PendingPackets, known.PendingBatches = 10, 50, 5
	expect(t, sp, known)
	e, ok := next(t, sp, 2) // that one had not
	known.Dropped, known.PendingPackets, known.PendingBatches = 20, 40, 4
	if !ok || e.Sequence != 5 || e.Skipped != 2 || e.Losses != known.Losses {
		t.Errorf("after 2 comes %+v", e)
	}
	e.Release()
	expect(t, sp, known)
	mark(t, sp, 8, 8)
	if got, want := lane(sp).Losses, known.Losses; got != want {
		t.Errorf("in the end %+v, want %+v", got, want)
	}
}

func (s suite) waits(t *testing.T) {
	sp := s.fresh(t, 2, true, 1)
	appendN(t, sp, 2)
	done := make(chan error, 1)
	go func() {
		_, err := sp.Append(t.Context(), 0, 10, payload(0, 3))
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("a full spool did not wait: %v", err)
	default:
	}
	mark(t, sp, 2, 0) // received is not durable
	select {
	case err := <-done:
		t.Fatalf("a full spool did not wait for durable: %v", err)
	default:
	}
	mark(t, sp, 2, 1)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	expect(t, sp, spool.LaneState{First: 2, Last: 3, Received: 2, Durable: 1, DurablePackets: 10, PendingPackets: 10, PendingBatches: 1})
}

func (s suite) stopsWaiting(t *testing.T) {
	sp := s.fresh(t, 2, true, 1)
	appendN(t, sp, 2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := sp.Append(ctx, 0, 10, payload(0, 3))
		done <- err
	}()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	expect(t, sp, spool.LaneState{First: 2, Last: 3, Losses: spool.Losses{Dropped: 10}, PendingPackets: 20, PendingBatches: 2})
}

func (s suite) rejects(t *testing.T) {
	sp := s.fresh(t, 10, false, 1)
	appendN(t, sp, 4)
	for range 2 {
		for _, sequence := range []uint64{2, 0, 77} {
			if err := sp.Reject(t.Context(), 0, sequence); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect(t, sp, spool.LaneState{First: 1, Last: 4, Losses: spool.Losses{Rejected: 10}, PendingPackets: 30, PendingBatches: 3})
	e, ok := next(t, sp, 1)
	if !ok || e.Sequence != 3 || e.Skipped != 1 {
		t.Errorf("after the rejected one comes %+v", e)
	}
	e.Release()
	mark(t, sp, 4, 4)
	expect(t, sp, spool.LaneState{First: 5, Last: 4, Received: 4, Durable: 4, DurablePackets: 30, Losses: spool.Losses{Rejected: 10}})
}

func (s suite) marks(t *testing.T) {
	sp := s.fresh(t, 10, false, 1)
	appendN(t, sp, 3)
	mark(t, sp, 2, 1)
	mark(t, sp, 1, 0)
	expect(t, sp, spool.LaneState{First: 2, Last: 3, Received: 2, Durable: 1, DurablePackets: 10, PendingPackets: 10, PendingBatches: 1})
	mark(t, sp, 1000, 1000)
	expect(t, sp, spool.LaneState{First: 4, Last: 3, Received: 3, Durable: 3, DurablePackets: 30})
	appendN(t, sp, 1)
	if e, ok := next(t, sp, 3); !ok || e.Sequence != 4 {
		t.Errorf("next is %+v", e)
	}
	// Durable alone means received, too.
	mark(t, sp, 0, 4)
	expect(t, sp, spool.LaneState{First: 5, Last: 4, Received: 4, Durable: 4, DurablePackets: 40})
}

func (s suite) tells(t *testing.T) {
	sp := s.fresh(t, 10, false, 1)
	for _, change := range []func(){
		func() { appendN(t, sp, 2) },
		func() { mark(t, sp, 1, 0) },
		func() {
			if err := sp.Reject(t.Context(), 0, 2); err != nil {
				t.Error(err)
			}
		},
		func() {
			if err := sp.Close(); err != nil {
				t.Error(err)
			}
		},
	} {
		changed := sp.Changed()
		select {
		case <-changed:
			t.Fatal("told of a change before there was one")
		default:
		}
		change()
		<-changed
	}
}

func (s suite) tooLarge(t *testing.T) {
	sp := s.fresh(t, 2, true, 1)
	appendN(t, sp, 1)
	if _, err := sp.Append(t.Context(), 0, 1, make([]byte, 100), make([]byte, 1000)); !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	expect(t, sp, spool.LaneState{First: 1, Last: 1, PendingPackets: 10, PendingBatches: 1})
}

func (s suite) closes(t *testing.T) {
	sp := s.fresh(t, 1, true, 1)
	appendN(t, sp, 1)
	e, _ := next(t, sp, 0)
	done := make(chan error, 1)
	go func() {
		_, err := sp.Append(t.Context(), 0, 1, payload(0, 2))
		done <- err
	}()
	for range 2 {
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-done; !errors.Is(err, spool.ErrClosed) {
		t.Errorf("append: %v", err)
	}
	if _, _, err := sp.Next(t.Context(), 0, 0); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("next: %v", err)
	}
	if err := sp.Mark(t.Context(), 0, 1, 1); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("mark: %v", err)
	}
	if !bytes.Equal(e.Payload, payload(0, 1)) {
		t.Errorf("lent payload became %q", e.Payload)
	}
	e.Release()
	sp.State() // lives as long as the spool
}

func (s suite) lanes(t *testing.T) {
	sp := s.fresh(t, 3, false, 2)
	for _, l := range []uint32{1, 0, 1} {
		if _, err := sp.Append(t.Context(), l, 1, payload(l, 1)); err != nil {
			t.Fatal(err)
		}
	}
	// Full: the oldest of all lanes goes, whatever lane is appended to.
	if got, err := sp.Append(t.Context(), 0, 1, payload(0, 2)); got != 2 || err != nil {
		t.Errorf("sequence %d: %v", got, err)
	}
	lanes := sp.State().Lanes
	if lanes[1].Dropped != 1 || lanes[1].First != 2 || lanes[0].Dropped != 0 {
		t.Errorf("lanes %+v", lanes)
	}
	if err := sp.Mark(t.Context(), 1, 2, 2); err != nil || sp.State().Lanes[0].Received != 0 {
		t.Errorf("mark of lane 1 moved lane 0: %v", err)
	}
}

func (s suite) noLane(t *testing.T) {
	sp := s.fresh(t, 3, false, 2)
	if _, err := sp.Append(t.Context(), 2, 1, payload(0, 1)); !errors.Is(err, spool.ErrLane) {
		t.Errorf("append: %v", err)
	}
	if _, _, err := sp.Next(t.Context(), 2, 0); !errors.Is(err, spool.ErrLane) {
		t.Errorf("next: %v", err)
	}
	if err := sp.Mark(t.Context(), 2, 1, 1); !errors.Is(err, spool.ErrLane) {
		t.Errorf("mark: %v", err)
	}
	if err := sp.Reject(t.Context(), 2, 1); !errors.Is(err, spool.ErrLane) {
		t.Errorf("reject: %v", err)
	}
}

// concurrent has one goroutine append and another read and mark: in a spool that waits nothing is lost.
func (s suite) concurrent(t *testing.T) {
	const batches = 2000
	sp := s.fresh(t, 8, true, 1)
	var group sync.WaitGroup
	group.Go(func() {
		for i := range uint64(batches) {
			if _, err := sp.Append(t.Context(), 0, 10, payload(0, i+1)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	group.Go(func() {
		for after := uint64(0); after < batches; {
			changed := sp.Changed()
			e, ok, err := sp.Next(t.Context(), 0, after)
			if err != nil {
				t.Error(err)
				return
			}
			if !ok {
				<-changed
				continue
			}
			if e.Sequence != after+1 || !bytes.Equal(e.Payload, payload(0, e.Sequence)) {
				t.Errorf("after %d: %d, %q", after, e.Sequence, e.Payload)
			}
			after = e.Sequence
			if err := sp.Mark(t.Context(), 0, after, after); err != nil {
				t.Error(err)
				return
			}
			e.Release()
		}
	})
	group.Wait()
	if got := lane(sp); got.Dropped != 0 || got.Released != 0 || got.Durable != batches {
		t.Errorf("lane is %+v", got)
	}
}
