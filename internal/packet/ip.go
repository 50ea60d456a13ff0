package packet

import "encoding/binary"

// IANA protocol numbers that Walk knows.
const (
	protocolICMP     = 1
	protocolIPv4     = 4
	protocolTCP      = 6
	protocolUDP      = 17
	protocolIPv6     = 41
	protocolGRE      = 47
	protocolAH       = 51
	protocolICMPv6   = 58
	protocolNoNext   = 59
	protocolSCTP     = 132
	extensionHop     = 0
	extensionRouting = 43
	extensionFrag    = 44
	extensionOptions = 60
)

// address is an IP address as two numbers, so that comparing and storing it takes two steps. IPv4 is mapped into IPv6.
type address struct{ high, low uint64 }

func mapped(v4 []byte) address {
	return address{low: 0xffff<<32 | uint64(binary.BigEndian.Uint32(v4))}
}

func address6(v6 []byte) address {
	return address{binary.BigEndian.Uint64(v6), binary.BigEndian.Uint64(v6[8:])}
}

func (a address) less(b address) bool {
	return a.high < b.high || a.high == b.high && a.low < b.low
}

func (a address) put(to *[16]byte) {
	binary.BigEndian.PutUint64(to[:8], a.high)
	binary.BigEndian.PutUint64(to[8:], a.low)
}

// ipHeader is what the transport layer needs to know of the header before it.
type ipHeader struct {
	source, destination address
	version, protocol   uint8
}

// ipv4 reads an IPv4 header (RFC 791). All its options must have been captured: a frame cut inside is no session's.
func (c *cursor) ipv4() next {
	header := c.rest()
	if len(header) < 20 || header[0]>>4 != 4 {
		return bad
	}
	size := int(header[0]&15) * 4
	if size < 20 || len(header) < size || !c.limit(int(binary.BigEndian.Uint16(header[2:])), size) {
		return bad
	}
	c.at += size
	if field := binary.BigEndian.Uint16(header[6:]); field&0x3fff != 0 {
		c.fragment(uint32(binary.BigEndian.Uint16(header[4:])), field&0x1fff != 0)
	}
	ip := ipHeader{mapped(header[12:]), mapped(header[16:]), 4, header[9]}
	if ip.protocol == protocolAH && c.info.Fragment != LaterFragment {
		return c.extensions(ip)
	}
	return c.transport(ip)
}

// ipv6 reads an IPv6 header (RFC 8200).
func (c *cursor) ipv6() next {
	header := c.rest()
	if len(header) < 40 || header[0]>>4 != 6 {
		return bad
	}
	ip := ipHeader{address6(header[8:]), address6(header[24:]), 6, header[6]}
	length := int(binary.BigEndian.Uint16(header[4:]))
	if length > 0 || ip.protocol == protocolNoNext {
		length += 40
	}
	if !c.limit(length, 40) {
		return bad
	}
	c.at += 40
	return c.extensions(ip)
}

// limit takes an IP header's total length. Zero is what segmentation offload leaves there, and what a jumbogram has
// (RFC 2675): the packet then fills the frame.
func (c *cursor) limit(total, header int) bool {
	wire := c.end - c.at
	if total == 0 {
		total = wire
	}
	if total < header || total > wire {
		return false
	}
	c.end = c.at + total
	return true
}

func (c *cursor) fragment(id uint32, later bool) {
	c.info.FragmentID = id
	c.info.Fragment = FirstFragment
	if later {
		c.info.Fragment = LaterFragment
	}
}

// extensions reads over IPv6 extension headers, and over an authentication header (RFC 4302) behind either IP version.
func (c *cursor) extensions(ip ipHeader) next {
	for {
		var size int
		header := c.rest()
		switch {
		case ip.protocol == protocolAH && len(header) >= 2:
			size = int(header[1])*4 + 8
		case ip.version == 4: // the header behind AH: nothing else is an extension of IPv4
			return c.transport(ip)
		case ip.protocol == extensionFrag:
			size = 8
		case ip.protocol == extensionHop, ip.protocol == extensionRouting, ip.protocol == extensionOptions:
			if len(header) < 2 {
				return bad
			}
			size = int(header[1])*8 + 8
		default:
			return c.transport(ip)
		}
		if c.layers++; c.layers >= MaxLayers || len(header) < size {
			return bad
		}
		if ip.protocol == extensionFrag {
			// An atomic fragment (RFC 6946) has neither offset nor successors: it is whole.
			if field := binary.BigEndian.Uint16(header[2:]); field&0xfff9 != 0 {
				c.fragment(binary.BigEndian.Uint32(header[4:]), field&0xfff8 != 0)
			}
		}
		ip.protocol = header[0]
		c.at += size
		if c.info.Fragment == LaterFragment {
			return c.transport(ip)
		}
	}
}
