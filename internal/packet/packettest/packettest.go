// Package packettest builds frames for tests, from the inside out: each function wraps what it is given in one header, with
// right lengths and without checksums, which nothing in Sonde looks at.
//
//	frame := packettest.Ethernet(0x0800, packettest.IPv4("10.0.0.1", "10.0.0.2", 6, packettest.TCP(1025, 80, 0x02, 1, 0, nil)))
package packettest

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Ethernet adds addresses and an EtherType.
func Ethernet(etherType uint16, payload []byte) []byte {
	header := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	return append(binary.BigEndian.AppendUint16(header, etherType), payload...)
}

// Tag adds an IEEE 802.1Q tag to what follows an EtherType.
func Tag(vlan, etherType uint16, payload []byte) []byte {
	header := binary.BigEndian.AppendUint16(nil, vlan)
	return append(binary.BigEndian.AppendUint16(header, etherType), payload...)
}

// MPLS adds a label.
func MPLS(label uint32, bottom bool, payload []byte) []byte {
	word := label<<12 | 64
	if bottom {
		word |= 0x100
	}
	return append(binary.BigEndian.AppendUint32(nil, word), payload...)
}

// PPPoE adds a session header and a PPP protocol field.
func PPPoE(protocol uint16, payload []byte) []byte {
	header := []byte{0x11, 0, 0, 7}
	header = binary.BigEndian.AppendUint16(header, uint16(len(payload)+2))
	return append(binary.BigEndian.AppendUint16(header, protocol), payload...)
}

// Cooked adds a Linux cooked header, version 1.
func Cooked(etherType uint16, payload []byte) []byte {
	header := []byte{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0}
	return append(binary.BigEndian.AppendUint16(header, etherType), payload...)
}

// Cooked2 adds a Linux cooked header, version 2.
func Cooked2(etherType uint16, payload []byte) []byte {
	header := binary.BigEndian.AppendUint16(nil, etherType)
	return append(append(header, make([]byte, 18)...), payload...)
}

// IPv4 adds a header without options. It panics when an address is none.
func IPv4(source, destination string, protocol uint8, payload []byte) []byte {
	header := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0}
	binary.BigEndian.PutUint16(header[2:], uint16(20+len(payload)))
	header = append(header, netip.MustParseAddr(source).AsSlice()...)
	header = append(header, netip.MustParseAddr(destination).AsSlice()...)
	return append(header, payload...)
}

// IPv4Fragment is IPv4 with an identification, an offset in bytes, and whether more follows.
func IPv4Fragment(source, destination string, protocol uint8, id uint16, offset int, more bool, payload []byte) []byte {
	p := IPv4(source, destination, protocol, payload)
	binary.BigEndian.PutUint16(p[4:], id)
	field := uint16(offset / 8)
	if more {
		field |= 0x2000
	}
	binary.BigEndian.PutUint16(p[6:], field)
	return p
}

// IPv6 adds a header whose next header is the given protocol. It panics when an address is none.
func IPv6(source, destination string, protocol uint8, payload []byte) []byte {
	header := []byte{0x60, 0, 0, 0, 0, 0, protocol, 64}
	binary.BigEndian.PutUint16(header[4:], uint16(len(payload)))
	header = append(header, netip.MustParseAddr(source).AsSlice()...)
	header = append(header, netip.MustParseAddr(destination).AsSlice()...)
	return append(header, payload...)
}

// Extension adds an IPv6 extension header with room for the given bytes of options.
func Extension(next uint8, options int, payload []byte) []byte {
	size := (2 + options + 7) &^ 7
	header := append([]byte{next, uint8(size/8 - 1)}, make([]byte, size-2)...)
	return append(header, payload...)
}

// FragmentHeader adds an IPv6 fragment header; the offset is in bytes.
func FragmentHeader(next uint8, id uint32, offset int, more bool, payload []byte) []byte {
	field := uint16(offset &^ 7)
	if more {
		field |= 1
	}
	header := binary.BigEndian.AppendUint16([]byte{next, 0}, field)
	return append(binary.BigEndian.AppendUint32(header, id), payload...)
}

// TCP adds a header without options.
func TCP(source, destination uint16, flags uint8, seq, ack uint32, payload []byte) []byte {
	header := ports(source, destination)
	header = binary.BigEndian.AppendUint32(header, seq)
	header = binary.BigEndian.AppendUint32(header, ack)
	return append(append(header, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0), payload...)
}

// UDP adds a header.
func UDP(source, destination uint16, payload []byte) []byte {
	header := binary.BigEndian.AppendUint16(ports(source, destination), uint16(8+len(payload)))
	return append(append(header, 0, 0), payload...)
}

// SCTP adds the common header.
func SCTP(source, destination uint16, payload []byte) []byte {
	return append(append(ports(source, destination), make([]byte, 8)...), payload...)
}

// ICMP adds a header of 8 bytes, for either version.
func ICMP(kind, code uint8, payload []byte) []byte {
	return append([]byte{kind, code, 0, 0, 0, 7, 0, 1}, payload...)
}

// GRE adds a version 0 header with the given flags and as many optional words as they ask for, each of value 5.
func GRE(flags, etherType uint16, payload []byte) []byte {
	header := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, flags), etherType)
	for _, flag := range []uint16{0x8000, 0x2000, 0x1000} {
		if flags&flag != 0 {
			header = append(header, 0, 0, 0, 5)
		}
	}
	return append(header, payload...)
}

// VXLAN adds a header with a network identifier.
func VXLAN(id uint32, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{8, 0, 0, 0}, id<<8), payload...)
}

// Geneve adds a header with a network identifier and options of so many 4-byte words.
func Geneve(id uint32, words int, etherType uint16, payload []byte) []byte {
	header := binary.BigEndian.AppendUint16([]byte{uint8(words), 0}, etherType)
	header = binary.BigEndian.AppendUint32(header, id<<8)
	return append(append(header, make([]byte, 4*words)...), payload...)
}

// GTPU adds the header of a G-PDU, with so many extension headers of 4 bytes.
func GTPU(extensions int, payload []byte) []byte {
	header := []byte{0x30, 255, 0, 0, 0, 0, 0, 9}
	if extensions > 0 {
		header[0] |= 4
		header = append(header, 0, 0, 0, 0x85)
		for i := range extensions {
			next := byte(0x85)
			if i == extensions-1 {
				next = 0
			}
			header = append(header, 1, 0, 0, next)
		}
	}
	binary.BigEndian.PutUint16(header[2:], uint16(len(header)-8+len(payload)))
	return append(header, payload...)
}

// Teredo adds an authentication header, an origin header, or both, to an IPv6 packet.
func Teredo(authentication, origin bool, payload []byte) []byte {
	var header []byte
	if authentication {
		header = append(header, 0, 1, 2, 3)
		header = append(header, make([]byte, 2+3+8+1)...)
	}
	if origin {
		header = append(header, 0, 0, 0x12, 0x34, 1, 2, 3, 4)
	}
	return append(header, payload...)
}

// Repeat wraps a packet so many times.
func Repeat(times int, payload []byte, wrap func([]byte) []byte) []byte {
	for range times {
		payload = wrap(payload)
	}
	return payload
}

func ports(source, destination uint16) []byte {
	return slices.Grow(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, source), destination), 16)
}
