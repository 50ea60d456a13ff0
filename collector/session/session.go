// Package session assembles what agents send into sessions, and hands every session on as soon as it is complete or due.
//
// Batches come in through the Assembler, which reads each packet's headers and counts those that contradict their
// session. A Store applies them, each once: it keeps the sessions' heads and counts, and each lane's watermark, which
// moves together with them. A session leaves for its Outbox at once when its head is full or the agent ends it, otherwise
// when the Sweeper finds it due, ten seconds after the first change not yet handed over. What is in the outbox is lent,
// confirmed, and at last settled by whoever committed the result. The store never ends a session by a guess, and its
// shutdown ends none. When it is full it refuses, without having changed anything beyond its marks, and the agent waits.
//
// Memory is the store of a single collector. It dies with its process, so it calls a batch durable only when the results
// hold all that the batch changed, and after a restart it goes on from there.
package session

import (
	"context"
	"errors"
	"time"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/record"
)

var (
	// ErrOrder says that a batch is not the one after the lane's marks. Nothing has changed.
	ErrOrder = errors.New("batch is not the next of its lane")
	// ErrFull says that there is no room; package retry's Asked tells for how long. Nothing beyond the marks has changed.
	ErrFull = errors.New("session store is full")
	// ErrFenced says that another stream has resumed the lane since, or that nobody has. Nothing has changed.
	ErrFenced = errors.New("lane belongs to another stream")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("session store is closed")
)

// Store holds sessions, their deadlines and each lane's marks. Collectors share one without locks: what belongs to one
// lane lies together, in Redis in one slot; its state and its watermark (sequence, next step) move in one atomic step.
// All methods may be called at the same time.
type Store interface {
	// Resume tells where a lane goes on: at max(watermark + 1, min(first available, last durable + 1)). Sessions of the
	// agent's other epochs end. Every earlier stream of the lane is fenced: only batches that carry the number returned
	// are taken from now on. Of the welcome it sets the resume sequence and the window.
	Resume(ctx context.Context, lane packet.Lane, hello *ingestv1.Hello) (welcome *ingestv1.Welcome, fence uint64, err error)
	// NextMarks waits until the lane's marks or window differ from seen, and returns the newest; at once when seen is
	// nil. While a call waits the agent counts as present.
	NextMarks(ctx context.Context, lane packet.Lane, seen *ingestv1.Ack) (*ingestv1.Ack, error)
	// Apply takes the batch received + 1 + skipped, from its next step on; any other is ErrOrder. Sessions whose head is
	// full or that end go to the outbox, and the watermark moves with them. ErrFull carries a delay: nothing beyond the
	// marks has changed, and the same batch goes on where it stopped. After any other error compare the marks. The
	// session numbers returned need no more packets. The batch is only borrowed.
	Apply(ctx context.Context, batch *Batch) (enough []uint64, err error)
	// Due names up to limit sessions that are due by the store's own clock, lane by lane. It is a hint. Sessions of an
	// agent that has stayed away for an hour are due too.
	Due(ctx context.Context, limit int) ([]Overdue, error)
	// Sweep moves those that are still due to the outbox as they stand; those of an agent away for an hour it ends. Two
	// sweepers at once do the work of one.
	Sweep(ctx context.Context, sessions Overdue) (moved int, err error)
	Close() error
}

// Outbox is the other side of the same backend. All methods may be called at the same time.
type Outbox interface {
	// Take waits, then lends up to limit hand-overs, each session's newest. What is not confirmed in time is lent again.
	// Of a session that changes while it waits here there is one hand-over, in its old place.
	Take(ctx context.Context, lease time.Duration, limit int) ([]*flowv1.Session, error)
	// Confirm removes what the queue has confirmed, by id and both numbers, so that a newer hand-over of the same
	// session stays; twice is once.
	Confirm(ctx context.Context, taken ...*flowv1.Session) error
	// Settle tells that results are committed, up to both numbers. Only in a store that dies with its process does it
	// move durable.
	Settle(ctx context.Context, stored ...*flowv1.Session) error
}

// Ledger tells the store's side of the law.
type Ledger interface {
	// Ledger returns an entry for each lane of the agent that the store knows, of all agents when it is empty, by agent,
	// epoch and lane. What only the results know (stored_sessions, stored_packets) and the residual are left zero.
	Ledger(ctx context.Context, agent string) ([]*fleetv1.LedgerEntry, error)
}

// Overdue names sessions of one lane that are due. No numbers at all means all sessions of a lane whose agent stays away.
type Overdue struct {
	Lane    packet.Lane
	Numbers []uint64
}

// Journal is the result store as the memory store sees it: what it knew before a restart, and where its marks are kept.
// All methods may be called at the same time.
type Journal interface {
	// Sessions returns what is stored of the sessions named; those not known are left out. An entry's head is nil when no
	// packets are kept.
	Sessions(ctx context.Context, ids ...string) (map[string]*record.Entry, error)
	// Open returns the results of the agent's sessions that have not ended, those of the given epoch left out.
	Open(ctx context.Context, agent string, exceptEpoch uint64) ([]*queryv1.Result, error)
	// PutLedger commits lanes as of their durable marks.
	PutLedger(ctx context.Context, entries ...*fleetv1.LedgerEntry) error
	// Ledger returns the lanes of the agent, of all agents when it is empty, with what the results count.
	Ledger(ctx context.Context, agent string) ([]*fleetv1.LedgerEntry, error)
}
