package batch

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
)

const (
	// busyAge and idleAge are how old a batch gets that does not fill.
	busyAge = 50 * time.Millisecond
	idleAge = 5 * time.Millisecond
	// idlePackets in idleAge are hardly anything: waiting for more would only delay them.
	idlePackets = 64
)

// Out is where encoded batches go. It borrows the payload's parts for the call.
type Out interface {
	Append(ctx context.Context, lane uint32, packets int, payload ...[]byte) (sequence uint64, err error)
}

// Options for NewLanes.
type Options struct {
	Lanes int
	Out   Out
	// Bytes of packets make a batch full; 0 means MaxBytes, which is the most.
	Bytes int
	// Counters returns a lane's counters as of now; they are read during the call only.
	Counters func(lane uint32) *ingestv1.Counters
	// OnFlush, if set, is called before a batch is handed over.
	OnFlush func()
}

// Lanes are the builders of all lanes, and when their batches are done. The goroutine that reads packets owns them.
type Lanes struct {
	options    Options
	builders   []*Builder
	told       []*ingestv1.Counters // as of the last batch of each lane
	interfaces []Interface
	numbers    map[Interface]uint32
	revision   uint64

	parent  context.Context //nolint:containedctx // of reading
	reading context.Context //nolint:containedctx // it is how a timer interrupts the reader
	cancel  context.CancelFunc
	began   time.Time // of the batch that is waited for; zero when none is
	due     time.Time
	packets int // handed over or waiting, when the batch began
	total   int // handed over
}

// NewLanes returns empty builders.
func NewLanes(o Options) *Lanes {
	l := &Lanes{options: o, numbers: map[Interface]uint32{}}
	for range o.Lanes {
		l.builders = append(l.builders, NewBuilder(o.Bytes))
		l.told = append(l.told, new(ingestv1.Counters))
	}
	return l
}

// Lane returns the builder of a lane.
func (l *Lanes) Lane(lane uint32) *Builder { return l.builders[lane] }

// Interface returns the number of an interface; the same for the same.
func (l *Lanes) Interface(i Interface) uint32 {
	number, known := l.numbers[i]
	if !known {
		number = uint32(len(l.interfaces))
		l.interfaces = append(l.interfaces, i)
		l.numbers[i] = number
	}
	return number
}

// SetRevision hands over what there is, and sets the config revision of all batches from now on.
func (l *Lanes) SetRevision(ctx context.Context, revision uint64) error {
	if revision == l.revision {
		return nil
	}
	err := l.flushAll(ctx)
	l.revision = revision
	return err
}

// Reading returns the context under which to wait for the next packet. It ends with parent, and when batches are due:
// then call Tick. The parent may be another one each time.
func (l *Lanes) Reading(parent context.Context) context.Context {
	if l.reading != nil && l.parent == parent {
		return l.reading
	}
	if l.began.IsZero() {
		if l.empty() {
			return parent
		}
		l.began, l.packets = time.Now(), l.sum()
		l.due = l.began.Add(idleAge)
	}
	l.stop()
	l.parent = parent
	l.reading, l.cancel = context.WithDeadline(parent, l.due)
	return l.reading
}

// stop lets go of the timer.
func (l *Lanes) stop() {
	if l.reading != nil {
		l.cancel()
		l.reading, l.parent = nil, nil
	}
}

// Tick hands over the batches that are due, when the context of Reading has ended.
func (l *Lanes) Tick(ctx context.Context) error {
	if l.began.IsZero() || time.Now().Before(l.due) {
		return nil
	}
	l.stop()
	if l.sum()-l.packets >= idlePackets && time.Since(l.began) < busyAge {
		l.due = l.began.Add(busyAge)
		return nil
	}
	return l.flushAll(ctx)
}

// flushAll hands over all batches that have something to tell.
func (l *Lanes) flushAll(ctx context.Context) error {
	l.stop()
	l.began = time.Time{}
	for lane, b := range l.builders {
		if !b.Empty() {
			if err := l.flush(ctx, uint32(lane)); err != nil {
				return err
			}
		}
	}
	return nil
}

// FlushFull hands over the batches that are full.
func (l *Lanes) FlushFull(ctx context.Context) error {
	for lane, b := range l.builders {
		if b.Full() {
			if err := l.flush(ctx, uint32(lane)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Finish hands over all that there is, counters that no batch has told included, and stops the timer. Packets may follow.
func (l *Lanes) Finish(ctx context.Context) error {
	l.stop()
	l.began = time.Time{}
	for lane, b := range l.builders {
		if !b.Empty() || !proto.Equal(l.told[lane], l.options.Counters(uint32(lane))) {
			if err := l.flush(ctx, uint32(lane)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Lanes) flush(ctx context.Context, lane uint32) error {
	if l.options.OnFlush != nil {
		l.options.OnFlush()
	}
	b := l.builders[lane]
	counters := l.options.Counters(lane)
	meta, data, err := b.Encode(counters, l.interfaces, l.revision)
	if err != nil {
		return err
	}
	if _, err := l.options.Out.Append(ctx, lane, b.packets, meta, data); err != nil {
		return fmt.Errorf("append batch to spool: %w", err)
	}
	proto.Reset(l.told[lane])
	proto.Merge(l.told[lane], counters)
	l.total += b.packets
	b.Reset()
	return nil
}

func (l *Lanes) empty() bool {
	for _, b := range l.builders {
		if !b.Empty() {
			return false
		}
	}
	return true
}

// sum is how many packets came to the builders.
func (l *Lanes) sum() int {
	n := l.total
	for _, b := range l.builders {
		n += b.packets
	}
	return n
}
