package packet

import "encoding/binary"

// open goes on size bytes further in, inside a tunnel; what has been read so far remains the answer if the inside cannot be
// read. Fragments are not opened, for only the first one would show what is inside.
func (c *cursor) open(kind TunnelKind, id uint32, size int, inside next) next {
	if c.tunnels == MaxTunnels || c.info.Fragment != NotFragmented {
		return done
	}
	carrier := *c.info
	c.info.Key.Scope.Tunnel, c.info.Key.Scope.TunnelID = kind, id
	c.at += size
	c.tunnels++
	c.layers++
	if c.walk(inside) != OK { // at most MaxTunnels deep
		*c.info = carrier
	}
	return done
}

// gre reads a version 0 header (RFC 2784, RFC 2890). With source routes (RFC 1701) or as version 1 (PPTP) it stays shut.
func (c *cursor) gre(header []byte) next {
	const checksum, routing, key, sequence, version = 0x8000, 0x4000, 0x2000, 0x1000, 0x0007
	if len(header) < 4 {
		return done
	}
	flags := binary.BigEndian.Uint16(header)
	inside := next(binary.BigEndian.Uint16(header[2:]))
	if flags&(routing|version) != 0 || inside < firstEtherType {
		return done
	}
	size, id := 4, uint32(0)
	if flags&checksum != 0 {
		size += 4
	}
	if flags&key != 0 {
		if len(header) < size+4 {
			return done
		}
		id = binary.BigEndian.Uint32(header[size:])
		size += 4
	}
	if flags&sequence != 0 {
		size += 4
	}
	return c.openBehind(GRE, id, header, size, inside)
}

// tunnel tells which tunnel goes by these ports.
func (w *Walker) tunnel(source, destination uint16) TunnelKind {
	for _, p := range w.ports {
		if p.port == destination || p.port == source && (p.kind == GTPU || p.kind == Teredo) {
			return p.kind
		}
	}
	return NoTunnel
}

// udpTunnel reads the tunnel header in a UDP payload. A port proves nothing: what is no sound header leaves the carrier.
func (c *cursor) udpTunnel(kind TunnelKind, payload []byte) next {
	c.at += 8 // over the UDP header
	switch kind {
	case VXLAN:
		return c.vxlan(payload)
	case Geneve:
		return c.geneve(payload)
	case GTPU:
		return c.gtpu(payload)
	case Teredo:
		return c.teredo(payload)
	}
	return done
}

// vxlan: RFC 7348 section 5. The I flag says that there is a network identifier.
func (c *cursor) vxlan(header []byte) next {
	if len(header) < 8 || header[0]&8 == 0 {
		return done
	}
	return c.openBehind(VXLAN, binary.BigEndian.Uint32(header[4:])>>8, header, 8, ethernet)
}

// geneve: RFC 8926 section 3.4.
func (c *cursor) geneve(header []byte) next {
	if len(header) < 8 || header[0]>>6 != 0 {
		return done
	}
	inside := next(binary.BigEndian.Uint16(header[2:]))
	if inside < firstEtherType {
		return done
	}
	return c.openBehind(Geneve, binary.BigEndian.Uint32(header[4:])>>8, header, 8+int(header[0]&0x3f)*4, inside)
}

// gtpu: 3GPP TS 29.281 section 5. Only a G-PDU (255) carries a packet. The two directions have different tunnel endpoint
// identifiers, so none becomes part of the key.
func (c *cursor) gtpu(header []byte) next {
	const version1, isGTP, extension, optional = 0x20, 0x10, 0x04, 0x07
	if len(header) < 8 || header[0]&0xf0 != version1|isGTP || header[1] != 255 {
		return done
	}
	size := 8
	if header[0]&optional != 0 {
		if len(header) < 12 {
			return done
		}
		size = 12
	}
	if header[0]&extension != 0 {
		// Each extension is a length in units of 4 bytes, its content, and the type of the one that follows.
		for kind := header[11]; kind != 0; {
			c.layers++
			if c.layers >= MaxLayers || len(header) <= size || header[size] == 0 {
				return done
			}
			size += int(header[size]) * 4
			if len(header) < size {
				return done
			}
			kind = header[size-1]
		}
	}
	return c.openBehind(GTPU, 0, header, size, rawIP)
}

// teredo: RFC 4380 section 5.1.1. An authentication and an origin header may stand before the IPv6 packet.
func (c *cursor) teredo(header []byte) next {
	size := 0
	if len(header) >= 4 && header[0] == 0 && header[1] == 1 {
		size += 13 + int(header[2]) + int(header[3])
	}
	if len(header) >= size+2 && header[size] == 0 && header[size+1] == 0 {
		size += 8
	}
	return c.openBehind(Teredo, 0, header, size, ipv6)
}

// openBehind opens a tunnel whose header has the given size, when some of its inside has been captured.
func (c *cursor) openBehind(kind TunnelKind, id uint32, header []byte, size int, inside next) next {
	if len(header) <= size {
		return done
	}
	return c.open(kind, id, size, inside)
}
