package spool

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultBytes is a memory spool's bound.
const DefaultBytes = 64 << 20

// entryOverhead is what a batch takes beside its payload, roughly.
const entryOverhead = 128

// Options for NewMemory.
type Options struct {
	// Epoch is the spool's; it must not have been used before.
	Epoch uint64
	Lanes int
	// Bytes is the bound; 0 means DefaultBytes. Batches that are lent count until they are let go, not until they are
	// released.
	Bytes int64
	// Wait makes Append wait for room, for captures that can wait. Otherwise the oldest batch goes at once.
	Wait bool
}

// Memory is a spool in memory. What it holds when its process dies is lost.
type Memory struct {
	wait  bool
	epoch uint64
	pool  pool

	mu      sync.Mutex // guards what follows
	limit   int64
	lanes   []lane
	bytes   int64
	clock   uint64        // counts batches over all lanes, to find the oldest
	changed chan struct{} // closed at the next change; nil while nobody asked
	closed  bool
}

var _ Spool = (*Memory)(nil)

// lane is a queue of batches with consecutive sequences; entries[0] is LaneState.First.
type lane struct {
	entries []entry // a queue in a slice: appended behind, cut off in front
	state   LaneState
	// doubtful batches were let go after they had been lent and before they were received: the collector may have them.
	// They are pending until a mark tells that it has, or a reader passes over them, which tells that it has not. They
	// come before the entries, in order.
	doubtful []doubtful
}

type doubtful struct {
	sequence uint64
	packets  int
}

// entry is a batch. One that was rejected leaves a hole, without a payload, so that the sequences stay consecutive.
type entry struct {
	payload *payload
	packets int
	order   uint64
	at      int64
	lent    bool
}

// NewMemory returns an empty spool.
func NewMemory(o Options) *Memory {
	m := &Memory{limit: o.Bytes, wait: o.Wait, epoch: o.Epoch, lanes: make([]lane, o.Lanes)}
	if m.limit == 0 {
		m.limit = DefaultBytes
	}
	for i := range m.lanes {
		m.lanes[i].state.First = 1
	}
	return m
}

// Append implements Spool.
func (m *Memory) Append(ctx context.Context, lane uint32, packets int, parts ...[]byte) (uint64, error) {
	size := int64(entryOverhead)
	for _, part := range parts {
		size += int64(len(part))
	}
	payload := m.pool.get(parts) // before the lock: this is the copy
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.check(lane)
	for err == nil && m.wait && size <= m.limit && m.bytes+size > m.limit && ctx.Err() == nil {
		m.waitForChange(ctx)
		err = m.check(lane)
	}
	if err == nil && size > m.limit {
		err = fmt.Errorf("%w: %d of %d bytes", ErrTooLarge, size, m.limit)
	}
	if err != nil {
		payload.release()
		return 0, err
	}
	for m.bytes+size > m.limit {
		m.letGoOldest()
	}
	l := &m.lanes[lane]
	m.clock++
	l.entries = append(l.entries, entry{payload: payload, packets: packets, order: m.clock, at: time.Now().UnixNano()})
	l.state.Last++
	l.state.PendingBatches++
	l.state.PendingPackets += uint64(packets)
	m.bytes += size
	m.tell()
	return l.state.Last, nil
}

// Next implements Spool.
func (m *Memory) Next(_ context.Context, lane uint32, after uint64) (Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(lane); err != nil {
		return Entry{}, false, err
	}
	e, ok := m.lanes[lane].after(after)
	return e, ok, nil
}

// after lends the oldest batch after a sequence. Who asks for what was let go wants it again, or for the first time: it was
// not received, and never will be.
func (l *lane) after(after uint64) (Entry, bool) {
	for n := len(l.doubtful); n > 0 && l.doubtful[n-1].sequence > after; n-- {
		l.resolve(n-1, &l.state.Dropped)
	}
	from := max(after+1, l.state.First)
	for at := from - l.state.First; at < uint64(len(l.entries)); at++ {
		e := &l.entries[at]
		if e.payload == nil {
			continue
		}
		sequence := l.state.First + at
		skipped := sequence - after - 1
		e.payload.refs.Add(1)
		e.lent = true
		return Entry{
			Sequence: sequence, Skipped: uint32(min(skipped, math.MaxUint32)), Packets: e.packets,
			Payload: e.payload.bytes, Losses: l.state.Losses, release: e.payload.release,
		}, true
	}
	return Entry{}, false
}

// Mark implements Spool.
func (m *Memory) Mark(_ context.Context, lane uint32, received, durable uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(lane); err != nil {
		return err
	}
	l := &m.lanes[lane]
	durable = min(durable, l.state.Last)
	received = min(max(received, durable), l.state.Last)
	if received <= l.state.Received && durable <= l.state.Durable {
		return nil
	}
	for len(l.doubtful) > 0 && l.doubtful[0].sequence <= received {
		l.resolve(0, &l.state.Released)
	}
	for at := max(l.state.Received+1, l.state.First); at <= received; at++ {
		l.settle(&l.entries[at-l.state.First])
	}
	l.state.Received = max(l.state.Received, received)
	l.state.Durable = max(l.state.Durable, durable)
	for len(l.entries) > 0 && l.state.First <= l.state.Durable {
		if e := &l.entries[0]; e.payload != nil {
			l.state.DurablePackets += uint64(e.packets)
		}
		m.forget(l)
	}
	m.tell()
	return nil
}

// Reject implements Spool.
func (m *Memory) Reject(_ context.Context, lane uint32, sequence uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(lane); err != nil {
		return err
	}
	l := &m.lanes[lane]
	if at := slices.IndexFunc(l.doubtful, func(d doubtful) bool { return d.sequence == sequence }); at >= 0 {
		l.resolve(at, &l.state.Rejected)
		m.tell()
	}
	if sequence < l.state.First || sequence > l.state.Last {
		return nil
	}
	e := &l.entries[sequence-l.state.First]
	if e.payload == nil {
		return nil
	}
	l.state.Rejected += uint64(e.packets)
	if sequence > l.state.Received {
		l.settle(e)
	}
	m.bytes -= e.size()
	e.payload.release()
	e.payload = nil
	m.tell()
	return nil
}

// Resize implements Spool; 0 means DefaultBytes.
func (m *Memory) Resize(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit = bytes; m.limit == 0 {
		m.limit = DefaultBytes
	}
	if m.closed {
		return
	}
	for m.bytes > m.limit {
		m.letGoOldest()
	}
	m.tell()
}

// State implements Spool.
func (m *Memory) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := State{Epoch: m.epoch, Bytes: m.bytes, Limit: m.limit, Lanes: make([]LaneState, len(m.lanes))}
	for i := range m.lanes {
		l := &m.lanes[i]
		s.Lanes[i] = l.state
		if len(l.entries) > 0 {
			s.Lanes[i].OldestUnixNano = l.entries[0].at
		}
	}
	return s
}

// Changed implements Spool.
func (m *Memory) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.change()
}

// Close implements Spool.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		for i := range m.lanes {
			for len(m.lanes[i].entries) > 0 {
				m.forget(&m.lanes[i])
			}
		}
		m.tell()
	}
	return nil
}

func (m *Memory) check(lane uint32) error {
	if m.closed {
		return ErrClosed
	}
	if uint64(lane) >= uint64(len(m.lanes)) {
		return fmt.Errorf("%w: %d of %d", ErrLane, lane, len(m.lanes))
	}
	return nil
}

// letGoOldest makes room. There is a batch, for one that fits alone is being appended.
func (m *Memory) letGoOldest() {
	oldest := -1
	for i := range m.lanes {
		if entries := m.lanes[i].entries; len(entries) > 0 && (oldest < 0 || entries[0].order < m.lanes[oldest].entries[0].order) {
			oldest = i
		}
	}
	l := &m.lanes[oldest]
	if e := &l.entries[0]; e.payload != nil {
		switch {
		case l.state.First <= l.state.Received:
			l.state.Released += uint64(e.packets)
		case e.lent:
			l.doubtful = append(l.doubtful, doubtful{l.state.First, e.packets})
		default:
			l.state.Dropped += uint64(e.packets)
			l.settle(e)
		}
	}
	m.forget(l)
}

// resolve counts a doubtful batch as what became of it.
func (l *lane) resolve(at int, count *uint64) {
	packets := uint64(l.doubtful[at].packets)
	*count += packets
	l.state.PendingBatches--
	l.state.PendingPackets -= packets
	l.doubtful = slices.Delete(l.doubtful, at, at+1)
}

// settle takes a batch out of those that are pending.
func (l *lane) settle(e *entry) {
	if e.payload != nil {
		l.state.PendingBatches--
		l.state.PendingPackets -= uint64(e.packets)
	}
}

// forget cuts off a lane's first entry.
func (m *Memory) forget(l *lane) {
	e := &l.entries[0]
	if e.payload != nil {
		m.bytes -= e.size()
		e.payload.release()
	}
	*e = entry{}
	l.entries = l.entries[1:]
	l.state.First++
}

func (e *entry) size() int64 { return int64(len(e.payload.bytes)) + entryOverhead }

// change returns the channel that the next change closes.
func (m *Memory) change() <-chan struct{} {
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return m.changed
}

func (m *Memory) tell() {
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// waitForChange lets go of the lock while it waits.
func (m *Memory) waitForChange(ctx context.Context) {
	changed := m.change()
	m.mu.Unlock()
	select {
	case <-changed:
	case <-ctx.Done():
	}
	m.mu.Lock()
}

// payload is a batch's bytes, held by the spool and by whoever it was lent to.
type payload struct {
	bytes []byte
	refs  atomic.Int32
	pool  *pool
}

func (p *payload) release() {
	if p.refs.Add(-1) == 0 {
		p.pool.put(p)
	}
}

// pool keeps payloads for reuse. Most batches are full, and so about equally long; small ones are not worth keeping.
type pool struct{ kept sync.Pool }

const (
	smallestKept = 64 << 10
	largestKept  = 1 << 20
)

func (p *pool) get(parts [][]byte) *payload {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	var fresh *payload
	if size >= smallestKept && size <= largestKept {
		if kept, ok := p.kept.Get().(*payload); ok && cap(kept.bytes) >= size {
			fresh = kept
		}
	}
	if fresh == nil {
		fresh = &payload{bytes: make([]byte, 0, size+size/8), pool: p} // the next one is not quite as long
	}
	fresh.refs.Store(1)
	fresh.bytes = fresh.bytes[:0]
	for _, part := range parts {
		fresh.bytes = append(fresh.bytes, part...)
	}
	return fresh
}

func (p *pool) put(used *payload) {
	if cap(used.bytes) >= smallestKept {
		p.kept.Put(used)
	}
}
