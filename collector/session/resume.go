package session

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/record"
)

// Resume implements Store.
func (m *Memory) Resume(ctx context.Context, id packet.Lane, hello *ingestv1.Hello) (*ingestv1.Welcome, uint64, error) {
	l := m.find(id)
	if l == nil {
		row, err := m.row(ctx, id)
		if err != nil {
			return nil, 0, err
		}
		l = m.add(id, row)
	}
	if err := m.endOthers(ctx, id, hello.GetLost()); err != nil {
		return nil, 0, err
	}
	l.applying.Lock()
	defer l.applying.Unlock()
	l.mu.Lock()
	l.fence++
	l.seen, l.gone, l.ending = m.now(), false, false
	resume := max(l.received+1, min(hello.GetFirstAvailableSequence(), hello.GetLastDurableSequence()+1))
	if resume > l.received+1 { // durable once: at another collector, or forgotten by us
		l.received, l.next = resume-1, 0
		l.row.elsewhere = max(l.row.elsewhere, hello.GetDurablePackets()-min(hello.GetDurablePackets(), l.row.applied))
		l.row.unsure = false
		l.advance()
	}
	l.lastSent = max(l.lastSent, hello.GetLastSentSequence())
	fence, window, entry := l.fence, m.window(l), l.entry(&l.settledRow, l.settled, l.settled)
	l.mu.Unlock()
	// From the first batch on the results may hold sessions of this lane. The row tells the next process of it.
	if err := m.journal.PutLedger(ctx, entry); err != nil {
		return nil, 0, fmt.Errorf("keep the lane's row: %w", err)
	}
	return &ingestv1.Welcome{ResumeSequence: resume, WindowBytes: window}, fence, nil
}

// row finds a lane in the ledger; nil when it is new.
func (m *Memory) row(ctx context.Context, id packet.Lane) (*fleetv1.LedgerEntry, error) {
	rows, err := m.journal.Ledger(ctx, id.Agent)
	if err != nil {
		return nil, fmt.Errorf("read the lane's row: %w", err)
	}
	for _, row := range rows {
		if row.GetEpoch() == id.Epoch && row.GetLane() == id.Index {
			return row, nil
		}
	}
	return nil, nil //nolint:nilnil // a lane without a row is new
}

// endOthers ends the sessions of the agent's other epochs, and fences their lanes.
func (m *Memory) endOthers(ctx context.Context, id packet.Lane, lost []*ingestv1.LostLane) error {
	for _, lane := range lost { // a lane of which no batch came has no sessions, but what it counted is lost
		other := packet.Lane{Agent: id.Agent, Epoch: lane.GetEpoch(), Index: lane.GetLane()}
		if other.Epoch == id.Epoch || m.find(other) != nil {
			continue
		}
		row, err := m.row(ctx, other)
		if err != nil {
			return err
		}
		if !row.GetClosed() {
			m.add(other, row)
		}
	}
	for _, l := range m.all(id.Agent) {
		if l.id.Epoch == id.Epoch {
			continue
		}
		if err := m.endLane(ctx, l, lost); err != nil {
			return err
		}
	}
	return nil
}

func (m *Memory) endLane(ctx context.Context, l *lane, lost []*ingestv1.LostLane) error {
	l.applying.Lock()
	defer l.applying.Unlock()
	open, err := l.stored(ctx)
	if err != nil {
		return fmt.Errorf("ask the results for open sessions: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fence++
	l.ending = true
	for _, other := range lost {
		if other.GetEpoch() == l.id.Epoch && other.GetLane() == l.id.Index {
			l.crashed = true
			if other.GetCounters().GetSeen() > l.row.counters.GetSeen() {
				l.row.counters = proto.CloneOf(other.GetCounters())
			}
		}
	}
	l.recallOpen(open)
	if l.end(0, flowv1.EndReason_END_REASON_AGENT_RESTARTED, 0) > 0 {
		l.crashed = true
	}
	m.note(l)
	return nil
}

// recallOpen brings sessions into memory that are open in the results.
func (l *lane) recallOpen(open []*record.Entry) {
	for _, stored := range open {
		if l.sessions[stored.Result.GetNumber()] == nil {
			l.recall(stored)
		}
	}
	l.away = 0
}

// end ends the lane's sessions below a number, all when it is 0, and hands them over.
func (l *lane) end(below uint64, why flowv1.EndReason, place uint64) (ended int) {
	now := l.store.now()
	for number, s := range l.sessions {
		if s.counts.Ended || below > 0 && number >= below {
			continue
		}
		s.counts.Ended, s.counts.EndReason = true, why
		l.change(s, place, now)
		l.handOver(s)
		ended++
	}
	return ended
}

// closeLane closes the ledger's row of a lane that is over, once all of its sessions are settled, and forgets it.
func (m *Memory) closeLane(ctx context.Context, l *lane) error {
	l.mu.Lock()
	done := l.ending && len(l.sessions) == 0
	entry := l.entry(&l.row, l.received, l.received)
	crashed := l.crashed
	l.mu.Unlock()
	if !done {
		return nil
	}
	if crashed {
		row, err := m.row(ctx, l.id)
		if err != nil {
			return err
		}
		entry.LostCrash = lostCrash(entry, row.GetStoredPackets())
		knownFromResults(entry, row)
	}
	entry.Closed = true
	if err := m.journal.PutLedger(ctx, entry); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	l.over = true
	if l.ending { // its agent has not come back to it meanwhile
		delete(m.lanes, l.id)
	}
	return nil
}

// knownFromResults completes the books of a lane whose agent was killed, and whose collector was killed too: what that one
// had applied behind the durable mark is in no row, but its committed results tell of it.
func knownFromResults(e, row *fleetv1.LedgerEntry) {
	away := e.GetApplied() + e.GetRejected() + e.GetSpool().GetDropped() + e.GetSpool().GetReleased() + e.GetLostCrash()
	e.Applied += e.GetCounters().GetAccepted() - min(e.GetCounters().GetAccepted(), away)
	e.OpenedSessions = max(e.GetOpenedSessions(), row.GetStoredSessions())
}

// lostCrash is what the agent had accepted or counted, and neither the sessions' counts nor its spool's losses tell of.
func lostCrash(e *fleetv1.LedgerEntry, stored uint64) uint64 {
	known := stored + e.GetSpool().GetDropped()
	told := e.GetCounters().GetAccepted() + e.GetCounters().GetCut()
	return told - min(told, known)
}
