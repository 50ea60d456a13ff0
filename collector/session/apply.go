package session

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/record"
	"sonde.example/internal/retry"
)

// replayWaited is how much of the deadline, in percent, is taken to have passed for what is sent again: after a restart
// durable catches up soon, and the agent's spool does not have to hold twice the deadline.
const replayWaited = 80

// Apply implements Store.
func (m *Memory) Apply(ctx context.Context, b *Batch) (enough []uint64, err error) {
	l := m.find(b.Lane)
	if l == nil {
		return nil, ErrFenced
	}
	l.applying.Lock()
	defer l.applying.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	past, err := l.prepare(ctx, b)
	if err != nil {
		return nil, err
	}
	now := m.now()
	l.seen = now
	if b.Sequence <= l.lastSent { // it was here before, or nearly, and has waited then
		now -= m.deadline() * replayWaited / 100
	}
	l.begin(b, past)
	touched := resize(&l.touched, len(b.Updates))
	defer clear(touched)
	for steps := b.Steps(); l.next < steps; {
		if m.pressure(l.agent) >= 1 {
			if l.evict(); m.pressure(l.agent) >= 1 {
				l.tell() // the window is 0 now
				return nil, retry.After(ErrFull, fullDelay)
			}
		}
		l.step(b, touched, past, min(l.next+m.o.StepPackets, steps), now)
	}
	l.finish(b)
	return nil, nil
}

// resize returns a slice of n zero elements, in the room of an older one if it suffices.
func resize(room *[]*state, n int) []*state {
	*room = slices.Grow((*room)[:0], n)[:n]
	return *room
}

// prepare checks that the batch is the next, and returns what is stored of those of its sessions that memory does not
// know but the results may. The lane is unlocked while it asks; then everything is looked at again.
func (l *lane) prepare(ctx context.Context, b *Batch) (past map[uint64]*record.Entry, err error) {
	for {
		if b.Fence != l.fence {
			return nil, ErrFenced
		}
		if b.Sequence != l.received+1+uint64(b.Skipped) || b.Sequence <= l.received {
			return nil, fmt.Errorf("%w: batch %d after %d, %d skipped", ErrOrder, b.Sequence, l.received, b.Skipped)
		}
		ids := l.unknown(b, past)
		if len(ids) == 0 && (b.EndedBelow == 0 || past != nil) {
			return past, nil
		}
		if past == nil {
			past = map[uint64]*record.Entry{}
		}
		l.mu.Unlock()
		err := l.ask(ctx, b, ids, past)
		l.mu.Lock()
		if err != nil {
			return nil, fmt.Errorf("ask the results for sessions: %w", err)
		}
	}
}

// unknown returns the numbers, by id, of the batch's sessions that only the results can know. In the normal case there are
// none: a session that opens in a batch never sent before is new.
func (l *lane) unknown(b *Batch, asked map[uint64]*record.Entry) (ids map[string]uint64) {
	for i := range b.Updates {
		u := &b.Updates[i]
		if l.sessions[u.Number] != nil || u.Opened && b.Sequence > l.lastSent {
			continue
		}
		if _, done := asked[u.Number]; done {
			continue
		}
		if ids == nil {
			ids = map[string]uint64{}
		}
		ids[packet.SessionID(l.id, u.Number, time.Unix(0, u.Counts.Opened))] = u.Number
	}
	return ids
}

// ask fills past with an entry for each id, an empty one for those that the results don't know, and, when the batch ends
// all older sessions, with those that are open in the results.
func (l *lane) ask(ctx context.Context, b *Batch, ids map[string]uint64, past map[uint64]*record.Entry) error {
	names := make([]string, 0, len(ids))
	for id, number := range ids {
		names = append(names, id)
		past[number] = nil
	}
	if len(names) > 0 {
		found, err := l.store.journal.Sessions(ctx, names...)
		if err != nil {
			return err
		}
		for id, stored := range found {
			past[ids[id]] = stored
		}
	}
	if b.EndedBelow == 0 {
		return nil
	}
	open, err := l.stored(ctx)
	for _, r := range open {
		if r.Result.GetNumber() < b.EndedBelow {
			past[r.Result.GetNumber()] = r
		}
	}
	return err
}

// stored returns what the results hold of the lane's sessions that are open there, without heads.
func (l *lane) stored(ctx context.Context) (open []*record.Entry, err error) {
	results, err := l.store.journal.Open(ctx, l.id.Agent, 0)
	for _, r := range results {
		if r.GetEpoch() == l.id.Epoch && r.GetLane() == l.id.Index {
			open = append(open, &record.Entry{Result: r})
		}
	}
	return open, err
}

// begin puts the batch into the journal, or goes on with one that was begun.
func (l *lane) begin(b *Batch, past map[uint64]*record.Entry) {
	if l.half == b.Sequence && l.next > 0 {
		return
	}
	if n := len(l.batches); n > 0 && !l.batches[n-1].whole {
		l.batches[n-1].sequence = b.Sequence // the one begun will not come any more; what it changed counts for this one
	} else {
		l.batches = append(l.batches, batchMark{sequence: b.Sequence})
	}
	l.half, l.next = b.Sequence, 0
	for number, stored := range past {
		if number < b.EndedBelow && stored != nil && l.sessions[number] == nil {
			l.recall(stored)
		}
	}
}

// step does the steps up to end.
func (l *lane) step(b *Batch, touched []*state, past map[uint64]*record.Entry, end int, now time.Duration) {
	place, limits := l.current(), l.store.o.Head
	for ; l.next < end && l.next < len(b.Packets); l.next++ {
		p := &b.Packets[l.next]
		s := touched[p.Update]
		if s == nil {
			s = l.touch(b, &b.Updates[p.Update], past)
			touched[p.Update] = s
		}
		frame := b.Data[p.Offset : p.Offset+p.Captured]
		iface := s.iface
		if p.Interface != b.Updates[p.Update].Interface {
			iface = l.intern(b.Interfaces[p.Interface])
		}
		if s.take(p, frame, iface, limits) {
			l.change(s, place, now)
		}
	}
	for ; l.next < end; l.next++ {
		i := l.next - len(b.Packets)
		if touched[i] == nil {
			touched[i] = l.touch(b, &b.Updates[i], past)
		}
		l.update(touched[i], &b.Updates[i], place, now)
	}
}

// touch finds or makes the state of a session that the batch touches.
func (l *lane) touch(b *Batch, u *Update, past map[uint64]*record.Entry) *state {
	s := l.sessions[u.Number]
	switch stored := past[u.Number]; {
	case s != nil:
	case stored != nil:
		s = l.recall(stored)
		s.iface = l.intern(b.Interfaces[u.Interface])
	default:
		s = &state{
			number: u.Number, key: u.Key, clientHigh: u.ClientHigh, midstream: u.Midstream, continued: u.Continued,
			counts: u.Counts, iface: l.intern(b.Interfaces[u.Interface]),
			gaps: l.row.gaps + uint64(b.Skipped), drops: l.row.counters.GetKernelDropped(), revision: b.ConfigRevision,
		}
		l.keep(s)
	}
	if !s.first.Seen {
		s.first = u.First
	}
	s.grow(u, l.store.o.Head)
	return s
}

// update takes over a session's counts, and hands it over when it is complete.
func (l *lane) update(s *state, u *Update, place uint64, now time.Duration) {
	if u.Counts.newerThan(&s.counts) {
		s.counts = u.Counts
	}
	if bytes := s.bytes(); bytes != s.size {
		l.charge(bytes - s.size)
		s.size = bytes
	}
	version := s.version()
	if s.handed.covers(version) {
		if s.settled.covers(version) {
			l.rest(s)
		}
		return
	}
	l.change(s, place, now)
	if version.ended || version.head > s.handed.head && s.full(l.store.o.Head) {
		l.handOver(s)
	}
}

// finish moves the watermark over the batch.
func (l *lane) finish(b *Batch) {
	if b.EndedBelow > 0 {
		l.end(b.EndedBelow, flowv1.EndReason_END_REASON_AGENT_RESTARTED, l.current())
	}
	l.book(b)
	mark := &l.batches[len(l.batches)-1]
	mark.whole, mark.row = true, l.row
	l.received, l.next, l.gone = b.Sequence, 0, false
	l.advance()
	l.tell()
}

// book counts a batch in the lane's ledger.
func (l *lane) book(b *Batch) {
	r := &l.row
	r.gaps += uint64(b.Skipped)
	if b.Counters == nil {
		r.unsure = true
		return
	}
	packets := uint64(len(b.Packets))
	// What the agent accepted and neither this batch nor one before it brought was in batches rejected or lost.
	missing := b.Counters.GetAccepted() - r.counters.GetAccepted() - packets
	if r.unsure && b.Counters.GetAccepted() >= r.counters.GetAccepted()+packets {
		if lost := b.Spool.GetDropped() + b.Spool.GetReleased() - r.spool.GetDropped() - r.spool.GetReleased(); b.Skipped > 0 {
			missing -= min(missing, lost)
		}
		r.rejected += missing
	}
	r.unsure = false
	r.applied += packets
	r.mismatched += uint64(b.Mismatched)
	for i := range b.Updates {
		if b.Updates[i].Opened {
			r.opened++
		}
	}
	r.counters = proto.CloneOf(b.Counters)
	if b.Spool != nil {
		r.spool = proto.CloneOf(b.Spool)
	}
}
