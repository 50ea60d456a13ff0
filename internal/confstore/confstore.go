// Package confstore is where configuration lies between the table and the daemons: a small tree of keys in a coordination
// store. confsync, which alone leads, writes what each daemon is to do; each daemon watches the one key that is its own and
// answers under its name. Nobody gets a stream of events: a reader asks for the state after the one it has, and who comes
// late gets the newest at once. What is newer the revision inside the value decides; stamps are only good to be handed
// back. A write that timed out has an unknown outcome.
package confstore

import (
	"context"
	"errors"
)

var (
	// ErrNotFound is returned by Get for a key that is not there.
	ErrNotFound = errors.New("no such key")
	// ErrCompacted is returned by NextUnder when the store has forgotten what came after the stamp: List again.
	ErrCompacted = errors.New("the store has forgotten the changes since then")
	// ErrFenced is returned by Publish when somebody else leads or has published: this term is over.
	ErrFenced = errors.New("another one leads")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("store is closed")
)

// MaxValueBytes is the largest value that a store takes.
const MaxValueBytes = 256 << 10

// Entry is a key as it stands.
type Entry struct {
	Key string
	// Value belongs to the caller; nil means that the key was deleted.
	Value []byte
	// Stamp is the store's number of the write (etcd's mod revision, ZooKeeper's mzxid).
	Stamp uint64
}

// Client is what a daemon may do: read its own key, answer under its own name. All methods may be called by several
// goroutines at the same time. While the store cannot be reached they wait, as long as ctx lets them, or return an error;
// it is worth trying again unless it is ErrClosed.
type Client interface {
	// Get returns ErrNotFound for a key that is not there. It reads what a majority of the store has.
	Get(ctx context.Context, key string) (Entry, error)
	// Next waits for a write of key after the given stamp and returns the newest entry; a deleted key is an entry without
	// a value. After 0 it returns at once a key that is there. It loses nothing over a reconnect or a compaction, but
	// several writes may become one. A stamp that the store has not come to, for it was wiped or restored since, makes it
	// return what is there now.
	Next(ctx context.Context, key string, after uint64) (Entry, error)
	// Put writes a status, at most MaxValueBytes.
	Put(ctx context.Context, key string, value []byte) error
	// Close ends all waiting with ErrClosed. Closing again does nothing.
	Close() error
}

// Store is what confsync may do besides.
type Store interface {
	Client
	// List returns all entries whose key begins with prefix, by key, and the stamp they belong to.
	List(ctx context.Context, prefix string) ([]Entry, uint64, error)
	// NextUnder waits for writes under prefix after the given stamp, and returns the newest entry of each key written and
	// the stamp to go on from. ErrCompacted: List. So it is for a stamp that the store has not come to.
	NextUnder(ctx context.Context, prefix string, after uint64) ([]Entry, uint64, error)
	// Lead waits until this process leads. The term ends when the store has not heard of it for some ten seconds.
	Lead(ctx context.Context, candidate string) (Term, error)
}

// Change is one write of a Publish.
type Change struct {
	Key string
	// Value replaces the key's; nil deletes the key.
	Value []byte
}

// MaxPublish is how many changes, each of another key, a Publish takes, and MaxPublishBytes how long their keys and values
// are together: a stock etcd takes 128 operations and 1.5 MiB in a transaction, of which some are needed for the fence and
// for what is kept beside the keys. Who has more publishes in parts, and moves the checkpoint with the last.
const (
	MaxPublish      = 100
	MaxPublishBytes = 1 << 20
)

// Term is one leadership, from election to loss. It belongs to one goroutine, but for Lost.
type Term interface {
	// Checkpoint returns the last position published, by anybody; nil if none.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Publish writes all changes, at most MaxPublish, and the checkpoint, or nothing. ErrFenced: somebody else leads or has
	// published. After any other error the outcome is unknown: compare Checkpoint, which also tells this term what to
	// expect from then on.
	Publish(ctx context.Context, changes []Change, checkpoint []byte) error
	// Lost is closed when the term is known to be over. It is a hint: only Publish knows.
	Lost() <-chan struct{}
	// Resign ends the term, so that another one can lead at once.
	Resign(ctx context.Context) error
}
