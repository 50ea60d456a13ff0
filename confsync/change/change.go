// Package change follows the tables in which operators keep the configuration. A Source gives every row once, with the
// position at which that was, and from there each transaction; and it takes back what became of each configuration, to be
// written beside the tables. It keeps no place of its own: whoever publishes keeps the position, in the same step.
//
//	agent_group ┐                                        ┌ agent_status
//	agent_config├─> Snapshot, Follow ─> publish ─> daemons ─> Report ─> ┤
//	service_config ┘                                     └ agent_history
package change

import (
	"context"
	"errors"
	"time"

	configv1 "sonde.example/gen/go/sonde/config/v1"
)

// ErrPositionLost is returned by Follow when the source does not have what came after a position: take a Snapshot.
var ErrPositionLost = errors.New("the source does not go back as far as this position")

// Position is a place in the source's order of transactions, as text: for an operator's eyes, and to be handed back. It
// names the source too, so that the position of another database is lost and not mistaken. Empty means none.
type Position string

// Table tells the tables apart.
type Table string

// The tables that are read.
const (
	AgentConfig   Table = "agent_config"
	AgentGroup    Table = "agent_group"
	ServiceConfig Table = "service_config"
)

// Row is one row as it stands, or its absence.
type Row struct {
	Table Table
	// ID is the primary key. Of several rows that name the same daemon the one with the smallest ID counts.
	ID int64
	// Rev grows with each change of the row, also across delete and insert. One that is lower than the row's newest came late.
	Rev uint64
	// Deleted rows have no Columns.
	Deleted bool
	// Columns has the row's columns by their name in lower case; nil is NULL. Columns nobody knows are left in, and do no harm.
	Columns map[string]*string
	// CommitTime is when the row was written, as the source tells; zero when it does not.
	CommitTime time.Time
}

// Transaction is what was committed at once: each row's newest state. Several may have become one.
type Transaction struct {
	Position Position // after it
	Rows     []Row
	// Again says that rows may have changed that are not in Rows (a table was truncated, dropped or replaced): take a
	// Snapshot.
	Again bool
}

// Source follows the configuration tables. Its methods may be called by several goroutines at the same time; Snapshot and
// Follow by one.
type Source interface {
	// Snapshot gives every row, by table and ID, without locking anybody out, and the position from which Follow goes on.
	Snapshot(ctx context.Context, take func(Row) error) (Position, error)
	// Follow gives each transaction after from, whole, in order, at least once, until ctx ends. An error of apply ends it.
	Follow(ctx context.Context, from Position, apply func(Transaction) error) error
	// Report writes what became of configurations beside the tables, in one transaction: agent_status has one row for each
	// role and name, agent_history one for each attempt (role, name, revision, state), however often it is reported. It is
	// never seen by Follow.
	Report(ctx context.Context, statuses ...*configv1.ConfigStatus) error
	Close() error
}
