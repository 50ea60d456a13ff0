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

	reading context.Context //nolint:containedctx // it is how a timer interrupts the reader
	cancel  context.CancelFunc
	began   time.Time
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

// Reading returns the context under which to wait for the next packet. It ends with parent, and when batches are due:
// then call Tick.
func (l *Lanes) Reading(parent context.Context) context.Context {
	if l.reading != nil {
		return l.reading
	}
	if l.empty() {
		return parent
	}
	l.began, l.packets = time.Now(), l.sum()
	l.wait(parent, idleAge)
	return l.reading
}

func (l *Lanes) wait(parent context.Context, age time.Duration) {
	l.reading, l.cancel = context.WithDeadline(parent, l.began.Add(age))
}

// Tick hands over the batches that are due, when the context of Reading has ended and its parent has not.
func (l *Lanes) Tick(parent, ctx context.Context) error {
	if l.reading == nil || l.reading.Err() == nil {
		return nil
	}
	l.cancel()
	l.reading = nil
	if l.sum()-l.packets >= idlePackets && time.Since(l.began) < busyAge {
		l.wait(parent, busyAge)
		return nil
	}
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

// Finish hands over all that there is, counters that no batch has told included, and stops the timer.
func (l *Lanes) Finish(ctx context.Context) error {
	if l.reading != nil {
		l.cancel()
		l.reading = nil
	}
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
	meta, data, err := b.Encode(counters, l.interfaces, 0)
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
