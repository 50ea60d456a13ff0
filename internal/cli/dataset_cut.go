package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"

	"sonde.example/agent/capture/file"
	"sonde.example/agent/cut"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
)

// conversation is one session of a capture.
type conversation struct {
	key        packet.Key
	clientHigh bool
	rule       packet.Head
	last       int64 // time of the packet before
	head       flowv1.Packets
	frames     []frame // the first ones, whole, if asked for
}

// frame is a captured packet that is kept.
type frame struct {
	data     []byte
	time     int64
	original int
	link     packet.LinkType
}

const (
	// keptFrames is how many whole packets of a session are kept for augmentation: enough that the head is full after some
	// were lost.
	keptFrames = 64
	// recordsBytes bounds the sessions open at once as an agent bounds them.
	recordsBytes = 64 << 20
)

// cutter reads packets into sessions: it is the sink of an agent's own cut. Where heads of another kind are wanted the
// table sends whole packets, and the cutter applies the agent's rule to those that count.
type cutter struct {
	walker       *packet.Walker
	records      *cut.Records
	payloadsOnly bool
	keep         bool // frames

	conversations []*conversation
}

func newCutter(walker *packet.Walker, payloadsOnly, keep bool) *cutter {
	return &cutter{walker: walker, records: cut.NewRecords(recordsBytes), payloadsOnly: payloadsOnly, keep: keep}
}

func (c *cutter) table() *cut.Table {
	limits := packet.DefaultHeadLimits()
	if c.payloadsOnly || c.keep {
		limits = packet.HeadLimits{Packets: 0, PayloadBytes: math.MaxUint32}
	}
	return cut.New(cut.Options{Walker: c.walker, Limits: limits, Records: c.records}, cut.NewLanes(1), c)
}

// read reads a capture. It is not whole when it is no capture, or ends in the middle; what could be read counts.
func (c *cutter) read(ctx context.Context, path string) (whole bool, err error) {
	source, err := file.Open(ctx, path, file.Options{})
	if err != nil {
		return false, ctx.Err()
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	table := c.table()
	for {
		data, at, err := source.ReadPacket(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
		take(table, &cut.Packet{Data: data, Time: at.Time, Original: at.OriginalLength, Link: at.LinkType})
	}
	for table.End(flowv1.EndReason_END_REASON_CAPTURE_END) {
	}
	return source.Warning() == nil, nil
}

func take(table *cut.Table, p *cut.Packet) {
	table.Packet(p)
	for table.Sweep() {
	}
}

// Counts implements cut.Sink: features do not look beyond the head.
func (c *cutter) Counts(*cut.Session) {}

// Packet implements cut.Sink.
func (c *cutter) Packet(s *cut.Session, p *cut.Packet, length int, flags uint32) {
	if s.Tag == 0 {
		c.conversations = append(c.conversations, &conversation{
			key: s.Key, clientHigh: s.ClientHigh, rule: packet.Head{Limits: packet.DefaultHeadLimits()},
		})
		s.Tag = uint64(len(c.conversations))
	}
	v := c.conversations[s.Tag-1]
	if c.keep && len(v.frames) < keptFrames {
		v.frames = append(v.frames, frame{bytes.Clone(p.Data), p.Time, p.Original, p.Link})
	}
	if c.payloadsOnly || c.keep {
		var info packet.Info
		if c.walker.Walk(p.Link, p.Data, p.Original, &info) != packet.OK || c.payloadsOnly && info.PayloadLength == 0 {
			return
		}
		var wanted bool
		if wanted, length = v.rule.Take(&info, len(p.Data)); !wanted {
			return
		}
		if length < info.PayloadOffset+info.PayloadCaptured {
			flags |= uint32(flowv1.PacketFlag_PACKET_FLAG_CUT)
		}
	}
	v.add(p, length, flags)
}

// add appends a packet to the head.
func (v *conversation) add(p *cut.Packet, length int, flags uint32) {
	h := &v.head
	delta := int64(0)
	if len(h.GetCaptured()) > 0 {
		delta = p.Time - v.last
	}
	v.last = p.Time
	index := 0
	for index < len(h.GetInterfaces()) && h.GetInterfaces()[index].GetLinkType() != uint32(p.Link) {
		index++
	}
	if index == len(h.GetInterfaces()) {
		h.Interfaces = append(h.Interfaces, &flowv1.Interface{LinkType: uint32(p.Link)})
	}
	h.InterfaceIndexes = append(h.InterfaceIndexes, uint32(index))
	h.TimeDeltasNs = append(h.TimeDeltasNs, delta)
	h.Captured = append(h.Captured, uint32(length))
	h.Missing = append(h.Missing, uint32(p.Original-length))
	h.Flags = append(h.Flags, flags)
	h.Ordinals = append(h.Ordinals, uint32(len(h.GetOrdinals())))
	h.Data = append(h.Data, p.Data[:length]...)
}

// endpoints returns both, the lower one first.
func (v *conversation) endpoints() (low, high packet.Endpoint) {
	info := packet.Info{Key: v.key}
	return info.Source(), info.Destination()
}

// server returns the endpoint that the client speaks to.
func (v *conversation) server() packet.Endpoint {
	low, high := v.endpoints()
	if v.clientHigh {
		return low
	}
	return high
}

// first returns the head's first n packets. It shares memory with the head.
func first(h *flowv1.Packets, n int) *flowv1.Packets {
	size := 0
	for _, captured := range h.GetCaptured()[:n] {
		size += int(captured)
	}
	return &flowv1.Packets{
		InterfaceIndexes: h.GetInterfaceIndexes()[:n], TimeDeltasNs: h.GetTimeDeltasNs()[:n], Captured: h.GetCaptured()[:n],
		Missing: h.GetMissing()[:n], Flags: h.GetFlags()[:n], Ordinals: h.GetOrdinals()[:n], Interfaces: h.GetInterfaces(),
		Data: h.GetData()[:size],
	}
}
