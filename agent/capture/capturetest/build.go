package capturetest

import (
	"encoding/binary"

	"sonde.example/internal/packet"
)

// order is a byte order that can append.
type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

func orderOf(bigEndian bool) order {
	if bigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// Pcap builds a pcap file.
type Pcap struct {
	BigEndian   bool
	Nanoseconds bool
	LinkType    packet.LinkType
	SnapLength  uint32
}

// Header returns the file header.
func (p Pcap) Header() []byte {
	magic := uint32(0xa1b2c3d4)
	if p.Nanoseconds {
		magic = 0xa1b23c4d
	}
	o := orderOf(p.BigEndian)
	b := o.AppendUint32(nil, magic)
	b = o.AppendUint16(b, 2)
	b = o.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = o.AppendUint32(b, p.SnapLength)
	return o.AppendUint32(b, uint32(p.LinkType))
}

// Record returns one packet with its header; fraction is in the file's unit.
func (p Pcap) Record(seconds, fraction uint32, data []byte, original int) []byte {
	return append(p.RecordHeader(seconds, fraction, uint32(len(data)), uint32(original)), data...)
}

// RecordHeader returns a record's header, which may claim anything.
func (p Pcap) RecordHeader(seconds, fraction, captured, original uint32) []byte {
	o := orderOf(p.BigEndian)
	var b []byte
	for _, n := range []uint32{seconds, fraction, captured, original} {
		b = o.AppendUint32(b, n)
	}
	return b
}

// File returns a file of whole packets, a millisecond apart from 1,000,000 seconds on.
func (p Pcap) File(packets ...[]byte) []byte {
	b := p.Header()
	unit := uint32(1000)
	if p.Nanoseconds {
		unit = 1_000_000
	}
	for i, data := range packets {
		b = append(b, p.Record(1_000_000, uint32(i)*unit, data, len(data))...)
	}
	return b
}

// Pcapng builds the blocks of a pcapng file.
type Pcapng struct{ BigEndian bool }

// Option is an option of a block.
type Option struct {
	Code  uint16
	Value []byte
}

// Block returns a block with both lengths; the body is padded.
func (p Pcapng) Block(kind uint32, body []byte) []byte {
	o := orderOf(p.BigEndian)
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	b := o.AppendUint32(nil, kind)
	b = o.AppendUint32(b, uint32(12+len(body)))
	b = append(b, body...)
	return o.AppendUint32(b, uint32(12+len(body)))
}

// Section returns a section header.
func (p Pcapng) Section() []byte {
	o := orderOf(p.BigEndian)
	b := o.AppendUint32(nil, 0x1a2b3c4d)
	b = o.AppendUint16(b, 1)
	b = o.AppendUint16(b, 0)
	return p.Block(0x0a0d0d0a, o.AppendUint64(b, 1<<64-1))
}

// Interface returns an interface description.
func (p Pcapng) Interface(link packet.LinkType, snapLength uint32, options ...Option) []byte {
	o := orderOf(p.BigEndian)
	b := o.AppendUint16(nil, uint16(link))
	b = o.AppendUint16(b, 0)
	return p.Block(1, append(o.AppendUint32(b, snapLength), p.options(options)...))
}

// Enhanced returns an enhanced packet block; ticks are in the interface's unit.
func (p Pcapng) Enhanced(index uint32, ticks uint64, data []byte, original int, options ...Option) []byte {
	o := orderOf(p.BigEndian)
	return p.packet(6, o.AppendUint32(nil, index), ticks, data, original, options)
}

// Obsolete returns a packet block, which the enhanced one has replaced.
func (p Pcapng) Obsolete(index uint16, ticks uint64, data []byte, original int, options ...Option) []byte {
	o := orderOf(p.BigEndian)
	return p.packet(2, o.AppendUint16(o.AppendUint16(nil, index), 0xffff), ticks, data, original, options)
}

func (p Pcapng) packet(kind uint32, b []byte, ticks uint64, data []byte, original int, options []Option) []byte {
	o := orderOf(p.BigEndian)
	for _, n := range []uint32{uint32(ticks >> 32), uint32(ticks), uint32(len(data)), uint32(original)} {
		b = o.AppendUint32(b, n)
	}
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return p.Block(kind, append(b, p.options(options)...))
}

// Simple returns a simple packet block.
func (p Pcapng) Simple(data []byte, original int) []byte {
	return p.Block(3, append(orderOf(p.BigEndian).AppendUint32(nil, uint32(original)), data...))
}

func (p Pcapng) options(options []Option) []byte {
	o := orderOf(p.BigEndian)
	var b []byte
	for _, option := range options {
		b = o.AppendUint16(b, option.Code)
		b = o.AppendUint16(b, uint16(len(option.Value)))
		b = append(b, option.Value...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	if len(options) > 0 {
		b = append(b, 0, 0, 0, 0)
	}
	return b
}
