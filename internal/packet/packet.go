// Package packet reads the headers of one captured frame: from the link layer through tags and tunnels to the
// innermost transport header. The agent's cut and the collector use the same walker, so both sides always agree on
// which session a frame belongs to. Frames are hostile: every length is checked before bytes are touched, nothing is
// allocated, no input panics, and what cannot be read is a Verdict, never an error value.
package packet

import (
	"net/netip"
)

// LinkType is a link-layer header type as registered for pcap files (LINKTYPE_ values, tcpdump.org/linktypes.html).
type LinkType uint16

// Link types that Walk reads.
const (
	LinkNull      LinkType = 0   // BSD loopback: 4 bytes of address family in the capturing host's byte order
	LinkEthernet  LinkType = 1   // IEEE 802.3
	LinkPPP       LinkType = 9   // PPP, with or without the HDLC-like address and control bytes (RFC 1661, RFC 1662)
	LinkRaw       LinkType = 101 // IPv4 or IPv6, told apart by the version nibble
	LinkLoop      LinkType = 108 // OpenBSD loopback: 4 bytes of address family, big-endian
	LinkLinuxSLL  LinkType = 113 // Linux cooked capture v1
	LinkIPv4      LinkType = 228 // IPv4
	LinkIPv6      LinkType = 229 // IPv6
	LinkLinuxSLL2 LinkType = 276 // Linux cooked capture v2

	// LinkRaw under its numbers before the registry, which some files still have.
	linkRawBSD     LinkType = 12
	linkRawOpenBSD LinkType = 14
)

// Verdict tells what Walk made of a frame. Each frame has exactly one, so that the ledger can count every frame once.
type Verdict uint8

// Verdicts.
const (
	// OK: the frame belongs to a session; all fields of Info that apply are set.
	OK Verdict = iota
	// NonIP: a sound frame that carries neither IPv4 nor IPv6 (ARP, LLDP, STP, ...).
	NonIP
	// Undecodable: cut short, contradictory, too deep, or of a link type that Walk does not know.
	Undecodable
)

// TunnelKind names what the innermost session travelled in.
type TunnelKind uint8

// Tunnel kinds. IP-in-IP covers all four combinations of IPv4 and IPv6.
const (
	NoTunnel TunnelKind = iota
	GRE
	IPInIP
	VXLAN
	Geneve
	GTPU
	Teredo
)

// Scope is what beside the five-tuple keeps sessions of one capture point apart. It is comparable.
type Scope struct {
	// VLANs are the two outermost VLAN identifiers (1 to 4094), outermost first; 0 means none. Further tags are read
	// over and do not count.
	VLANs [2]uint16
	// Tunnel is the innermost tunnel's kind, and TunnelID its identifier: VXLAN's and Geneve's network identifier
	// (24 bits), GRE's key; 0 where the kind has none that both directions share (GTP-U's differ by direction).
	Tunnel   TunnelKind
	TunnelID uint32
}

// Key is the direction-free identity of a session at one capture point: scope and innermost five-tuple, with the
// smaller endpoint first. It is comparable and holds no pointer, so that a map of keys costs the collector nothing.
type Key struct {
	Scope Scope
	// Low and High are the two endpoints, ordered by address, then port. IPv4 addresses are kept as v4-in-v6
	// (RFC 4291 section 2.5.5.2); Version tells the two apart.
	Low, High         [16]byte
	LowPort, HighPort uint16
	Version           uint8 // 4 or 6
	Protocol          uint8 // IANA protocol number of the innermost header
}

// Endpoint is one side of a session.
type Endpoint struct {
	Address netip.Addr
	Port    uint16 // 0 where the protocol has none
}

// TCP flag bits as in the header's 14th byte (RFC 9293 section 3.1).
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// Fragment tells how a packet was fragmented.
type Fragment uint8

// Fragment positions.
const (
	NotFragmented Fragment = iota
	FirstFragment          // offset 0, more to come; ports are set when the first fragment holds them
	LaterFragment          // no transport header; Key.LowPort and HighPort are 0
)

// Info is what Walk found. It refers to the frame by offsets and keeps no pointer into it.
type Info struct {
	Key Key
	// Reversed is true when the frame goes from Key.High to Key.Low. For equal endpoints it is false.
	Reversed bool

	Fragment   Fragment
	FragmentID uint32 // IPv4 identification or IPv6 fragment identification, when fragmented

	TCPFlags uint8  // TCP only: FIN, SYN, ...
	Seq, Ack uint32 // TCP only
	ICMPType uint8  // ICMP and ICMPv6 only
	ICMPCode uint8

	// PayloadOffset is where the transport payload begins in the frame. PayloadLength is its length on the wire as the
	// IP header tells it (Ethernet padding is none); PayloadCaptured how much of it the frame holds, at most
	// PayloadLength. For a later fragment the whole fragment body counts as payload. For ICMP and protocols without
	// ports the payload begins behind their fixed header (ICMP: 8 bytes) or right behind the IP header.
	PayloadOffset   int
	PayloadLength   int
	PayloadCaptured int
}

// Source returns the sender of the frame.
func (i *Info) Source() Endpoint { return i.endpoint(!i.Reversed) }

// Destination returns the receiver of the frame.
func (i *Info) Destination() Endpoint { return i.endpoint(i.Reversed) }

func (i *Info) endpoint(low bool) Endpoint {
	k := &i.Key
	address, port := k.High, k.HighPort
	if low {
		address, port = k.Low, k.LowPort
	}
	a := netip.AddrFrom16(address)
	if k.Version == 4 {
		a = a.Unmap()
	}
	return Endpoint{Address: a, Port: port}
}
