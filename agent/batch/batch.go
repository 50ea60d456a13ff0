// Package batch gathers what the cut lets through into batches, one builder a lane. A batch keeps the order of packets; it
// is done when it has 256 KiB of their bytes, 65,536 packets, or is 50 ms old (5 ms when hardly anything comes), and goes
// into the spool already encoded, as a sonde.ingest.v1.Batch without the fields that are only known when it is sent. While
// the spool makes the batcher wait nothing more is read: that is how a capture that can wait is held back.
//
// Nothing is allocated for a packet. A builder owns its buffers and uses them again for the next batch; the spool borrows
// them for the call.
package batch

import (
	"math"

	"sonde.example/internal/packet"
)

const (
	// MaxBytes of packets make a batch full. The knee of throughput is here (design notes, gRPC streaming).
	MaxBytes = 256 << 10
	// MaxPackets is the contract's limit.
	MaxPackets = 65536
	// MaxSessions make a batch full, so that with what one call of the cut may still add it stays below 2 MiB without
	// the packets' bytes. The contract allows more.
	MaxSessions = 8192
	// MaxInterfaces make a batch full. The contract allows twice as many, and one call of the cut adds fewer than half.
	MaxInterfaces = 512
)

// packetRoom is what the last packet of a batch usually needs at most. Longer ones make the buffer grow.
const packetRoom = 16 << 10

// Session is what a batch says of a session that it touches. Whoever touches it brings it up to date.
type Session struct {
	Number        uint64
	Key           packet.Key
	ClientHigh    bool   // the client is Key.High
	Interface     uint32 // number of the interface where it opened
	PacketsBefore uint32 // in earlier batches
	Opened        bool   // in this batch
	Midstream     bool
	Continued     bool

	ForwardPackets, ForwardBytes, ReversePackets, ReverseBytes uint64
	OpenedTime, LastTime                                       int64 // nanoseconds since 1970 UTC
	ForwardFlags, ReverseFlags                                 uint8 // TCP's
	EndReason                                                  int32 // flow.v1.EndReason; 0 while it is open
}

// Interface is where packets come from; interfaces are numbered by whoever opens the captures, from 0.
type Interface struct {
	CapturePoint string
	Name         string
	Link         packet.LinkType
	// OwnPorts tells that tunnels are not looked for on the well-known ports but on Ports, an encoded
	// sonde.flow.v1.TunnelPorts. It is text so that interfaces can be compared.
	OwnPorts bool
	Ports    string
}

// Builder builds the batches of one lane. It is not for concurrent use.
type Builder struct {
	most       int    // bytes that make it full
	generation uint32 // of the batch, from 1; part of tags
	sessions   []Session

	packets  int
	baseTime int64
	lastTime int64
	index    []byte // the columns, packed varints
	deltas   []byte
	captured []byte
	missing  []byte
	flags    []byte
	through  []byte // interface indexes
	data     []byte

	interfaces []uint32          // numbers of the interfaces used in this batch
	local      map[uint32]uint32 // the same, backwards
	lastNumber uint32            // what through had last, as a number and
	lastLocal  uint32            // as an index

	meta, inner, deepest []byte // for encoding
}

// NewBuilder returns an empty builder whose batches are full with so many bytes of packets, at most MaxBytes, which is also
// what 0 means.
func NewBuilder(bytes int) *Builder {
	if bytes <= 0 || bytes > MaxBytes {
		bytes = MaxBytes
	}
	return &Builder{
		most: bytes, generation: 1, local: map[uint32]uint32{}, lastNumber: math.MaxUint32,
		data: make([]byte, 0, bytes+packetRoom), // growing to that size costs several times as much
	}
}

// Empty tells whether there is nothing to hand over.
func (b *Builder) Empty() bool { return len(b.sessions) == 0 }

// Full tells whether the batch is to be handed over.
func (b *Builder) Full() bool {
	return len(b.data) >= b.most || b.packets >= MaxPackets || len(b.sessions) >= MaxSessions ||
		len(b.interfaces) >= MaxInterfaces
}

// Packets is how many there are in the batch.
func (b *Builder) Packets() int { return b.packets }

// Touch returns what the batch says of a session, and whether that is new and to be filled. The tag is how the builder
// finds it again: it belongs to the session, is 0 at first, and is written by Touch only. The pointer lasts until the
// next call of Touch.
func (b *Builder) Touch(tag *uint64) (s *Session, fresh bool) {
	if uint32(*tag>>32) == b.generation {
		return &b.sessions[uint32(*tag)], false
	}
	*tag = uint64(b.generation)<<32 | uint64(len(b.sessions))
	b.sessions = append(b.sessions, Session{})
	return &b.sessions[len(b.sessions)-1], true
}

// Packet adds a packet of the session with the tag, which was touched in this batch. The bytes are copied. Original is the
// packet's length on the wire, at least len(data); through is the interface's number.
func (b *Builder) Packet(tag uint64, timeNS int64, data []byte, original int, flags, through uint32) {
	if b.packets == 0 {
		b.baseTime, b.lastTime = timeNS, timeNS
	}
	b.packets++
	b.index = appendVarint(b.index, uint64(uint32(tag)))
	delta := timeNS - b.lastTime
	b.lastTime = timeNS
	b.deltas = appendVarint(b.deltas, uint64(delta<<1)^uint64(delta>>63))
	b.captured = appendVarint(b.captured, uint64(len(data)))
	b.missing = appendVarint(b.missing, uint64(original-len(data)))
	b.flags = append(b.flags, byte(flags)) // the bits in use fit one byte of a varint
	b.through = appendVarint(b.through, uint64(b.Names(through)))
	b.data = append(b.data, data...)
}

// appendVarint is protowire.AppendVarint, small enough to be inlined for what most values are.
func appendVarint(to []byte, v uint64) []byte {
	for v >= 0x80 {
		to = append(to, byte(v)|0x80)
		v >>= 7
	}
	return append(to, byte(v))
}

// Names returns an interface's place in this batch, which will name it. Call it for that of each session that is touched,
// so that Full knows.
func (b *Builder) Names(number uint32) uint32 {
	if number == b.lastNumber {
		return b.lastLocal
	}
	index, known := b.local[number]
	if !known {
		index = uint32(len(b.interfaces))
		b.interfaces = append(b.interfaces, number)
		b.local[number] = index
	}
	b.lastNumber, b.lastLocal = number, index
	return index
}

// Reset begins the next batch.
func (b *Builder) Reset() {
	b.generation++
	if b.generation == 0 { // tags of the first batches could come back to life
		b.generation = 1
	}
	b.sessions = b.sessions[:0]
	b.packets, b.baseTime, b.lastTime = 0, 0, 0
	b.index, b.deltas, b.captured, b.missing = b.index[:0], b.deltas[:0], b.captured[:0], b.missing[:0]
	b.flags, b.through, b.data = b.flags[:0], b.through[:0], b.data[:0]
	b.interfaces = b.interfaces[:0]
	clear(b.local)
	b.lastNumber = math.MaxUint32
}
