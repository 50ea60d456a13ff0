package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
)

// Block types and the options that are read (draft-ietf-opsawg-pcapng). Every other block is stepped over.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete, but files have it
	blockSimple    = 3
	blockEnhanced  = 6

	byteOrderMagic = 0x1a2b3c4d

	optionEnd        = 0
	optionResolution = 9  // of an interface: a power of 10, or with the upper bit set of 2
	optionOffset     = 14 // of an interface: seconds to add
	optionFlags      = 2  // of a packet: direction in the lower two bits

	minBlockBytes = 12 // type, length, and the length again
	sectionBytes  = 28

	// maxInterfaces bounds memory. The obsolete block has 16 bits for them, and nobody has more.
	maxInterfaces = 65536
)

// pcapng reads the blocks of a pcapng file, section after section.
type pcapng struct {
	big        bool          // the section's byte order
	interfaces []description // of the section
	base       int           // how many interfaces the sections before it had
	first      packet.LinkType
	last       int64 // the packet before's time, for packets that have none
	failed     error // what the look-ahead ran into
}

// description is an interface.
type description struct {
	link       packet.LinkType
	snapLength uint32
	unit       uint64 // ticks of its clock in a second, at least 1
	offset     int64  // seconds, within what a Time can hold
}

// openPcapng reads on to the first interface, so that the link type is known before the first packet is asked for.
func openPcapng(ctx context.Context, in *input) (*pcapng, error) {
	header, err := in.peek(ctx, sectionBytes)
	if errors.Is(err, cutShort) {
		return nil, fmt.Errorf("pcapng section header %w after %d of %d bytes", err, len(header), sectionBytes)
	}
	if err != nil {
		return nil, err
	}
	p := new(pcapng)
	if err := p.section(header); err != nil {
		return nil, err
	}
	for len(p.interfaces) == 0 && p.failed == nil {
		err := in.begin(ctx)
		if err == nil {
			header, err = in.peek(ctx, 8)
		}
		if err == nil && isPacket(p.uint32(header)) {
			break
		}
		if err == nil {
			_, _, err = p.block(ctx, in)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p.failed = err
	}
	return p, nil
}

func isPacket(kind uint32) bool {
	return kind == blockEnhanced || kind == blockSimple || kind == blockPacket
}

func (p *pcapng) linkType() (packet.LinkType, bool) { return p.first, p.base+len(p.interfaces) > 0 }

func (p *pcapng) next(ctx context.Context, in *input) ([]byte, capture.Info, error) {
	if p.failed != nil {
		return nil, capture.Info{}, p.failed
	}
	for {
		kind, body, err := p.block(ctx, in)
		if err != nil {
			return nil, capture.Info{}, err
		}
		switch kind {
		case blockEnhanced, blockPacket:
			return p.packet(kind, body)
		case blockSimple:
			return p.simple(body)
		}
	}
}

// block consumes the next block, or nothing if there is an error, and returns what is between its lengths. What changes
// the state, sections and interfaces, it applies; what is of no use it steps over and returns empty.
func (p *pcapng) block(ctx context.Context, in *input) (kind uint32, body []byte, err error) {
	if err := in.begin(ctx); err != nil {
		return 0, nil, err
	}
	header, err := in.peek(ctx, 8)
	if err != nil {
		return 0, nil, err
	}
	kind = p.uint32(header)
	if kind == blockSection { // it reads the same in both byte orders, and brings its own
		if header, err = in.peek(ctx, sectionBytes); err != nil {
			return 0, nil, err
		}
		if err := p.section(header); err != nil {
			return 0, nil, err
		}
	}
	length := int64(p.uint32(header[4:]))
	if length < minBlockBytes || length%4 != 0 {
		return 0, nil, defect(fmt.Sprintf("block of length %d", length))
	}
	if kind != blockInterface && !isPacket(kind) {
		in.skip(length)
		return kind, nil, nil
	}
	if length > bufferBytes {
		return 0, nil, defect(fmt.Sprintf("block of length %d is longer than %d", length, bufferBytes))
	}
	block, err := in.peek(ctx, int(length))
	if err != nil {
		return 0, nil, err
	}
	body = block[8 : length-4]
	if again := p.uint32(block[length-4:]); int64(again) != length {
		return 0, nil, defect(fmt.Sprintf("block of length %d that ends with length %d", length, again))
	}
	if kind == blockInterface {
		if err := p.describe(body); err != nil {
			return 0, nil, err
		}
	}
	in.consume(int(length))
	return kind, body, nil
}

// section begins a section: its byte order holds for all that follows, and interfaces are counted anew.
func (p *pcapng) section(header []byte) error {
	switch {
	case binary.LittleEndian.Uint32(header[8:]) == byteOrderMagic:
		p.big = false
	case binary.BigEndian.Uint32(header[8:]) == byteOrderMagic:
		p.big = true
	default:
		return defect(fmt.Sprintf("pcapng byte-order magic % x", header[8:12]))
	}
	if major := p.uint16(header[12:]); major != 1 {
		return defect(fmt.Sprintf("pcapng version %d.%d is not known; want 1.0", major, p.uint16(header[14:])))
	}
	p.base += len(p.interfaces)
	p.interfaces = p.interfaces[:0]
	return nil
}

// describe reads an interface description.
func (p *pcapng) describe(body []byte) error {
	if len(body) < 8 {
		return defect("interface description too short")
	}
	if len(p.interfaces) == maxInterfaces {
		return defect(fmt.Sprintf("more than %d interfaces", maxInterfaces))
	}
	d := description{link: packet.LinkType(p.uint16(body)), snapLength: p.uint32(body[4:]), unit: 1e6}
	for options := body[8:]; ; {
		code, value, rest := p.option(options)
		switch {
		case code == optionEnd:
			if p.base+len(p.interfaces) == 0 {
				p.first = d.link
			}
			p.interfaces = append(p.interfaces, d)
			return nil
		case code == optionResolution && len(value) >= 1:
			d.unit = ticks(value[0])
		case code == optionOffset && len(value) >= 8:
			d.offset = max(-maxSeconds, min(p.int64(value), maxSeconds))
		}
		options = rest
	}
}

// option splits off the first option; optionEnd when there is none.
func (p *pcapng) option(options []byte) (code uint16, value, rest []byte) {
	if len(options) < 4 {
		return optionEnd, nil, nil
	}
	length := int(p.uint16(options[2:]))
	padded := 4 + (length+3)&^3
	if len(options) < padded {
		return optionEnd, nil, nil
	}
	return p.uint16(options), options[4 : 4+length], options[padded:]
}

// packet reads an enhanced packet block, or the obsolete one, whose interface has half the bits.
func (p *pcapng) packet(kind uint32, body []byte) ([]byte, capture.Info, error) {
	if len(body) < 20 {
		return nil, capture.Info{}, defect("packet block too short")
	}
	index, length := int64(p.uint32(body)), p.uint32(body[12:])
	if kind == blockPacket {
		index = int64(p.uint16(body))
	}
	if index >= int64(len(p.interfaces)) {
		return nil, capture.Info{}, defect(fmt.Sprintf("packet of interface %d, where there are %d,", index, len(p.interfaces)))
	}
	if length > MaxPacketBytes || int(length) > len(body)-20 {
		return nil, capture.Info{}, defect(fmt.Sprintf("packet of %d bytes in a block that has %d", length, len(body)-20))
	}
	d := &p.interfaces[index]
	p.last = d.time(uint64(p.uint32(body[4:]))<<32 | uint64(p.uint32(body[8:])))
	info := capture.Info{
		Time:           p.last,
		CaptureLength:  int(length),
		OriginalLength: onWire(p.uint32(body[16:]), length),
		InterfaceIndex: p.base + int(index),
		LinkType:       d.link,
	}
	if options := body[20+(length+3)&^3:]; len(options) > 0 {
		info.Direction = p.direction(options)
	}
	return body[20 : 20+length], info, nil
}

func (p *pcapng) direction(options []byte) capture.Direction {
	for {
		code, value, rest := p.option(options)
		switch {
		case code == optionEnd:
			return capture.UnknownDirection
		case code == optionFlags && len(value) == 4:
			switch p.uint32(value) & 3 {
			case 1:
				return capture.Inbound
			case 2:
				return capture.Outbound
			}
			return capture.UnknownDirection
		}
		options = rest
	}
}

// simple reads a simple packet block: the first interface, and no time; it gets that of the packet before, 1970 if there
// is none, which is the same at every reading.
func (p *pcapng) simple(body []byte) ([]byte, capture.Info, error) {
	if len(p.interfaces) == 0 {
		return nil, capture.Info{}, defect("packet of interface 0, where there are none,")
	}
	if len(body) < 4 {
		return nil, capture.Info{}, defect("packet block too short")
	}
	d := &p.interfaces[0]
	original := p.uint32(body)
	length := min(original, uint32(len(body)-4), MaxPacketBytes)
	if d.snapLength != 0 {
		length = min(length, d.snapLength)
	}
	return body[4 : 4+length], capture.Info{
		Time:           p.last,
		CaptureLength:  int(length),
		OriginalLength: onWire(original, length),
		InterfaceIndex: p.base,
		LinkType:       d.link,
	}, nil
}

// maxSeconds is how far a Time reaches from 1970, either way.
const maxSeconds = math.MaxInt64 / int64(1e9)

// ticks returns how many units of a resolution make a second. What does not fit is taken for the finest that does: such a
// clock counts less than two seconds from 1970 anyway.
func ticks(resolution byte) uint64 {
	if resolution&0x80 != 0 {
		return 1 << min(resolution&0x7f, 63)
	}
	unit := uint64(1)
	for range min(resolution, 19) {
		unit *= 10
	}
	return unit
}

// time converts a reading of the interface's clock into nanoseconds since 1970, or the last one that there is.
func (d *description) time(reading uint64) int64 {
	high, low := bits.Mul64(reading, 1e9)
	if high >= d.unit {
		return math.MaxInt64
	}
	nanoseconds, _ := bits.Div64(high, low, d.unit)
	offset := d.offset * 1e9
	if nanoseconds > math.MaxInt64 || offset > 0 && int64(nanoseconds) > math.MaxInt64-offset {
		return math.MaxInt64
	}
	return int64(nanoseconds) + offset
}

func (p *pcapng) uint16(b []byte) uint16 {
	if p.big {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (p *pcapng) uint32(b []byte) uint32 {
	if p.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (p *pcapng) int64(b []byte) int64 {
	if p.big {
		return int64(binary.BigEndian.Uint64(b))
	}
	return int64(binary.LittleEndian.Uint64(b))
}
