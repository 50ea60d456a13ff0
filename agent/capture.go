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

// pump is the head of the pipeline: one goroutine that reads capture points, one after the other, cuts and batches.
type pump struct {
	agent    *Agent
	lanes    []cut.Lane
	batches  *batch.Lanes
	sink     sink
	walker   *packet.Walker
	table    *cut.Table
	source   capture.Source
	filtered uint64 // of source.Stats, as counted so far

	packets, bytes uint64 // read so far; what Progress tells
}

func newPump(a *Agent, batchBytes int) *pump {
	p := &pump{agent: a, lanes: cut.NewLanes(a.config.Lanes), walker: packet.NewWalker(packet.DefaultOptions())}
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
	p.account()
	bad = append(bad, p.batches.Finish(work))
	p.account()
	return errors.Join(bad...)
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
	p.source, p.filtered = source, 0
	p.table = cut.New(cut.Options{
		Walker: p.walker, Seed: a.epoch, Bytes: a.config.TableBytes,
		Limits: packet.HeadLimits{Packets: a.config.HeadPackets, PayloadBytes: a.config.PayloadBytes},
	}, p.lanes, &p.sink)
	reason, err := p.read(ctx, work, a.pointName(text))
	for more := err == nil || work.Err() == nil; more; {
		more = p.table.End(reason)
		if flushed := p.batches.FlushFull(work); flushed != nil {
			err = errors.Join(err, flushed)
			break
		}
	}
	p.account()
	p.source = nil
	if warner, ok := source.(interface{ Warning() error }); ok {
		if warning := warner.Warning(); warning != nil {
			log.Warn("capture is broken; what could be read counts", telemetry.KeyError, warning)
		}
	}
	log.Info("capture has ended", telemetry.KeyReason, reason.String(), "packets", p.packets)
	return errors.Join(err, source.Close())
}

// read takes packets until the source or ctx ends, and says which. An error ends the source, too.
func (p *pump) read(ctx, work context.Context, point string) (flowv1.EndReason, error) {
	var (
		frame   cut.Packet
		through = -1 // of the packet before
		link    packet.LinkType
	)
	for {
		data, info, err := p.source.ReadPacket(p.batches.Reading(ctx))
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
			p.agent.enough.take(p.table)
		}
		p.table.Packet(&frame)
		for more := true; more; {
			more = p.table.Sweep()
			if err := p.batches.FlushFull(work); err != nil {
				return flowv1.EndReason_END_REASON_CAPTURE_END, err
			}
		}
		p.bytes += uint64(len(data))
		if p.packets++; p.packets%progressEvery == 0 {
			p.agent.progress.store(p.packets, p.bytes)
		}
	}
}

// progressEvery packets the progress is told.
const progressEvery = 1024

// account brings counters up to date with the source's, and tells the agent.
func (p *pump) account() {
	if p.source != nil {
		if stats, err := p.source.Stats(); err == nil { // it fails only when the source is closed
			counters := p.lanes[0].Counters
			counters.Seen += stats.Filtered - p.filtered
			counters.Filtered += stats.Filtered - p.filtered
			p.filtered = stats.Filtered
		}
	}
	open := 0
	if p.table != nil {
		open = p.table.Sessions()
	}
	p.agent.progress.store(p.packets, p.bytes)
	p.agent.books.enter(p.lanes, open)
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

func (e *enough) take(table *cut.Table) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for lane, numbers := range e.numbers {
		table.Enough(lane, numbers...)
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
