package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
)

// The layout is draft-ietf-opsawg-pcap: a header of 24 bytes; then for each packet seconds, microseconds or nanoseconds,
// captured and original length, and the bytes.
const (
	magicMicroseconds = 0xa1b2c3d4
	magicNanoseconds  = 0xa1b23c4d

	pcapHeaderBytes = 24
	recordBytes     = 16
)

// pcap reads the records of a pcap file.
type pcap struct {
	big   bool  // the file's byte order
	unit  int64 // nanoseconds in a unit of the fraction
	link  packet.LinkType
	clock clock
}

func pcapMagic(magic []byte) bool {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if m := order.Uint32(magic); m == magicMicroseconds || m == magicNanoseconds {
			return true
		}
	}
	return false
}

func openPcap(ctx context.Context, in *input) (*pcap, error) {
	header, err := in.peek(ctx, pcapHeaderBytes)
	if errors.Is(err, cutShort) {
		return nil, fmt.Errorf("pcap header %w after %d of %d bytes", err, len(header), pcapHeaderBytes)
	}
	if err != nil {
		return nil, err
	}
	p := &pcap{unit: 1000}
	magic := binary.LittleEndian.Uint32(header)
	p.big = magic != magicMicroseconds && magic != magicNanoseconds
	if p.uint32(header) == magicNanoseconds {
		p.unit = 1
	}
	major, minor := uint16(p.uint32(header[4:])), uint16(p.uint32(header[4:])>>16)
	if p.big {
		major, minor = minor, major
	}
	if major != 2 {
		return nil, defect(fmt.Sprintf("pcap version %d.%d is not known; want 2.4", major, minor))
	}
	// The upper half tells of the length of a frame check sequence, which the IP header's length leaves out anyway.
	p.link = packet.LinkType(p.uint32(header[20:]))
	in.consume(pcapHeaderBytes)
	return p, nil
}

func (p *pcap) uint32(b []byte) uint32 {
	if p.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (p *pcap) linkType() (packet.LinkType, bool) { return p.link, true }

func (p *pcap) next(ctx context.Context, in *input) ([]byte, capture.Info, error) {
	if err := in.begin(ctx); err != nil {
		return nil, capture.Info{}, err
	}
	header, err := in.peek(ctx, recordBytes)
	if err != nil {
		return nil, capture.Info{}, err
	}
	seconds, fraction := p.uint32(header), p.uint32(header[4:])
	length, original := p.uint32(header[8:]), p.uint32(header[12:])
	if length > MaxPacketBytes {
		return nil, capture.Info{}, defect(fmt.Sprintf("packet of %d bytes is longer than %d", length, MaxPacketBytes))
	}
	record, err := in.peek(ctx, recordBytes+int(length))
	if err != nil {
		return nil, capture.Info{}, err
	}
	in.consume(len(record))
	return record[recordBytes:], capture.Info{
		Time:           p.clock.seconds(seconds)*1e9 + int64(fraction)*p.unit,
		CaptureLength:  int(length),
		OriginalLength: onWire(original, length),
		LinkType:       p.link,
	}, nil
}

// clock continues the 32 bits of seconds, which wrap in 2106: a step from the last 1/16 of their range to the first is
// taken for a wrap, and one back for its undoing, since packets need not be in order.
type clock struct {
	last uint32
	era  int64
}

func (c *clock) seconds(s uint32) int64 {
	switch {
	case c.last>>28 == 0xf && s>>28 == 0:
		c.era++
	case c.last>>28 == 0 && s>>28 == 0xf && c.era > 0:
		c.era--
	}
	c.last = s
	return c.era<<32 + int64(s)
}
