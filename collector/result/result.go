// Package result keeps what became of every session: one result a session, the head it rests on for as long as retention
// says, what people said that sessions really were, and each lane's side of the ledger.
//
// Results come from the workers, one micro-batch a Put, more than once if need be: a result has two parts, the
// classification (with its head) and the counts, and each is replaced only by its own greater number, so that writing
// twice is writing once and an old message that comes late changes nothing. The collector's memory session store uses
// this store as its journal: what is committed here is what an agent may forget.
package result

import (
	"context"
	"time"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/record"
)

// Store keeps one result for each session, and its head for as long as retention says. All methods may be called at the
// same time.
type Store interface {
	// Put commits results with their heads, all or none; after an error put all again. Classification (with the head)
	// and counts are each replaced only by their own greater number; twice is once. A failed result never replaces a
	// classification. A permanent error (retry.Permanent) says that an entry is at fault, and trying again does not help.
	// The results are Put's until it returns, heads are only read. When it returns nil, each entry's Result is what now
	// stands in the store, and must not be changed.
	Put(ctx context.Context, entries ...*record.Entry) error
	// Get returns record.ErrNotFound for a session it does not know.
	Get(ctx context.Context, sessionID string) (*queryv1.Result, error)
	// Packets returns the packets of the head; record.ErrNotFound when none are kept.
	Packets(ctx context.Context, sessionID string) (*flowv1.Packets, error)
	// List returns up to pageSize results, newest session first; an empty token begins and ends the list. A token that no
	// list gave is record.ErrPageToken.
	List(ctx context.Context, f record.Filter, pageSize int, pageToken string) ([]*queryv1.Result, string, error)
	// Purge deletes up to limit results and up to limit heads of sessions opened before the given times, and tells how
	// many rows went.
	Purge(ctx context.Context, results, heads time.Time, limit int) (deleted int, err error)
	Close() error
}

// Past is what the memory session store asks for after a restart. All methods may be called at the same time.
type Past interface {
	// Sessions returns what is stored of the sessions named; those it does not know are left out. Head is nil when no
	// packets are kept.
	Sessions(ctx context.Context, ids ...string) (map[string]*record.Entry, error)
	// Open returns the results of the agent's sessions that have not ended, those of the given epoch left out.
	Open(ctx context.Context, agent string, exceptEpoch uint64) ([]*queryv1.Result, error)
}

// Ledger keeps each lane's side of the law. All methods may be called at the same time.
type Ledger interface {
	// PutLedger commits the entries. An entry replaces the stored one of its lane unless that has a greater durable
	// sequence, or is closed and this one is not. stored_sessions and stored_packets are ignored: they follow the results.
	PutLedger(ctx context.Context, entries ...*fleetv1.LedgerEntry) error
	// Ledger returns the entries of the agent, of all agents when it is empty, by agent, epoch and lane.
	// stored_sessions and stored_packets are what the results table holds.
	Ledger(ctx context.Context, agent string) ([]*fleetv1.LedgerEntry, error)
}

// Corrections keeps what people said that sessions really were. A correction outlives the result of its session, and goes
// only when it is removed. All methods may be called at the same time.
type Corrections interface {
	// Correct stores a correction in the place of the one before of its session, and sets the corrected label of the
	// result, which it returns as it stands now: nil when the store has none any more. record.ErrFull when there are that
	// many corrections of other sessions already. An error leaves everything as it was.
	Correct(ctx context.Context, c *queryv1.Correction, most int) (*queryv1.Result, error)
	// Uncorrect removes a correction and the result's corrected label, and returns the result as Correct does.
	// record.ErrNotFound when there is no correction.
	Uncorrect(ctx context.Context, sessionID string) (*queryv1.Result, error)
	// Correction returns one; record.ErrNotFound when there is none.
	Correction(ctx context.Context, sessionID string) (*queryv1.Correction, error)
	// Corrections returns up to pageSize, those that were stored first first; an empty token begins and ends the list. A
	// token that no list gave is record.ErrPageToken.
	Corrections(ctx context.Context, pageSize int, pageToken string) ([]*queryv1.Correction, string, error)
}
