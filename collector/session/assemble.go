package session

import (
	"context"
	"sync"
	"sync/atomic"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
)

// Assembler makes of what came on the wire what a store takes: it reads each packet's headers, looking for tunnels where the
// agent's cut did, and compares them with the session that the agent put the packet to. A packet that contradicts its session
// is counted and kept out of the head. It stands before the store, so that this work is done outside of every lock. Any
// number of goroutines may use one.
type Assembler struct {
	store      Store
	walkers    *packet.Walkers
	scratch    sync.Pool // of *Batch
	packets    atomic.Uint64
	mismatched atomic.Uint64
}

// NewAssembler returns an assembler in front of a store.
func NewAssembler(store Store, walkers *packet.Walkers) *Assembler {
	return &Assembler{store: store, walkers: walkers, scratch: sync.Pool{New: func() any { return new(Batch) }}}
}

// Stats tells how many packets were read, and how many of them contradicted their session.
func (a *Assembler) Stats() (packets, mismatched uint64) {
	return a.packets.Load(), a.mismatched.Load()
}

// Resume is the store's.
func (a *Assembler) Resume(ctx context.Context, lane packet.Lane, hello *ingestv1.Hello) (*ingestv1.Welcome, uint64, error) {
	return a.store.Resume(ctx, lane, hello)
}

// NextMarks is the store's.
func (a *Assembler) NextMarks(ctx context.Context, lane packet.Lane, seen *ingestv1.Ack) (*ingestv1.Ack, error) {
	return a.store.NextMarks(ctx, lane, seen)
}

// Apply gives a batch to the store. Its columns must have been checked: equally long, each index in range, addresses of 4
// or 16 bytes, the sum of captured the length of data. It is only borrowed.
func (a *Assembler) Apply(ctx context.Context, lane packet.Lane, fence uint64, batch *ingestv1.Batch) (enough []uint64, err error) {
	b, ok := a.scratch.Get().(*Batch)
	if !ok {
		panic("the pool makes batches")
	}
	defer a.scratch.Put(b)
	a.Read(b, lane, fence, batch)
	enough, err = a.store.Apply(ctx, b)
	if err == nil {
		a.packets.Add(uint64(len(b.Packets)))
		a.mismatched.Add(uint64(b.Mismatched))
	}
	b.forget()
	return enough, err
}

// forget lets go of what the batch refers to; its slices stay for the next one.
func (b *Batch) forget() {
	b.Counters, b.Spool, b.Data, b.Interfaces = nil, nil, nil, nil
	clear(b.walkers)
}

// Read fills b, whatever it held before, from a batch that has been checked. What it refers to stays the caller's.
func (a *Assembler) Read(b *Batch, lane packet.Lane, fence uint64, from *ingestv1.Batch) {
	*b = Batch{
		Lane: lane, Fence: fence,
		Sequence: from.GetSequence(), Skipped: from.GetSkipped(), EndedBelow: from.GetEndedBelow(),
		Counters: from.GetCounters(), Spool: from.GetSpool(), ConfigRevision: from.GetConfigRevision(),
		Interfaces: from.GetInterfaces(), Data: from.GetData(),
		Updates: b.Updates[:0], Packets: b.Packets[:0], walkers: b.walkers[:0],
	}
	for _, i := range b.Interfaces {
		b.walkers = append(b.walkers, a.walkers.For(i.GetTunnelPorts()))
	}
	for _, u := range from.GetSessions() {
		b.Updates = append(b.Updates, readUpdate(u))
	}
	a.readPackets(b, from)
}

func readUpdate(u *ingestv1.SessionUpdate) Update {
	key, clientHigh := keyOf(u.GetFiveTuple(), u.GetScope())
	return Update{
		Number: u.GetNumber(), Key: key, ClientHigh: clientHigh,
		Opened: u.GetOpened(), Midstream: u.GetMidstream(), Continued: u.GetContinued(),
		Interface: u.GetInterfaceIndex(), PacketsBefore: u.GetPacketsBefore(), Counts: countsFrom(u.GetCounts()),
	}
}

func (a *Assembler) readPackets(b *Batch, from *ingestv1.Batch) {
	var (
		sessions, captured = from.GetSessionIndex(), from.GetCaptured()
		missing, flags     = from.GetMissing(), from.GetFlags()
		deltas, indexes    = from.GetTimeDeltasNs(), from.GetInterfaceIndexes()
		info               packet.Info
		now                = from.GetBaseTimeNs()
		offset             uint32
	)
	for i, session := range sessions {
		now += deltas[i] // wraps around on nonsense, which nothing depends on
		u := &b.Updates[session]
		p := Packet{
			Time: now, Update: session, Ordinal: u.PacketsBefore + u.Packets, Offset: offset, Captured: captured[i], Missing: missing[i],
			Flags: uint8(flags[i]),
		}
		u.Packets++
		u.Bytes += captured[i]
		if len(indexes) > 0 {
			p.Interface = indexes[i]
		}
		frame := b.Data[offset : offset+captured[i]]
		offset += captured[i]
		link := packet.LinkType(b.Interfaces[p.Interface].GetLinkType())
		reverse := p.Flags&uint8(flowv1.PacketFlag_PACKET_FLAG_REVERSE) != 0
		if b.walkers[p.Interface].Walk(link, frame, len(frame)+int(p.Missing), &info) == packet.OK && belongs(&info, u, reverse) {
			p.Payload, p.Carries = uint32(info.PayloadOffset), uint32(info.PayloadCaptured)
			if !u.First.Seen && info.Fragment != packet.LaterFragment {
				u.First = First{Seen: true, Reverse: reverse, Type: info.ICMPType, Code: info.ICMPCode}
			}
		} else {
			p.Mismatched = true
			b.Mismatched++
		}
		b.Packets = append(b.Packets, p)
	}
}

// belongs tells whether a packet's headers are those of the session, in the direction that the agent says. A fragment
// that shows no ports belongs by its addresses: only the agent saw the first one.
func belongs(info *packet.Info, u *Update, reverse bool) bool {
	key := u.Key
	if info.Key != key {
		if info.Fragment == packet.NotFragmented || info.Key.LowPort|info.Key.HighPort != 0 {
			return false
		}
		key.LowPort, key.HighPort = 0, 0
		if info.Key != key {
			return false
		}
	}
	if key.Low == key.High && key.LowPort == key.HighPort {
		return true // a session with itself has no direction
	}
	return info.Reversed == (u.ClientHigh != reverse)
}
