package packet

import "encoding/binary"

// transport reads the header behind IP, fills info, and opens the tunnel when there is one.
func (c *cursor) transport(ip ipHeader) next {
	if c.info.Fragment == LaterFragment {
		c.finish(ip, 0, 0, 0)
		return done
	}
	segment, wire := c.rest(), c.end-c.at
	switch ip.protocol {
	case protocolTCP:
		return c.tcp(ip, segment, wire)
	case protocolUDP:
		return c.udp(ip, segment, wire)
	case protocolSCTP: // RFC 9260 section 3.1
		if wire < 12 || len(segment) < 4 {
			return c.tiny(ip, segment, 12)
		}
		c.finish(ip, binary.BigEndian.Uint16(segment), binary.BigEndian.Uint16(segment[2:]), 12)
	case protocolICMP, protocolICMPv6:
		if len(segment) < 2 {
			return c.tiny(ip, nil, 8)
		}
		c.info.ICMPType, c.info.ICMPCode = segment[0], segment[1]
		c.finish(ip, 0, 0, min(8, wire))
	case protocolIPv4:
		c.finish(ip, 0, 0, 0)
		return c.open(IPInIP, 0, 0, ipv4)
	case protocolIPv6:
		c.finish(ip, 0, 0, 0)
		return c.open(IPInIP, 0, 0, ipv6)
	case protocolGRE:
		c.finish(ip, 0, 0, 0)
		return c.gre(segment)
	default:
		c.finish(ip, 0, 0, 0)
	}
	return done
}

// tcp reads a TCP header (RFC 9293 section 3.1). Of a frame cut short it needs what tells the flags, 14 bytes.
func (c *cursor) tcp(ip ipHeader, segment []byte, wire int) next {
	if wire < 20 || len(segment) < 14 {
		return c.tiny(ip, segment, 20)
	}
	size := int(segment[12]>>4) * 4
	if size < 20 {
		return bad
	}
	if size > wire {
		if c.info.Fragment == NotFragmented {
			return bad
		}
		size = wire // the options go on in the next fragment
	}
	info := c.info
	info.Seq = binary.BigEndian.Uint32(segment[4:])
	info.Ack = binary.BigEndian.Uint32(segment[8:])
	info.TCPFlags = segment[13] & (FIN | SYN | RST | PSH | ACK | URG)
	c.finish(ip, binary.BigEndian.Uint16(segment), binary.BigEndian.Uint16(segment[2:]), size)
	return done
}

// udp reads a UDP header (RFC 768). Its length counts where it is the smaller one: what follows is no payload (RFC 9868).
func (c *cursor) udp(ip ipHeader, segment []byte, wire int) next {
	if wire < 8 || len(segment) < 4 {
		return c.tiny(ip, segment, 8)
	}
	source, destination := binary.BigEndian.Uint16(segment), binary.BigEndian.Uint16(segment[2:])
	if len(segment) >= 8 && c.info.Fragment == NotFragmented {
		if length := int(binary.BigEndian.Uint16(segment[4:])); length >= 8 && length < wire {
			c.end = c.at + length
		}
	}
	c.finish(ip, source, destination, 8)
	if kind := c.walker.tunnel(source, destination); kind != NoTunnel {
		if segment = c.rest(); len(segment) > 8 {
			return c.udpTunnel(kind, segment[8:])
		}
	}
	return done
}

// tiny ends the walk where a transport header is not all there: in a first fragment that is the sender's whim, and
// the ports count when they are there; anywhere else it is an error.
func (c *cursor) tiny(ip ipHeader, segment []byte, size int) next {
	if c.info.Fragment != FirstFragment {
		return bad
	}
	var source, destination uint16
	if len(segment) >= 4 {
		source, destination = binary.BigEndian.Uint16(segment), binary.BigEndian.Uint16(segment[2:])
	}
	c.finish(ip, source, destination, min(size, c.end-c.at))
	return done
}

// finish writes the key, and the payload behind a transport header of the given size.
func (c *cursor) finish(ip ipHeader, source, destination uint16, size int) {
	info := c.info
	k := &info.Key
	k.Version, k.Protocol = ip.version, ip.protocol
	info.Reversed = ip.destination.less(ip.source) || ip.destination == ip.source && destination < source
	if info.Reversed {
		ip.destination.put(&k.Low)
		ip.source.put(&k.High)
		k.LowPort, k.HighPort = destination, source
	} else {
		ip.source.put(&k.Low)
		ip.destination.put(&k.High)
		k.LowPort, k.HighPort = source, destination
	}
	payload := c.at + size
	info.PayloadOffset = min(payload, len(c.frame))
	info.PayloadLength = c.end - payload
	info.PayloadCaptured = max(0, min(len(c.frame), c.end)-payload)
}
