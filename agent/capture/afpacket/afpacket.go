// Package afpacket captures packets on Linux devices through rings of memory shared with the kernel (TPACKET_V3,
// Documentation/networking/packet_mmap.rst), one for each device, all read by one goroutine. The kernel turns away what the
// filter does not take and the uplink's own flows, before it copies; what is left lies in the ring until it is read, and is
// lost, exactly counted, when the ring is full. Nothing unfiltered gets in, because a socket has its filter before it is
// bound. Filters change on the live socket; devices change by rings that run side by side for a moment, told apart by the
// packets' time stamps. A device that goes down or away is waited for.
//
// A filter sees a frame as it was on the wire, as it does in a file. The kernel keeps the outermost VLAN tag apart from
// the bytes and its programs cannot see it where it was; so it lets tagged frames through, the tag is put back in place, and
// the program runs here, on the whole frame. "tcp port 443" takes no tagged frame; "vlan and tcp port 443" does.
//
//	ring  ┌────────┬────────┬────────┬────────┐   blocks of up to 1 MiB; each is the kernel's, or, when full or 10 ms
//	      │ ours   │ ours   │ kernel │ kernel │   old, ours until all of its packets have been read
//	      └────────┴────────┴────────┴────────┘
//	        ▲ read            ▲ written
//
// Nothing is held for promiscuous mode: what the device does not give to the host is not seen.
package afpacket

// Scheme stands before the device in a point's name; it may be left out.
const Scheme = "afpacket:"

// Sizes of a ring, in bytes, all of it locked in memory by the kernel as long as the ring lives.
const (
	DefaultRingBytes = 64 << 20
	SmallRingBytes   = 8 << 20 // for hosts where the whole agent has 48 MB
	MinRingBytes     = 1 << 20
	MaxRingBytes     = 1 << 30
)

// MaxRings is how many rings a set has at most at one time, those that are about to end included: each new device of a
// Replace has one, and each device given up has its own for a quarter of a second more.
const MaxRings = 64

// Options for Open.
type Options struct {
	// RingBytes is the size of each device's ring, rounded down to whole blocks, between MinRingBytes and
	// MaxRingBytes; 0 means DefaultRingBytes.
	RingBytes int
}

// Blocks are the unit in which the kernel hands packets over. A block that is not full is handed over after a time, so a ring
// must have many of them, whatever its size, lest a reader that is held up for a few of these times loses packets while
// most of the ring is empty. A frame is never longer than a block; 64 KiB of segments taken together must fit.
const (
	minBlocks     = 64
	minBlockBytes = 128 << 10
	maxBlockBytes = 1 << 20
)

// blocksOf returns how many blocks a ring has, and how large they are.
func blocksOf(ringBytes int) (count, bytes int) {
	bytes = maxBlockBytes
	for bytes > minBlockBytes && ringBytes/bytes < minBlocks {
		bytes /= 2
	}
	return ringBytes / bytes, bytes
}
