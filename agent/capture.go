package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"sonde.example/agent/batch"
	"sonde.example/agent/capture"
	"sonde.example/agent/cut"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/telemetry"
)

// pump is the head of the pipeline: one goroutine that reads packets, cuts and batches. Capture files it reads one after the
// other; capture points on devices, side by side, are the live pump's.
type pump struct {
	agent     *Agent
	lanes     []cut.Lane
	batches   *batch.Lanes
	sink      sink
	records   *cut.Records
	walker    *packet.Walker
	stats     func() (capture.Stats, error) // of what is being read; nil when nothing is
	accounted capture.Stats                 // of that, as counted so far

	packets, bytes uint64 // read so far; what Progress tells
}

func newPump(a *Agent, batchBytes int) *pump {
	p := &pump{
		agent: a, lanes: cut.NewLanes(a.config.Lanes), records: cut.NewRecords(a.config.TableBytes),
		walker: packet.NewWalker(packet.DefaultOptions()),
	}
	p.batches = batch.NewLanes(batch.Options{
		Lanes: a.config.Lanes, Out: a.spool, Bytes: batchBytes,
		Counters: func(lane uint32) *ingestv1.Counters { return p.lanes[lane].Counters },
		OnFlush:  p.account,
	})
	p.sink.batches = p.batches
	return p
}

// run reads until all captures have ended or ctx has. Work bounds the waiting for room in the spool.
func (p *pump) run(ctx, work context.Context) error {
	var bad []error
	for _, text := range p.agent.config.Captures {
		if ctx.Err() != nil {
			break
		}
		if err := p.capture(ctx, work, text); err != nil {
			bad = append(bad, err)
			if work.Err() != nil {
				break
			}
		}
	}
	bad = append(bad, p.finish(work))
	return errors.Join(bad...)
}

// finish hands over the rest.
func (p *pump) finish(work context.Context) error {
	p.account()
	err := p.batches.Finish(work)
	p.account()
	return err
}

// table returns a table for one capture point.
func (p *pump) table(limits packet.HeadLimits) *cut.Table {
	return cut.New(cut.Options{
		Walker: p.walker, Seed: p.agent.epoch, Records: p.records, Limits: limits, Own: p.agent.guard.own,
	}, p.lanes, &p.sink)
}

// end ends all sessions of a table.
func (p *pump) end(work context.Context, table *cut.Table, reason flowv1.EndReason) error {
	for more := true; more; {
		more = table.End(reason)
		if err := p.batches.FlushFull(work); err != nil {
			return err
		}
	}
	return nil
}

// capture reads one capture point to its end.
func (p *pump) capture(ctx, work context.Context, text string) error {
	a := p.agent
	source, err := a.sources.open(ctx, text)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	log := a.log.With(telemetry.KeyCapturePoint, text)
	log.Info("capture begins")
	p.stats, p.accounted = source.Stats, capture.Stats{}
	table := p.table(packet.HeadLimits{Packets: a.config.HeadPackets, PayloadBytes: a.config.PayloadBytes})
	reason, err := p.read(ctx, work, source, table, a.pointName(text))
	if err == nil || work.Err() == nil {
		err = errors.Join(err, p.end(work, table, reason))
	}
	p.account()
	p.stats = nil
	if warner, ok := source.(interface{ Warning() error }); ok {
		if warning := warner.Warning(); warning != nil {
			log.Warn("capture is broken; what could be read counts", telemetry.KeyError, warning)
		}
	}
	log.Info("capture has ended", telemetry.KeyReason, reason.String(), "packets", p.packets)
	return errors.Join(err, source.Close())
}

// read takes packets until the source or ctx ends, and says which. An error ends the source, too.
func (p *pump) read(ctx, work context.Context, source capture.Source, table *cut.Table, point string) (flowv1.EndReason, error) {
	var (
		frame   cut.Packet
		through = -1 // of the packet before
		link    packet.LinkType
	)
	for {
		data, info, err := source.ReadPacket(p.batches.Reading(ctx))
		if err != nil {
			switch {
			case errors.Is(err, io.EOF):
				return flowv1.EndReason_END_REASON_CAPTURE_END, nil
			case ctx.Err() != nil:
				return flowv1.EndReason_END_REASON_AGENT_STOPPED, nil
			case errors.Is(err, context.DeadlineExceeded):
				if err = p.batches.Tick(work); err == nil {
					continue
				}
			}
			return flowv1.EndReason_END_REASON_CAPTURE_END, fmt.Errorf("capture %s: %w", point, err)
		}
		if info.InterfaceIndex != through || info.LinkType != link {
			through, link = info.InterfaceIndex, info.LinkType
			frame.Interface = p.batches.Interface(batch.Interface{CapturePoint: point, Link: link})
		}
		frame.Data, frame.Time, frame.Original, frame.Link = data, info.Time, info.OriginalLength, info.LinkType
		if p.agent.enough.waiting.Load() {
			p.agent.enough.take(table)
		}
		table.Packet(&frame)
		if err := p.sweep(work, table); err != nil {
			return flowv1.EndReason_END_REASON_CAPTURE_END, err
		}
		p.count(len(data))
	}
}

// sweep ends what is due, and hands over batches that are full.
func (p *pump) sweep(work context.Context, table *cut.Table) error {
	for more := true; more; {
		more = table.Sweep()
		if err := p.batches.FlushFull(work); err != nil {
			return err
		}
	}
	return nil
}

// count counts a packet that was read.
func (p *pump) count(bytes int) {
	p.bytes += uint64(bytes)
	if p.packets++; p.packets%progressEvery == 0 {
		p.agent.progress.store(p.packets, p.bytes)
	}
}

// progressEvery packets the progress is told.
const progressEvery = 1024

// account brings counters up to date with those of what is read, and tells the agent. What no lane saw is counted on the
// first one.
func (p *pump) account() {
	if p.stats != nil {
		if stats, err := p.stats(); err == nil { // it fails only when the source is closed
			counters := p.lanes[0].Counters
			filtered, dup := stats.Filtered-p.accounted.Filtered, stats.Dup-p.accounted.Dup
			counters.Seen += filtered + dup
			counters.Filtered += filtered
			counters.Dup += dup
			counters.KernelDropped += stats.Drops - p.accounted.Drops
			p.accounted = stats
		}
	}
	p.agent.progress.store(p.packets, p.bytes)
	p.agent.books.enter(p.lanes, p.records.Sessions())
}

// sink carries what the cut lets through into batches.
type sink struct{ batches *batch.Lanes }

var _ cut.Sink = (*sink)(nil)

// Packet implements cut.Sink.
func (k *sink) Packet(s *cut.Session, p *cut.Packet, length int, flags uint32) {
	b := k.batches.Lane(s.Lane)
	touch(b, s)
	b.Packet(s.Tag, p.Time, p.Data[:length], p.Original, flags, p.Interface)
}

// Counts implements cut.Sink.
func (k *sink) Counts(s *cut.Session) { touch(k.batches.Lane(s.Lane), s) }

// touch brings what the batch says of a session up to date.
func touch(b *batch.Builder, s *cut.Session) {
	u, fresh := b.Touch(&s.Tag)
	if fresh {
		u.Number, u.Key, u.ClientHigh, u.Interface = s.Number, s.Key, s.ClientHigh, s.Interface
		u.PacketsBefore, u.Opened, u.Midstream, u.Continued = s.Sent, s.Opened, s.Midstream, s.Continued
		u.OpenedTime = s.OpenedTime
		b.Names(s.Interface)
	}
	u.ForwardPackets, u.ForwardBytes = s.ForwardPackets, s.ForwardBytes
	u.ReversePackets, u.ReverseBytes = s.ReversePackets, s.ReverseBytes
	u.ForwardFlags, u.ReverseFlags = s.ForwardFlags, s.ReverseFlags
	u.LastTime, u.EndReason = s.LastTime, int32(s.EndReason)
}

// enough is where directives wait for the pump.
type enough struct {
	waiting atomic.Bool
	mu      sync.Mutex // guards numbers
	numbers map[uint32][]uint64
}

// maxEnough bounds the numbers waiting for a lane. A directive that is lost costs bytes, nothing else.
const maxEnough = 65536

func (e *enough) add(lane uint32, numbers []uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.numbers == nil {
		e.numbers = map[uint32][]uint64{}
	}
	if len(e.numbers[lane])+len(numbers) <= maxEnough {
		e.numbers[lane] = append(e.numbers[lane], numbers...)
		e.waiting.Store(true)
	}
}

func (e *enough) take(tables ...*cut.Table) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for lane, numbers := range e.numbers {
		for _, table := range tables {
			table.Enough(lane, numbers...)
		}
	}
	clear(e.numbers)
	e.waiting.Store(false)
}

// progress is how far reading is, for Progress.
type progress struct{ packets, bytes atomic.Uint64 }

func (p *progress) store(packets, bytes uint64) {
	p.packets.Store(packets)
	p.bytes.Store(bytes)
}

// recordBytes is what a capture file has beside a packet's bytes (pcap).
const recordBytes = 16
