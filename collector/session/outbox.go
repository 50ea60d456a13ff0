package session

import (
	"context"
	"time"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
)

// Take implements Outbox.
func (m *Memory) Take(ctx context.Context, lease time.Duration, limit int) ([]*flowv1.Session, error) {
	// Who takes looks after expired leases, often enough beside their length.
	timer := time.NewTicker(max(10*time.Millisecond, min(lease/8, time.Second)))
	defer timer.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var taken []*flowv1.Session
		for len(taken) < limit {
			l := m.nextReady()
			if l == nil {
				break
			}
			taken = l.takeReady(taken, lease, limit)
		}
		if len(taken) > 0 {
			return taken, nil
		}
		select {
		case <-ctx.Done():
		case <-m.shutdown:
			return nil, ErrClosed
		case <-m.hand:
		case <-timer.C:
			m.lendAgain()
		}
	}
}

// nextReady returns the lane whose turn it is.
func (m *Memory) nextReady() *lane {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.ready) == 0 {
		return nil
	}
	l := m.ready[0]
	m.ready[0] = nil
	m.ready = m.ready[1:]
	if len(m.ready) > 0 {
		token(m.hand) // another taker may go on
	}
	return l
}

func (l *lane) takeReady(taken []*flowv1.Session, lease time.Duration, limit int) []*flowv1.Session {
	now, wall := l.store.now(), time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queued = false
	for len(taken) < limit && l.ready.front != nil {
		s := l.ready.front
		if s.links[byAge].in == &l.dirty { // it changed while it waited: what goes out is the newest
			l.handOver(s)
		}
		taken = append(taken, l.message(s, wall))
		s.lent, s.lentUntil = s.handed, now+lease
		l.lent.push(s)
	}
	l.offer()
	return taken
}

// lendAgain makes ready what was taken and not confirmed in time.
func (m *Memory) lendAgain() {
	for _, l := range m.all("") {
		now := m.now()
		l.mu.Lock()
		for s := l.lent.front; s != nil; {
			next := l.lent.after(s)
			if s.lentUntil <= now {
				l.ready.push(s)
			}
			s = next
		}
		l.offer()
		l.mu.Unlock()
	}
}

// Confirm implements Outbox.
func (m *Memory) Confirm(_ context.Context, taken ...*flowv1.Session) error {
	m.each(taken, func(l *lane, s *state, message *flowv1.Session) {
		v := versionOf(message)
		if len(message.GetHead().GetCaptured()) > 0 {
			s.confirmed = max(s.confirmed, v.head)
		}
		if v.covers(s.handed) && s.confirmed >= s.handed.head {
			s.leave(byOutbox)
		}
	})
	return nil
}

// Settle implements Outbox.
func (m *Memory) Settle(_ context.Context, stored ...*flowv1.Session) error {
	m.each(stored, func(l *lane, s *state, message *flowv1.Session) {
		v := versionOf(message)
		if len(message.GetHead().GetCaptured()) == 0 {
			v.head = s.settled.head // counts only: of the head it tells nothing
		}
		l.settle(s, v)
	})
	return nil
}

// each calls f for each of the sessions that is in memory, with its lane locked, and afterwards moves the lanes' marks.
func (m *Memory) each(sessions []*flowv1.Session, f func(*lane, *state, *flowv1.Session)) {
	var l *lane
	leave := func() {
		if l != nil {
			l.advance()
			l.mu.Unlock()
		}
	}
	var id packet.Lane
	for _, message := range sessions {
		if next := laneOf(message); l == nil || next != id {
			leave()
			id = next
			if l = m.find(id); l != nil {
				l.mu.Lock()
			}
		}
		if l == nil {
			continue
		}
		if s := l.sessions[message.GetNumber()]; s != nil {
			f(l, s, message)
		}
	}
	leave()
}

func laneOf(s *flowv1.Session) packet.Lane {
	return packet.Lane{Agent: s.GetAgent(), Epoch: s.GetEpoch(), Index: s.GetLane()}
}
