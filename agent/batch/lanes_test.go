package batch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sonde.example/agent/batch"
)

func TestReadingKeepsItsTimeUnderAnotherParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, begin := new(out), time.Now()
		l := newLanes(o, 1)
		l.Interface(batch.Interface{})
		if ctx := l.Reading(t.Context()); ctx != t.Context() {
			t.Error("there is something to wait for")
		}
		add(l.Lane(0), 10)
		first, cancel := context.WithCancel(t.Context())
		reading := l.Reading(first)
		time.Sleep(3 * time.Millisecond)
		cancel()
		<-reading.Done()
		if err := l.Tick(t.Context()); err != nil || len(o.payloads) != 0 {
			t.Errorf("%d batches before their time, %v", len(o.payloads), err)
		}
		<-l.Reading(t.Context()).Done()
		if err := l.Tick(t.Context()); err != nil || len(o.payloads) != 1 || time.Since(begin) != 5*time.Millisecond {
			t.Errorf("%d batches after %s, %v", len(o.payloads), time.Since(begin), err)
		}
	})
}

func TestBatchesHaveTheRevisionTheyWereCutUnder(t *testing.T) {
	o := new(out)
	l := newLanes(o, 2)
	l.Interface(batch.Interface{})
	for revision := range uint64(3) {
		if err := l.SetRevision(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		add(l.Lane(uint32(revision%2)), 10)
		if err := l.SetRevision(t.Context(), revision); err != nil { // the same: nothing is handed over for it
			t.Fatal(err)
		}
		if len(o.payloads) != int(revision) {
			t.Errorf("%d batches under revision %d", len(o.payloads), revision)
		}
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, b := range o.batches(t) {
		if b.GetConfigRevision() != uint64(i) {
			t.Errorf("batch %d has revision %d", i, b.GetConfigRevision())
		}
	}
}
