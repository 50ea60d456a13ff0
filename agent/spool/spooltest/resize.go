package spooltest

import (
	"testing"

	"sonde.example/agent/spool"
)

func (s suite) resizes(t *testing.T) {
	const lanes = 1
	sp := s.fresh(t, 4, false, lanes)
	appendN(t, sp, 4)
	mark(t, sp, 1, 0)
	size := 100 + s.overhead
	sp.Resize(2 * size)
	expect(t, sp, spool.LaneState{First: 3, Last: 4, Received: 1, Losses: spool.Losses{Released: 10, Dropped: 10}, PendingPackets: 20, PendingBatches: 2})
	if state := sp.State(); state.Limit != 2*size || state.Bytes != 2*size {
		t.Errorf("%d bytes of %d are kept, want %d", state.Bytes, state.Limit, 2*size)
	}
	sp.Resize(3 * size)
	changed := sp.Changed()
	appendN(t, sp, 1)
	if state := lane(sp); state.First != 3 || state.Last != 5 {
		t.Errorf("got %+v", state)
	}
	<-changed

	waiting := s.fresh(t, 1, true, lanes)
	appendN(t, waiting, 1)
	done := make(chan error, 1)
	go func() {
		_, err := waiting.Append(t.Context(), 0, 1, payload(0, 2))
		done <- err
	}()
	waiting.Resize(2 * size)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	expect(t, waiting, spool.LaneState{First: 1, Last: 2, PendingPackets: 11, PendingBatches: 2})
}
