package confstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Memory is a Store in memory, for one process: tests, and whatever needs no more. The zero value does not work; see NewMemory.
type Memory struct {
	mu         sync.Mutex // guards what follows
	entries    map[string]Entry
	deleted    map[string]uint64 // stamps of keys that are gone, since the last Compact
	stamp      uint64            // of the newest write
	compacted  uint64            // changes up to here are forgotten
	changed    chan struct{}     // closed, and replaced, at each change of anything
	leader     *memoryTerm       // nil: nobody leads
	checkpoint []byte
	published  uint64 // stamp of the checkpoint
	closed     bool
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{entries: map[string]Entry{}, deleted: map[string]uint64{}, changed: make(chan struct{})}
}

// tell wakes everybody who waits. The caller holds mu.
func (m *Memory) tell() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// wait returns the first answer that look gives. Look is called with mu held, at once and after each change.
func (m *Memory) wait(ctx context.Context, look func() (done bool, err error)) error {
	for {
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			return ErrClosed
		}
		done, err := look()
		changed := m.changed
		m.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Get implements Client.
func (m *Memory) Get(ctx context.Context, key string) (e Entry, err error) {
	err = m.wait(ctx, func() (bool, error) {
		found, ok := m.entries[key]
		if !ok {
			return false, fmt.Errorf("%s: %w", key, ErrNotFound)
		}
		e = clone(found)
		return true, ctx.Err()
	})
	return e, err
}

// Next implements Client.
func (m *Memory) Next(ctx context.Context, key string, after uint64) (e Entry, err error) {
	err = m.wait(ctx, func() (bool, error) {
		if found, ok := m.entries[key]; ok && (found.Stamp > after || after > m.stamp) {
			e = clone(found)
			return true, nil
		}
		if stamp, ok := m.deleted[key]; ok && stamp > after && after > 0 {
			e = Entry{Key: key, Stamp: stamp}
			return true, nil
		}
		// The store does not remember what became of it; gone it is.
		if _, there := m.entries[key]; !there && after > 0 && (after < m.compacted || after > m.stamp) {
			e = Entry{Key: key, Stamp: m.stamp}
			return true, nil
		}
		return false, nil
	})
	return e, err
}

// Put implements Client.
func (m *Memory) Put(ctx context.Context, key string, value []byte) error {
	if err := CheckValue(key, value); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.write([]Change{{Key: key, Value: value}})
	return nil
}

// write makes changes at one stamp. The caller holds mu.
func (m *Memory) write(changes []Change) {
	m.stamp++
	for _, c := range changes {
		if c.Value == nil {
			if _, there := m.entries[c.Key]; there {
				delete(m.entries, c.Key)
				m.deleted[c.Key] = m.stamp
			}
			continue
		}
		delete(m.deleted, c.Key)
		m.entries[c.Key] = clone(Entry{Key: c.Key, Value: c.Value, Stamp: m.stamp})
	}
	m.tell()
}

// Close implements Client.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.tell()
	}
	return nil
}

// List implements Store.
func (m *Memory) List(ctx context.Context, prefix string) (all []Entry, stamp uint64, err error) {
	err = m.wait(ctx, func() (bool, error) {
		for _, key := range slices.Sorted(maps.Keys(m.entries)) {
			if strings.HasPrefix(key, prefix) {
				all = append(all, clone(m.entries[key]))
			}
		}
		stamp = m.stamp
		return true, ctx.Err()
	})
	return all, stamp, err
}

// NextUnder implements Store.
func (m *Memory) NextUnder(ctx context.Context, prefix string, after uint64) (all []Entry, stamp uint64, err error) {
	err = m.wait(ctx, func() (bool, error) {
		if after < m.compacted || after > m.stamp {
			return false, ErrCompacted
		}
		for key, e := range m.entries {
			if e.Stamp > after && strings.HasPrefix(key, prefix) {
				all = append(all, clone(e))
			}
		}
		for key, at := range m.deleted {
			if at > after && strings.HasPrefix(key, prefix) {
				all = append(all, Entry{Key: key, Stamp: at})
			}
		}
		slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
		stamp = m.stamp
		return len(all) > 0, nil
	})
	return all, stamp, err
}

// Compact forgets changes up to now, as a server does after a while.
func (m *Memory) Compact() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.compacted = m.stamp
	clear(m.deleted)
	m.tell()
}

// Lead implements Store.
func (m *Memory) Lead(ctx context.Context, candidate string) (Term, error) {
	t := &memoryTerm{store: m, candidate: candidate, lost: make(chan struct{})}
	err := m.wait(ctx, func() (bool, error) {
		if m.leader != nil {
			return false, nil
		}
		m.leader, t.seen = t, m.published
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Depose ends the term of whoever leads, without telling: as when a leader is paused for longer than the store waits. What
// it publishes afterwards is fenced.
func (m *Memory) Depose() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leader != nil {
		m.leader = nil
		m.tell()
	}
}

// memoryTerm is a Term.
type memoryTerm struct {
	store     *Memory
	candidate string
	seen      uint64 // stamp of the checkpoint that this term knows
	lost      chan struct{}
	over      bool // guarded by store.mu
}

var _ Term = (*memoryTerm)(nil)

// Checkpoint implements Term.
func (t *memoryTerm) Checkpoint(ctx context.Context) ([]byte, error) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	if t.store.closed {
		return nil, ErrClosed
	}
	t.seen = t.store.published
	return slices.Clone(t.store.checkpoint), ctx.Err()
}

// Publish implements Term.
func (t *memoryTerm) Publish(ctx context.Context, changes []Change, checkpoint []byte) error {
	if err := CheckPublish(changes); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m := t.store
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return ErrClosed
	case m.leader != t || t.seen != m.published:
		t.end()
		return fmt.Errorf("%w: %s", ErrFenced, t.candidate)
	}
	m.write(changes)
	m.checkpoint = slices.Clone(checkpoint)
	m.published = m.stamp
	t.seen = m.stamp
	return nil
}

// Lost implements Term.
func (t *memoryTerm) Lost() <-chan struct{} { return t.lost }

// Resign implements Term.
func (t *memoryTerm) Resign(context.Context) error {
	m := t.store
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leader == t {
		m.leader = nil
		m.tell()
	}
	t.end()
	return nil
}

// end tells that the term is over. The caller holds store.mu.
func (t *memoryTerm) end() {
	if !t.over {
		t.over = true
		close(t.lost)
	}
}

func clone(e Entry) Entry {
	e.Value = append([]byte{}, e.Value...) // never nil: nil means deleted
	return e
}

// CheckValue tells what is wrong with a value that is to be written.
func CheckValue(key string, value []byte) error {
	if len(value) > MaxValueBytes {
		return fmt.Errorf("%s: value of %d bytes is longer than %d", key, len(value), MaxValueBytes)
	}
	return nil
}

// CheckPublish tells what no store would take.
func CheckPublish(changes []Change) error {
	if len(changes) > MaxPublish {
		return fmt.Errorf("%d changes at once are more than %d", len(changes), MaxPublish)
	}
	bytes := 0
	for i, c := range changes {
		if err := CheckValue(c.Key, c.Value); err != nil {
			return err
		}
		if slices.ContainsFunc(changes[:i], func(o Change) bool { return o.Key == c.Key }) {
			return fmt.Errorf("%s: changed twice at once", c.Key)
		}
		bytes += len(c.Key) + len(c.Value)
	}
	if bytes > MaxPublishBytes {
		return fmt.Errorf("changes of %d bytes at once are more than %d", bytes, MaxPublishBytes)
	}
	return nil
}
