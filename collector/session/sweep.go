package session

import (
	"context"
	"time"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
)

// NextMarks implements Store.
func (m *Memory) NextMarks(ctx context.Context, id packet.Lane, seen *ingestv1.Ack) (*ingestv1.Ack, error) {
	l := m.find(id)
	if l == nil {
		return nil, ErrFenced
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.present++
	defer func() {
		l.present--
		l.seen = m.now()
	}()
	for {
		marks, changed := l.marks(), l.changed
		l.shut = marks.GetWindowBytes() == 0
		if seen == nil || marks.GetReceived() != seen.GetReceived() || marks.GetDurable() != seen.GetDurable() ||
			marks.GetWindowBytes() != seen.GetWindowBytes() {
			return marks, nil
		}
		l.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		case <-m.shutdown:
			err = ErrClosed
		}
		l.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// Due implements Store.
func (m *Memory) Due(_ context.Context, limit int) ([]Overdue, error) {
	var due []Overdue
	for _, l := range m.all("") {
		if limit <= 0 {
			break
		}
		l.mu.Lock()
		if numbers, away := l.due(limit); len(numbers) > 0 || away {
			due = append(due, Overdue{Lane: l.id, Numbers: numbers})
			limit -= max(1, len(numbers))
		}
		l.mu.Unlock()
	}
	return due, nil
}

// scanFactor bounds how many sessions are looked at for each that is wanted, when those of one packet are searched.
const scanFactor = 8

// due returns sessions that are due, oldest first, or tells that the agent has been away too long.
func (l *lane) due(limit int) (numbers []uint64, away bool) {
	now := l.store.now()
	if l.lost(now) {
		return nil, true
	}
	at := l.schedule(now)
	scan := limit * scanFactor
	for s := l.dirty.front; s != nil && len(numbers) < limit && scan > 0; s = l.dirty.after(s) {
		if at.due(s) {
			numbers = append(numbers, s.number)
		} else if now-s.dirtyAt < singleDeadline || at.pressure <= emergency {
			break // none behind it is due either
		}
		scan--
	}
	return numbers, false
}

// lost tells whether the agent has stayed away for so long that its sessions end.
func (l *lane) lost(now time.Duration) bool {
	return l.present == 0 && !l.gone && !l.ending && now-l.seen >= l.store.o.Away && len(l.sessions)+l.away > 0
}

// schedule is what is due now.
type schedule struct {
	now, deadline time.Duration
	pressure      float64
}

func (l *lane) schedule(now time.Duration) schedule {
	return schedule{now: now, deadline: l.store.deadline(), pressure: l.store.pressure(l.agent)}
}

func (at schedule) due(s *state) bool {
	age := at.now - s.dirtyAt
	return age >= at.deadline || at.pressure > critical ||
		at.pressure > emergency && s.heldPackets() <= 1 && age >= singleDeadline
}

// Sweep implements Store.
func (m *Memory) Sweep(ctx context.Context, sessions Overdue) (moved int, err error) {
	l := m.find(sessions.Lane)
	if l == nil {
		return 0, nil
	}
	l.mu.Lock()
	lost := l.lost(m.now())
	l.mu.Unlock()
	if lost {
		return m.endLost(ctx, l)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.schedule(m.now())
	for _, number := range sessions.Numbers {
		if s := l.sessions[number]; s != nil && s.links[byAge].in == &l.dirty && at.due(s) {
			l.handOver(s)
			moved++
		}
	}
	return moved, nil
}

// endLost ends the sessions of a lane whose agent has stayed away. The lane stays: the agent may come back, and counts
// that come later still correct a result.
func (m *Memory) endLost(ctx context.Context, l *lane) (moved int, err error) {
	l.applying.Lock()
	defer l.applying.Unlock()
	open, err := l.stored(ctx)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.lost(m.now()) {
		return 0, nil
	}
	l.gone = true
	l.recallOpen(open)
	return l.end(0, flowv1.EndReason_END_REASON_AGENT_LOST, 0), nil
}

// Sweeper moves sessions that are due to the outbox. Any number of sweepers may work on a store.
type Sweeper struct {
	store Store
	fail  func(error)
}

const (
	sweepInterval = 100 * time.Millisecond
	sweepLimit    = 1024 // sessions a look; a busy store is looked at again at once
)

// NewSweeper returns a sweeper for a store. Errors of the store, which the next round gets over, go to fail.
func NewSweeper(store Store, fail func(error)) *Sweeper { return &Sweeper{store, fail} }

// Run sweeps every 100 ms until ctx ends, and returns nil.
func (s *Sweeper) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for {
			moved, err := s.sweep(ctx)
			if err != nil && ctx.Err() == nil {
				s.fail(err)
			}
			if err != nil || moved < sweepLimit {
				break
			}
		}
	}
}

func (s *Sweeper) sweep(ctx context.Context) (moved int, err error) {
	due, err := s.store.Due(ctx, sweepLimit)
	if err != nil {
		return 0, err
	}
	for _, sessions := range due {
		n, err := s.store.Sweep(ctx, sessions)
		if err != nil {
			return moved, err
		}
		moved += n
	}
	return moved, nil
}
