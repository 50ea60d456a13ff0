package packet

import "encoding/binary"

// begin reads the link header where it is of no further use, and names what follows.
func (c *cursor) begin(link LinkType) next {
	switch link {
	case LinkEthernet:
		return ethernet
	case LinkRaw, linkRawBSD, linkRawOpenBSD:
		return rawIP
	case LinkIPv4:
		return ipv4
	case LinkIPv6:
		return ipv6
	case LinkLinuxSLL:
		return c.cooked(16, 14)
	case LinkLinuxSLL2:
		return c.cooked(20, 0)
	case LinkNull, LinkLoop:
		return c.loopback(link)
	case LinkPPP:
		return pointToPoint
	}
	return bad
}

// etherType steps over a header of size bytes whose EtherType field lies at the given place.
func (c *cursor) etherType(header []byte, size, field int) next {
	n := next(binary.BigEndian.Uint16(header[field:]))
	c.at += size
	if n < firstEtherType {
		return notIP
	}
	return n
}

func (c *cursor) ethernet() next {
	header := c.rest()
	if len(header) < 14 {
		return bad
	}
	n := next(binary.BigEndian.Uint16(header[12:]))
	c.at += 14
	if n >= firstEtherType {
		return n
	}
	// IEEE 802.3: a length, then LLC. Only SNAP with an EtherType (RFC 1042) can hold IP.
	llc := header[14:]
	if len(llc) < 8 || [6]byte(llc) != [6]byte{0xaa, 0xaa, 3, 0, 0, 0} {
		return notIP
	}
	return c.etherType(llc, 8, 6)
}

func (c *cursor) vlan() next {
	tag := c.rest()
	if len(tag) < 4 {
		return bad
	}
	// 0 is a priority tag without a VLAN, and leaves its place free; 4095 is reserved (IEEE 802.1Q table 9-2).
	if id := binary.BigEndian.Uint16(tag) & 0xfff; id != 0xfff {
		vlans := &c.info.Key.Scope.VLANs
		switch {
		case vlans[0] == 0:
			vlans[0] = id
		case vlans[1] == 0:
			vlans[1] = id
		}
	}
	return c.etherType(tag, 4, 2)
}

func (c *cursor) vnTag() next {
	tag := c.rest()
	if len(tag) < 6 {
		return bad
	}
	return c.etherType(tag, 6, 4)
}

// mpls reads one label (RFC 3032). Nothing says what follows the last one but its first nibble (RFC 4928 section 3).
func (c *cursor) mpls() next {
	label := c.rest()
	if len(label) < 5 {
		return bad
	}
	c.at += 4
	if label[2]&1 == 0 {
		return mplsUnicast
	}
	switch label[4] >> 4 {
	case 4:
		return ipv4
	case 6:
		return ipv6
	case 0: // a pseudowire's control word; Ethernet is what they carry (RFC 4448)
		if len(label) < 8 {
			return bad
		}
		c.at += 4
		return ethernet
	}
	return notIP
}

// pppoe reads a PPPoE session header (RFC 2516).
func (c *cursor) pppoe() next {
	header := c.rest()
	if len(header) < 6 {
		return bad
	}
	if header[0] != 0x11 || header[1] != 0 {
		return notIP
	}
	length := int(binary.BigEndian.Uint16(header[4:]))
	c.at += 6
	if length > c.end-c.at {
		return bad
	}
	c.end = c.at + length
	return c.pppProtocol()
}

// ppp reads a PPP header; the address and control bytes may have been left out (RFC 1661 section 6.6).
func (c *cursor) ppp() next {
	if header := c.rest(); len(header) >= 2 && header[0] == 0xff && header[1] == 3 {
		c.at += 2
	}
	return c.pppProtocol()
}

// pppProtocol reads PPP's protocol field, of one byte when that is odd (RFC 1661 section 2).
func (c *cursor) pppProtocol() next {
	field := c.rest()
	if len(field) < 1 {
		return bad
	}
	protocol, size := uint16(field[0]), 1
	if protocol&1 == 0 {
		if len(field) < 2 {
			return bad
		}
		protocol, size = binary.BigEndian.Uint16(field), 2
	}
	c.at += size
	switch protocol {
	case 0x0021:
		return ipv4
	case 0x0057:
		return ipv6
	case 0x0281, 0x0283:
		return mplsUnicast
	}
	return notIP
}

// cooked reads a Linux cooked header. For devices that are no network cards its protocol field is no EtherType, but such
// numbers are small.
func (c *cursor) cooked(size, field int) next {
	header := c.rest()
	if len(header) < size {
		return bad
	}
	return c.etherType(header, size, field)
}

// loopback reads an address family: the capturing host's number for it, in its byte order.
func (c *cursor) loopback(link LinkType) next {
	header := c.rest()
	if len(header) < 4 {
		return bad
	}
	c.at += 4
	n := family(binary.BigEndian.Uint32(header))
	if n == notIP && link == LinkNull {
		n = family(binary.LittleEndian.Uint32(header))
	}
	return n
}

func family(number uint32) next {
	switch number {
	case 2:
		return ipv4
	case 10, 23, 24, 28, 30: // Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin
		return ipv6
	}
	return notIP
}

func (c *cursor) rawIP() next {
	header := c.rest()
	if len(header) < 1 {
		return bad
	}
	switch header[0] >> 4 {
	case 4:
		return ipv4
	case 6:
		return ipv6
	}
	return bad
}
