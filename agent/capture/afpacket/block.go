package afpacket

import (
	"encoding/binary"

	"sonde.example/agent/capture"
)

// Where the fields of a block lie (struct tpacket_block_desc) and those of a packet in it (tpacket3_hdr, sockaddr_ll behind
// it), as linux/if_packet.h has them; numbers are in the host's byte order.
const (
	blockStatus  = 8
	blockPackets = 12
	blockFirst   = 16
	blockHeader  = 48

	packetNext       = 0
	packetSeconds    = 4
	packetNanosecond = 8
	packetCaptured   = 12
	packetOriginal   = 16
	packetStatus     = 20
	packetMAC        = 24
	packetTCI        = 32
	packetTPID       = 36
	packetType       = 48 + 10
	packetHeader     = 48 + 20

	statusKernel = 0

	maxWireBytes = 1 << 30 // no packet is longer, whatever the header says

	statusTagged    = 1 << 4 // TP_STATUS_VLAN_VALID
	statusTPIDValid = 1 << 6 // TP_STATUS_VLAN_TPID_VALID
)

// A block's packets, of which the first left begins at an offset. The memory is shared with the kernel, which does not touch
// it before the block is given back; all that it says is checked all the same.
type block struct {
	memory []byte
	at     int // of the next packet
	left   int // packets
}

// openBlock reads a block's header. A block that makes no sense is empty; broken is how many packets it claims.
func openBlock(memory []byte) (b block, broken int) {
	if len(memory) < blockHeader {
		return block{}, 0
	}
	count := int64(binary.NativeEndian.Uint32(memory[blockPackets:]))
	first := int64(binary.NativeEndian.Uint32(memory[blockFirst:]))
	if most := len(memory) / packetHeader; count > int64(most) {
		return block{}, most
	}
	if count > 0 && (first < blockHeader || first > int64(len(memory)-packetHeader)) {
		return block{}, int(count)
	}
	return block{memory, int(first), int(count)}, 0
}

// frame is what a ring has of one packet.
type frame struct {
	data     []byte // capacity ends with it
	time     int64
	original int
	kind     uint8 // PACKET_HOST, PACKET_OUTGOING, ...
	tagged   bool  // the kernel had taken its outermost tag off
}

// next returns the next packet, with its VLAN tag put back. False means that the block is broken from here on; left
// still counts it.
func (b *block) next() (frame, bool) {
	m := b.memory
	at := b.at
	if at < 0 || at > len(m)-packetHeader {
		return frame{}, false
	}
	header := m[at : at+packetHeader]
	word := func(offset int) int64 { return int64(binary.NativeEndian.Uint32(header[offset:])) }
	length, mac := word(packetCaptured), int(binary.NativeEndian.Uint16(header[packetMAC:]))
	if mac < packetHeader || mac > len(m)-at || length > int64(len(m)-at-mac) {
		return frame{}, false
	}
	start, captured := at+mac, int(length)
	f := frame{
		time:     word(packetSeconds)*1e9 + word(packetNanosecond),
		original: int(max(min(word(packetOriginal), maxWireBytes), length)),
		kind:     header[packetType],
	}
	if status := word(packetStatus); status&statusTagged != 0 && captured >= 12 && mac >= packetHeader+4 {
		// The addresses move to make room; reserved bytes before them are there for it (PACKET_RESERVE).
		tpid := uint16(0x8100)
		if status&statusTPIDValid != 0 {
			tpid = binary.NativeEndian.Uint16(header[packetTPID:])
		}
		copy(m[start-4:], m[start:start+12])
		binary.BigEndian.PutUint16(m[start+8:], tpid)
		binary.BigEndian.PutUint16(m[start+10:], uint16(word(packetTCI)))
		start, captured, f.original, f.tagged = start-4, captured+4, f.original+4, true
	}
	f.data = m[start : start+captured : start+captured]
	b.left--
	if b.left > 0 {
		step := word(packetNext)
		if step < packetHeader || step > int64(len(m)) {
			b.at = -1 // this one is sound, the next is not
		} else {
			b.at = at + int(step)
		}
	}
	return f, true
}

// direction tells it from the kernel's packet type.
func direction(kind uint8) capture.Direction {
	if kind == outgoingType {
		return capture.Outbound
	}
	return capture.Inbound
}
