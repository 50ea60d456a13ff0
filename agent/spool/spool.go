// Package spool keeps what the agent must not forget yet. Encoded batches come in at one end of a lane and get their
// sequence numbers here; the uplink reads them at the other end, again if it must; what the collector calls durable is
// forgotten from the front. The spool is bounded in bytes. When it is full it lets its oldest batch go and counts it, or,
// for a capture that can wait, makes the batcher wait: it is the only place where Sonde chooses to lose. This package has
// the spool that lives in memory and dies with its process.
//
//	            durable           received            last
//	  forgotten    |   may be released |   may be dropped |
//	───────────────┼───────────────────┼──────────────────┤ <─ Append
//	               └─ Mark             └─ Mark      Next ─┘
package spool

import (
	"context"
	"errors"
)

var (
	// ErrClosed is returned by a spool after Close.
	ErrClosed = errors.New("spool is closed")
	// ErrTooLarge is returned for a batch that is larger than the whole spool may be.
	ErrTooLarge = errors.New("batch is larger than the spool")
	// ErrLane is returned for a lane that the spool was not made for.
	ErrLane = errors.New("no such lane")
)

// Spool keeps what the agent must not forget yet: a log for each lane, forgotten from the front. All methods may be
// called by many goroutines.
type Spool interface {
	// Append gives the batch, whose encoding is the parts one behind the other, the lane's next sequence, from 1, none
	// twice even after a crash, and returns when it is kept as the mode says. The parts are borrowed for the call. A full
	// spool lets its oldest batch go, whatever its lane, and counts it: released if it was received, otherwise dropped. One
	// that was lent may be under way, and is counted when that is known: released once a mark covers it, dropped once Next
	// passes over it, rejected if that is the answer. A spool made to wait first waits until there is room or ctx ends; then
	// it does the same, so that the batch is kept.
	Append(ctx context.Context, lane uint32, packets int, payload ...[]byte) (sequence uint64, err error)
	// Next lends the oldest batch left after the given sequence; Entry.Skipped counts the sequences it passes over: the
	// collector will not get them any more. The
	// payload lasts until Entry.Release, even if the spool lets the batch go before. When there is none it returns false
	// at once; Changed tells when to ask again, so that a reader can wait for other things as well.
	Next(ctx context.Context, lane uint32, after uint64) (Entry, bool, error)
	// Mark takes note of the collector's marks, and lets go of everything up to and with durable. Marks only grow; what is
	// behind the present ones does nothing, and nothing beyond the last sequence given is believed.
	Mark(ctx context.Context, lane uint32, received, durable uint64) error
	// Reject lets go of a batch that a collector will never take, and counts its packets as rejected. Again it does nothing.
	Reject(ctx context.Context, lane uint32, sequence uint64) error
	// Resize changes the bound, in bytes. What is beyond a smaller one goes at once, as in Append.
	Resize(bytes int64)
	// State tells what there is. It lives as long as the spool.
	State() State
	// Changed returns a channel that is closed when anything but what Next does happens after the call.
	Changed() <-chan struct{}
	// Close lets go of everything that is not durable for good; what is lent stays good until its release. Whoever waits
	// gets ErrClosed. Closing again does nothing.
	Close() error
}

// Entry is one batch, lent.
type Entry struct {
	Sequence uint64
	// Skipped is how many sequences after the one asked for are not there any more.
	Skipped uint32
	Packets int
	Payload []byte
	// Losses are those of batches before this one, as of now.
	Losses Losses

	release func()
}

// NewEntry returns an entry whose Release calls release; for backends.
func NewEntry(e Entry, release func()) Entry {
	e.release = release
	return e
}

// Release gives the payload back. Call it once.
func (e Entry) Release() {
	if e.release != nil {
		e.release()
	}
}

// State is a spool at one moment.
type State struct {
	Epoch uint64
	// Bytes are kept, of at most Limit.
	Bytes, Limit int64
	Lanes        []LaneState
}

// Losses count packets in batches that a lane let go, and that a collector will not get from it any more: Dropped before they
// were received, Released between received and durable, Rejected because a collector will never take them. They only grow.
type Losses struct{ Dropped, Released, Rejected uint64 }

// LaneState is one lane of a State. Packets are those of batches.
type LaneState struct {
	// First is the oldest sequence that is there; Last + 1 when there is none. Last is the last one given, 0 at first.
	First, Last uint64
	// Received and Durable are the collector's marks.
	Received, Durable uint64
	// DurablePackets are those of the batches that were kept until they were durable.
	DurablePackets uint64
	Losses
	// PendingPackets are in batches that were not received yet, PendingBatches how many batches these are. Batches let go
	// while they were under way are among them as long as that is open.
	PendingPackets uint64
	PendingBatches int
	// OldestUnixNano is when the oldest batch that is there was appended; 0 when there is none.
	OldestUnixNano int64
}
