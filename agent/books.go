package agent

import (
	"sync"

	"google.golang.org/protobuf/proto"

	"sonde.example/agent/cut"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
)

// Ledger is the agent's side of the conservation law.
type Ledger struct {
	Epoch uint64
	Lanes []LaneLedger
	// OpenSessions are in the table of open sessions.
	OpenSessions int
}

// LaneLedger is one lane's part of a Ledger, as of its newest batch.
type LaneLedger struct {
	Counters *ingestv1.Counters
	Spool    *ingestv1.SpoolCounters
	// Sequences: the last one given, and the collector's marks.
	Given, Received, Durable uint64
	// Pending packets were accepted and no collector has received them; after Run they are lost.
	Pending uint64
}

// Residual returns what the law leaves over; 0 unless there is a bug.
func (l *LaneLedger) Residual() int64 {
	c := l.Counters
	return int64(c.GetSeen()) - int64(c.GetFiltered()+c.GetNonIp()+c.GetUndecodable()+c.GetFragUnmatched()+
		c.GetDup()+c.GetCut()+c.GetAccepted())
}

// Pending returns the packets of all lanes that no collector has received.
func (l *Ledger) Pending() uint64 {
	var sum uint64
	for i := range l.Lanes {
		sum += l.Lanes[i].Pending
	}
	return sum
}

// books hold the counters as of the newest batch, for those who do not own them: metrics, Ledger, the state file.
type books struct {
	state *stateFile // nil without --state

	mu       sync.Mutex // guards what follows
	counters []*ingestv1.Counters
	open     int
}

func newBooks(lanes int, state *stateFile) *books {
	b := &books{state: state}
	for range lanes {
		b.counters = append(b.counters, new(ingestv1.Counters))
	}
	return b
}

// enter takes over the counters as they stand.
func (b *books) enter(lanes []cut.Lane, open int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range lanes {
		proto.Reset(b.counters[i])
		proto.Merge(b.counters[i], lanes[i].Counters)
	}
	b.open = open
	if b.state != nil {
		b.state.write(b.counters)
	}
}

// lanes returns copies.
func (b *books) lanes() (counters []*ingestv1.Counters, open int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.counters {
		counters = append(counters, proto.CloneOf(c))
	}
	return counters, b.open
}

// Ledger returns how the law stands. After Run it is final.
func (a *Agent) Ledger() Ledger {
	counters, open := a.books.lanes()
	state := a.spool.State()
	l := Ledger{Epoch: a.epoch, OpenSessions: open}
	for i, lane := range state.Lanes {
		l.Lanes = append(l.Lanes, LaneLedger{
			Counters: counters[i],
			Spool:    &ingestv1.SpoolCounters{Dropped: lane.Dropped, Released: lane.Released, Rejected: lane.Rejected},
			Given:    lane.Last, Received: lane.Received, Durable: lane.Durable, Pending: lane.PendingPackets,
		})
	}
	return l
}
