package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/retry"
)

// Options are what code sets of a memory store. Zero fields mean the defaults.
type Options struct {
	Log     *slog.Logger
	Walkers *packet.Walkers // read stored heads after a restart; the Assembler's

	Head     packet.HeadLimits // packet.DefaultHeadLimits
	Deadline time.Duration     // from the first change to the hand-over; 10 s
	Away     time.Duration     // how long an agent may stay away before its sessions end; an hour

	Bytes      int64  // for all sessions; 256 MiB
	AgentBytes int64  // for the sessions of one agent; half of Bytes
	Window     uint64 // bytes of batches that an agent may have under way; 8 MiB

	StepPackets int // steps of a batch between two looks at the budget; 256
}

func (o *Options) setDefaults() {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	o.Walkers = cmp.Or(o.Walkers, packet.NewWalkers(packet.DefaultOptions()))
	o.Head = cmp.Or(o.Head, packet.DefaultHeadLimits())
	o.Deadline = cmp.Or(o.Deadline, 10*time.Second)
	o.Away = cmp.Or(o.Away, time.Hour)
	o.Bytes = cmp.Or(o.Bytes, 256<<20)
	o.AgentBytes = cmp.Or(o.AgentBytes, o.Bytes/2)
	o.Window = cmp.Or(o.Window, 8<<20)
	o.StepPackets = cmp.Or(o.StepPackets, 256)
}

const (
	// housekeeping is how often memory is let go of, and windows looked at again.
	housekeeping = 100 * time.Millisecond
	// journalPause lies between two commits of marks, so that they don't take the database from the results.
	journalPause = 25 * time.Millisecond
	// fullDelay is what a refused agent waits; by then the sweeper has been by twice.
	fullDelay = 250 * time.Millisecond

	// When memory gets scarce, in parts of a budget: above emergency, sessions that need not be in memory leave it and
	// sessions of one packet are due after a second; above critical the oldest are due at once; above closing the
	// window is 0; at the budget itself Apply refuses.
	emergency, critical, closing = 0.80, 0.90, 0.95
	singleDeadline               = time.Second
)

// Memory is Store, Outbox and Ledger of a single collector. It dies with its process, and the journal is what it leaves
// behind: a batch is durable once every change it made is settled and the journal has the lane's row.
//
// Locks, in this order: lane.applying, lane.mu, Memory.mu. The journal is never asked with the latter two held.
type Memory struct {
	o       Options
	journal Journal
	log     *slog.Logger
	start   time.Time // its monotonic part is the store's clock
	limits  limits    // what SetDeadline and SetBytes change
	used    atomic.Int64

	mu       sync.Mutex // guards what follows
	lanes    map[packet.Lane]*lane
	agents   map[string]*agent
	ready    []*lane // whose outbox has something ready, in turn
	moved    []*lane // whose durable mark may move, or that may be closed
	closed   bool
	hand     chan struct{} // has a token while ready is not empty
	wake     chan struct{} // has a token while moved is not empty
	shutdown chan struct{} // closed by Close
}

// agent is what the lanes of one agent share.
type agent struct {
	used atomic.Int64
}

var (
	_ Store  = (*Memory)(nil)
	_ Outbox = (*Memory)(nil)
	_ Ledger = (*Memory)(nil)
)

// OpenMemory returns a store that goes on from what the journal knows. Its Run must run for durable to move.
func OpenMemory(ctx context.Context, o Options, journal Journal) (*Memory, error) {
	o.setDefaults()
	m := &Memory{
		o: o, journal: journal, log: o.Log.With("component", "session"), start: time.Now(),
		lanes: map[packet.Lane]*lane{}, agents: map[string]*agent{},
		limits: newLimits(&o), hand: make(chan struct{}, 1), wake: make(chan struct{}, 1), shutdown: make(chan struct{}),
	}
	rows, err := journal.Ledger(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	away := map[packet.Lane]int{} // sessions that are open, but not in memory
	seen := map[string]bool{}
	for _, row := range rows {
		if row.GetClosed() {
			continue
		}
		m.add(packet.Lane{Agent: row.GetAgent(), Epoch: row.GetEpoch(), Index: row.GetLane()}, row)
		if seen[row.GetAgent()] {
			continue
		}
		seen[row.GetAgent()] = true
		results, err := journal.Open(ctx, row.GetAgent(), 0)
		if err != nil {
			return nil, fmt.Errorf("read open sessions: %w", err)
		}
		for _, r := range results {
			away[packet.Lane{Agent: r.GetAgent(), Epoch: r.GetEpoch(), Index: r.GetLane()}]++
		}
	}
	for id, l := range m.lanes {
		l.away = away[id]
	}
	return m, nil
}

// now is the store's clock: monotonic, since it was opened.
func (m *Memory) now() time.Duration { return time.Since(m.start) }

// add makes a lane, from its row in the ledger if there is one.
func (m *Memory) add(id packet.Lane, row *fleetv1.LedgerEntry) *lane {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.lanes[id]; l != nil {
		return l
	}
	if m.agents[id.Agent] == nil {
		m.agents[id.Agent] = &agent{}
	}
	l := newLane(m, id, m.agents[id.Agent], row)
	m.lanes[id] = l
	return l
}

func (m *Memory) find(id packet.Lane) *lane {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lanes[id]
}

// all returns the lanes of an agent, of all when it is empty, in order.
func (m *Memory) all(agent string) []*lane {
	m.mu.Lock()
	var lanes []*lane
	for id, l := range m.lanes {
		if agent == "" || id.Agent == agent {
			lanes = append(lanes, l)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(lanes, func(a, b *lane) int {
		return cmp.Or(cmp.Compare(a.id.Agent, b.id.Agent), cmp.Compare(a.id.Epoch, b.id.Epoch), cmp.Compare(a.id.Index, b.id.Index))
	})
	return lanes
}

// Ledger implements Ledger.
func (m *Memory) Ledger(_ context.Context, agent string) ([]*fleetv1.LedgerEntry, error) {
	lanes := m.all(agent)
	entries := make([]*fleetv1.LedgerEntry, len(lanes))
	for i, l := range lanes {
		l.mu.Lock()
		entries[i] = l.entry(&l.row, l.received, l.durable)
		entries[i].PendingSessions = uint64(len(l.sessions) + l.away)
		l.mu.Unlock()
	}
	return entries, nil
}

// Usage tells how full the store is.
type Usage struct {
	Sessions int   // in memory
	Outbox   int   // of these, ready or lent
	Bytes    int64 // that they take
	// OldestDirty is the age of the oldest change that was not handed over.
	OldestDirty time.Duration
}

// Usage returns how full the store is now.
func (m *Memory) Usage() (u Usage) {
	now := m.now()
	for _, l := range m.all("") {
		l.mu.Lock()
		u.Sessions += len(l.sessions)
		u.Outbox += l.ready.n + l.lent.n
		if oldest := l.dirty.front; oldest != nil {
			u.OldestDirty = max(u.OldestDirty, now-oldest.dirtyAt)
		}
		l.mu.Unlock()
	}
	u.Bytes = m.used.Load()
	return u
}

// pressure is how much of the scarcer budget is used.
func (m *Memory) pressure(a *agent) float64 {
	return max(float64(m.used.Load())/float64(m.limits.bytes.Load()), float64(a.used.Load())/float64(m.limits.agentBytes.Load()))
}

// Close makes every waiting call return ErrClosed. It must come after Run has returned.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.shutdown)
	}
	return nil
}

// Run commits marks to the journal as results settle, and lets go of memory. When ctx ends it does so once more, for what
// was settled until then. It returns nil.
func (m *Memory) Run(ctx context.Context) error {
	ticker := time.NewTicker(housekeeping)
	defer ticker.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := m.commit(last); err != nil {
				m.log.Warn("last marks not kept, agents will send again what was settled", "err", err)
			}
			return nil
		case <-ticker.C:
			m.relieve()
			continue
		case <-m.wake:
		}
		pause := journalPause
		switch err := m.commit(ctx); {
		case err == nil:
			failures = 0
		case ctx.Err() == nil:
			failures++
			pause = retry.Policy{Initial: time.Second}.Wait(failures)
			m.log.Warn("marks not kept, durable stands still", "err", err)
		}
		if err := retry.Sleep(ctx, pause); err != nil && !errors.Is(err, ctx.Err()) {
			return err
		}
	}
}

// note puts a lane where commit finds it.
func (m *Memory) note(l *lane) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !l.noted {
		l.noted = true
		m.moved = append(m.moved, l)
	}
	token(m.wake)
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // there is one already
	}
}

// commit writes the rows of lanes whose batches have settled, and then lets the marks be seen.
func (m *Memory) commit(ctx context.Context) error {
	m.mu.Lock()
	lanes := m.moved
	m.moved = nil
	for _, l := range lanes {
		l.noted = false
	}
	m.mu.Unlock()
	err := m.commitLanes(ctx, lanes)
	if err != nil {
		for _, l := range lanes {
			m.note(l)
		}
	}
	return err
}

func (m *Memory) commitLanes(ctx context.Context, lanes []*lane) error {
	var entries []*fleetv1.LedgerEntry
	for _, l := range lanes {
		l.mu.Lock()
		if l.settled > l.durable {
			entries = append(entries, l.entry(&l.settledRow, l.settled, l.settled))
		}
		l.mu.Unlock()
	}
	if len(entries) > 0 {
		if err := m.journal.PutLedger(ctx, entries...); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if l := m.find(packet.Lane{Agent: e.GetAgent(), Epoch: e.GetEpoch(), Index: e.GetLane()}); l != nil {
			l.mu.Lock()
			l.durable = max(l.durable, e.GetDurableSequence())
			l.tell()
			l.mu.Unlock()
		}
	}
	for _, l := range lanes {
		if err := m.closeLane(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// relieve lets sessions leave memory that can come back from the results, when memory is scarce, and opens windows that
// were shut.
func (m *Memory) relieve() {
	for _, l := range m.all("") {
		l.mu.Lock()
		if m.pressure(l.agent) > emergency {
			l.evict()
		}
		if l.shut && m.window(l) > 0 {
			l.tell()
		}
		l.mu.Unlock()
	}
}

func (m *Memory) window(l *lane) uint64 {
	if m.pressure(l.agent) > closing {
		return 0
	}
	return m.o.Window
}
