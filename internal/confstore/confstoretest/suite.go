// Package confstoretest holds every store to what package confstore promises.
package confstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sonde.example/internal/confstore"
)

// limit is how long anything may take before the test gives up.
const limit = 30 * time.Second

// Opener opens another client of the same store; those of one test meet under one root.
type Opener func(t *testing.T, root string) confstore.Store

// Run runs the suite. Each test has a root of its own.
func Run(t *testing.T, open Opener) {
	for name, test := range map[string]func(*fixture){
		"get what was put":              getWhatWasPut,
		"next waits for a write":        nextWaits,
		"next tells of a deletion":      nextTellsDeletion,
		"next returns the newest":       nextReturnsNewest,
		"waiting ends with the context": waitingEnds,
		"closed":                        closed,
		"a stamp of another life":       stampOfAnotherLife,
		"too long":                      tooLong,
		"list and follow":               listAndFollow,
		"publish moves all at once":     publishMovesAll,
		"publish is fenced":             publishIsFenced,
		"one leads at a time":           oneLeads,
		"delete and insert":             deleteAndInsert,
		"largest publish":               largestPublish,
		"many write at once":            manyWrite,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			t.Cleanup(cancel)
			root := "/suite/" + strings.ReplaceAll(name, " ", "-")
			test(&fixture{T: t, ctx: ctx, root: root, open: func() confstore.Store { return open(t, root) }})
		})
	}
}

type fixture struct {
	*testing.T
	ctx  context.Context
	root string
	open func() confstore.Store
}

func (f *fixture) key(name string) string { return f.root + "/agents/" + name }

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) lead(s confstore.Store, name string) confstore.Term {
	f.Helper()
	term, err := s.Lead(f.ctx, name)
	f.must(err)
	f.Cleanup(func() { _ = term.Resign(context.WithoutCancel(f.ctx)) })
	return term
}

func (f *fixture) wantValue(e confstore.Entry, err error, want string) {
	f.Helper()
	if err != nil || e.Value == nil || string(e.Value) != want || e.Stamp == 0 {
		f.Errorf("got %q at %d, error %v; want %q", e.Value, e.Stamp, err, want)
	}
}

func getWhatWasPut(f *fixture) {
	s := f.open()
	if _, err := s.Get(f.ctx, f.key("a")); !errors.Is(err, confstore.ErrNotFound) {
		f.Errorf("got %v", err)
	}
	value := []byte("one")
	f.must(s.Put(f.ctx, f.key("a"), value))
	value[0] = 'x' // the store keeps its own
	e, err := s.Get(f.ctx, f.key("a"))
	f.wantValue(e, err, "one")
	f.must(s.Put(f.ctx, f.key("a"), []byte{}))
	again, err := s.Get(f.ctx, f.key("a"))
	f.wantValue(again, err, "")
	if again.Stamp <= e.Stamp {
		f.Errorf("stamp went from %d to %d", e.Stamp, again.Stamp)
	}
}

func nextWaits(f *fixture) {
	reader, writer := f.open(), f.open()
	f.must(writer.Put(f.ctx, f.key("a"), []byte("1")))
	first, err := reader.Next(f.ctx, f.key("a"), 0)
	f.wantValue(first, err, "1")
	short, cancel := context.WithTimeout(f.ctx, 50*time.Millisecond)
	defer cancel()
	f.must(writer.Put(f.ctx, f.key("other"), []byte("x")))
	if e, err := reader.Next(short, f.key("a"), first.Stamp); err == nil {
		f.Errorf("got %q though nothing was written", e.Value)
	}
	got := make(chan confstore.Entry, 1)
	go func() {
		e, err := reader.Next(f.ctx, f.key("a"), first.Stamp)
		if err != nil {
			f.Error(err)
		}
		got <- e
	}()
	f.must(writer.Put(f.ctx, f.key("a"), []byte("2")))
	f.wantValue(<-got, nil, "2")
}

func nextTellsDeletion(f *fixture) {
	s := f.open()
	term := f.lead(s, "one")
	f.must(term.Publish(f.ctx, []confstore.Change{{Key: f.key("a"), Value: []byte("1")}}, []byte("p")))
	e, err := s.Next(f.ctx, f.key("a"), 0)
	f.wantValue(e, err, "1")
	f.must(term.Publish(f.ctx, []confstore.Change{{Key: f.key("a")}}, []byte("q")))
	gone, err := s.Next(f.ctx, f.key("a"), e.Stamp)
	if err != nil || gone.Value != nil || gone.Stamp <= e.Stamp {
		f.Errorf("got %q at %d, error %v", gone.Value, gone.Stamp, err)
	}
	if _, err := s.Get(f.ctx, f.key("a")); !errors.Is(err, confstore.ErrNotFound) {
		f.Errorf("got %v", err)
	}
	short, cancel := context.WithTimeout(f.ctx, 50*time.Millisecond)
	defer cancel()
	if again, err := s.Next(short, f.key("a"), gone.Stamp); err == nil {
		f.Errorf("the deletion is told again: %v", again)
	}
}

func nextReturnsNewest(f *fixture) {
	s := f.open()
	for i := range 5 {
		f.must(s.Put(f.ctx, f.key("a"), fmt.Append(nil, i)))
	}
	e, err := s.Next(f.ctx, f.key("a"), 0)
	f.wantValue(e, err, "4")
}

func waitingEnds(f *fixture) {
	s := f.open()
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error, 2)
	go func() { _, err := s.Next(ctx, f.key("a"), 0); ended <- err }()
	go func() { _, _, err := s.NextUnder(ctx, f.key(""), 0); ended <- err }()
	cancel()
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) && !errors.Is(err, confstore.ErrCompacted) {
			f.Errorf("got %v", err)
		}
	}
	if _, err := s.Get(ctx, f.key("a")); err == nil || errors.Is(err, confstore.ErrClosed) {
		f.Errorf("get with an ended context: %v", err)
	}
	f.lead(s, "one")
	waiting, stop := context.WithTimeout(f.ctx, 50*time.Millisecond)
	defer stop()
	if _, err := f.open().Lead(waiting, "two"); !errors.Is(err, context.DeadlineExceeded) {
		f.Errorf("got %v", err)
	}
}

func closed(f *fixture) {
	s := f.open()
	term := f.lead(s, "one")
	_, stamp, err := s.List(f.ctx, f.key(""))
	f.must(err)
	ended := make(chan error, 3)
	go func() { _, err := s.Next(f.ctx, f.key("a"), 0); ended <- err }()
	go func() { _, _, err := s.NextUnder(f.ctx, f.key(""), stamp); ended <- err }()
	go func() { _, err := s.Lead(f.ctx, "two"); ended <- err }()
	f.must(s.Close())
	f.must(s.Close())
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, confstore.ErrClosed) {
			f.Errorf("got %v", err)
		}
	}
	if err := term.Publish(f.ctx, nil, nil); !errors.Is(err, confstore.ErrClosed) {
		f.Errorf("got %v", err)
	}
	if err := s.Put(f.ctx, f.key("a"), nil); !errors.Is(err, confstore.ErrClosed) {
		f.Errorf("got %v", err)
	}
}

// stampOfAnotherLife is what a reader has whose store was wiped, or restored from an older copy.
func stampOfAnotherLife(f *fixture) {
	s := f.open()
	f.must(s.Put(f.ctx, f.key("a"), []byte("1")))
	e, err := s.Get(f.ctx, f.key("a"))
	f.must(err)
	const ahead = 1 << 20
	again, err := s.Next(f.ctx, f.key("a"), e.Stamp+ahead)
	f.wantValue(again, err, "1")
	gone, err := s.Next(f.ctx, f.key("b"), e.Stamp+ahead)
	if err != nil || gone.Value != nil || gone.Stamp >= e.Stamp+ahead {
		f.Errorf("got %q at %d, error %v", gone.Value, gone.Stamp, err)
	}
	if _, _, err := s.NextUnder(f.ctx, f.key(""), e.Stamp+ahead); !errors.Is(err, confstore.ErrCompacted) {
		f.Errorf("got %v", err)
	}
}

func tooLong(f *fixture) {
	s := f.open()
	if err := s.Put(f.ctx, f.key("a"), make([]byte, confstore.MaxValueBytes+1)); err == nil {
		f.Error("a value beyond the bound was taken")
	}
	f.must(s.Put(f.ctx, f.key("a"), make([]byte, confstore.MaxValueBytes)))
}

func listAndFollow(f *fixture) {
	s := f.open()
	for _, name := range []string{"b", "a"} {
		f.must(s.Put(f.ctx, f.key(name), []byte(name)))
	}
	f.must(s.Put(f.ctx, f.root+"/status/a", []byte("not of it")))
	all, stamp, err := s.List(f.ctx, f.root+"/agents/")
	f.must(err)
	if len(all) != 2 || all[0].Key != f.key("a") || all[1].Key != f.key("b") || string(all[0].Value) != "a" {
		f.Errorf("got %v", all)
	}
	f.must(s.Put(f.ctx, f.root+"/status/a", []byte("still not")))
	f.must(s.Put(f.ctx, f.key("b"), []byte("B")))
	term := f.lead(s, "one")
	f.must(term.Publish(f.ctx, []confstore.Change{{Key: f.key("a")}, {Key: f.key("c"), Value: []byte("C")}}, []byte("p")))
	want := map[string]string{f.key("a"): "gone", f.key("b"): "B", f.key("c"): "C"}
	for len(want) > 0 {
		var changes []confstore.Entry
		changes, stamp, err = s.NextUnder(f.ctx, f.root+"/agents/", stamp)
		f.must(err)
		for _, e := range changes {
			got := string(e.Value)
			if e.Value == nil {
				got = "gone"
			}
			if want[e.Key] != got {
				f.Errorf("%s: got %q", e.Key, got)
			}
			delete(want, e.Key)
		}
	}
}

func publishMovesAll(f *fixture) {
	s := f.open()
	term := f.lead(s, "one")
	if p, err := term.Checkpoint(f.ctx); err != nil || p != nil {
		f.Errorf("got %q, %v", p, err)
	}
	f.must(term.Publish(f.ctx, []confstore.Change{
		{Key: f.key("a"), Value: []byte("1")}, {Key: f.key("b"), Value: []byte("2")}, {Key: f.key("never there")},
	}, []byte("first")))
	f.must(term.Publish(f.ctx, nil, []byte("second")))
	p, err := term.Checkpoint(f.ctx)
	if err != nil || string(p) != "second" {
		f.Errorf("got %q, %v", p, err)
	}
	e, err := s.Get(f.ctx, f.key("b"))
	f.wantValue(e, err, "2")
	a, err := s.Get(f.ctx, f.key("a"))
	f.must(err)
	if a.Stamp != e.Stamp {
		f.Errorf("one publish has stamps %d and %d", a.Stamp, e.Stamp)
	}
	if err := term.Publish(f.ctx, []confstore.Change{{Key: f.key("a")}, {Key: f.key("a"), Value: []byte("x")}}, nil); err == nil {
		f.Error("one key changed twice at once")
	}
}

func publishIsFenced(f *fixture) {
	s := f.open()
	old := f.lead(s, "one")
	f.must(old.Publish(f.ctx, nil, []byte("old")))
	f.must(old.Resign(f.ctx))
	next := f.lead(f.open(), "two")
	p, err := next.Checkpoint(f.ctx)
	if err != nil || string(p) != "old" {
		f.Errorf("got %q, %v", p, err)
	}
	if err := old.Publish(f.ctx, []confstore.Change{{Key: f.key("a"), Value: []byte("late")}}, []byte("late")); !errors.Is(err, confstore.ErrFenced) {
		f.Errorf("an old leader's publish: %v", err)
	}
	if _, err := s.Get(f.ctx, f.key("a")); !errors.Is(err, confstore.ErrNotFound) {
		f.Errorf("an old leader has written: %v", err)
	}
	select {
	case <-old.Lost():
	case <-f.ctx.Done():
		f.Error("the old leader is not told")
	}
	f.must(next.Publish(f.ctx, nil, []byte("new")))
}

func oneLeads(f *fixture) {
	a, b := f.open(), f.open()
	first := f.lead(a, "one")
	leads := make(chan confstore.Term, 1)
	go func() {
		term, err := b.Lead(f.ctx, "two")
		if err != nil {
			f.Error(err)
		}
		leads <- term
	}()
	f.must(first.Publish(f.ctx, nil, []byte("p")))
	select {
	case <-leads:
		f.Fatal("two lead")
	default:
	}
	f.must(first.Resign(f.ctx))
	second := <-leads
	if second == nil {
		return
	}
	f.must(second.Publish(f.ctx, nil, []byte("q")))
	f.must(second.Resign(f.ctx))
}

func deleteAndInsert(f *fixture) {
	s := f.open()
	term := f.lead(s, "one")
	f.must(term.Publish(f.ctx, []confstore.Change{{Key: f.key("a"), Value: []byte("1")}}, nil))
	e, err := s.Get(f.ctx, f.key("a"))
	f.must(err)
	f.must(term.Publish(f.ctx, []confstore.Change{{Key: f.key("a")}}, nil))
	f.must(term.Publish(f.ctx, []confstore.Change{{Key: f.key("a"), Value: []byte("2")}}, nil))
	for {
		e, err = s.Next(f.ctx, f.key("a"), e.Stamp)
		f.must(err)
		if e.Value != nil {
			break
		}
	}
	f.wantValue(e, nil, "2")
}

func largestPublish(f *fixture) {
	s := f.open()
	term := f.lead(s, "one")
	var changes []confstore.Change
	for i := range confstore.MaxPublish {
		changes = append(changes, confstore.Change{
			Key:   f.key(fmt.Sprintf("%03d", i)),
			Value: bytes.Repeat([]byte("x"), confstore.MaxPublishBytes/confstore.MaxPublish-100),
		})
	}
	f.must(term.Publish(f.ctx, changes, []byte("p")))
	all, _, err := s.List(f.ctx, f.key(""))
	f.must(err)
	if len(all) != confstore.MaxPublish {
		f.Errorf("got %d keys", len(all))
	}
	for i := range changes {
		changes[i].Value = nil
	}
	f.must(term.Publish(f.ctx, changes, []byte("q")))
	if err := term.Publish(f.ctx, append(changes, confstore.Change{Key: f.key("more")}), []byte("r")); err == nil {
		f.Error("more than the bound was taken")
	}
	if !slices.ContainsFunc(changes, func(c confstore.Change) bool { return c.Key != "" }) {
		f.Error("the caller's changes were touched")
	}
}

func manyWrite(f *fixture) {
	s := f.open()
	term := f.lead(s, "one")
	const writers, writes = 8, 10
	done := make(chan error, writers+1)
	for w := range writers {
		go func() {
			var err error
			for i := range writes {
				err = errors.Join(err, s.Put(f.ctx, f.key(fmt.Sprintf("%d-%d", w, i)), []byte("x")))
			}
			done <- err
		}()
	}
	go func() {
		var err error
		for i := range writes {
			err = errors.Join(err, term.Publish(f.ctx, []confstore.Change{{Key: f.key(fmt.Sprintf("p%d", i)), Value: []byte("x")}}, fmt.Append(nil, i)))
		}
		done <- err
	}()
	for range writers + 1 {
		f.must(<-done)
	}
	all, _, err := s.List(f.ctx, f.key(""))
	f.must(err)
	if len(all) != writers*writes+writes {
		f.Errorf("got %d keys", len(all))
	}
}
