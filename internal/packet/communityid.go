package packet

import (
	"crypto/sha1" // not for security: the specification demands it
	"encoding/base64"
	"encoding/binary"
)

// CommunityID returns the Community ID, version 1, of a conversation (github.com/corelight/community-id-spec): the name
// under which other tools know it. It is the same for both directions, and knows neither VLANs nor tunnels. ICMP types and
// codes, of the packet that goes from source to destination, matter for ICMP and ICMPv6 only, and stand for ports as in
// Zeek: a request is paired with its reply, and a message that has no counterpart has one direction. The usual seed is 0.
func CommunityID(source, destination Endpoint, protocol uint8, icmpType, icmpCode uint8, seed uint16) string {
	ordered := false // one-way messages keep their direction
	sourcePort, destinationPort := source.Port, destination.Port
	switch protocol {
	case protocolICMP, protocolICMPv6:
		counterpart, paired := icmpCounterpart(protocol, icmpType)
		sourcePort, destinationPort = uint16(icmpType), uint16(counterpart)
		if !paired {
			destinationPort, ordered = uint16(icmpCode), true
		}
	case protocolTCP, protocolUDP, protocolSCTP:
	default:
		sourcePort, destinationPort = 0, 0
	}
	from, to := source.Address, destination.Address
	if order := from.Compare(to); !ordered && (order > 0 || order == 0 && sourcePort > destinationPort) {
		from, to = to, from
		sourcePort, destinationPort = destinationPort, sourcePort
	}
	text := make([]byte, 0, 2+16+16+2+4)
	text = binary.BigEndian.AppendUint16(text, seed)
	text = append(text, from.AsSlice()...)
	text = append(text, to.AsSlice()...)
	text = append(text, protocol, 0)
	switch protocol {
	case protocolTCP, protocolUDP, protocolSCTP, protocolICMP, protocolICMPv6:
		text = binary.BigEndian.AppendUint16(text, sourcePort)
		text = binary.BigEndian.AppendUint16(text, destinationPort)
	}
	digest := sha1.Sum(text)
	return "1:" + base64.StdEncoding.EncodeToString(digest[:])
}

// icmpCounterpart returns the type that answers a type, or that it answers.
func icmpCounterpart(protocol, kind uint8) (uint8, bool) {
	pairs := [][2]uint8{{8, 0}, {13, 14}, {15, 16}, {10, 9}, {17, 18}} // echo, timestamp, information, router, mask
	if protocol == protocolICMPv6 {
		// Echo, multicast listener, router, neighbour, node information, home agent.
		pairs = [][2]uint8{{128, 129}, {130, 131}, {133, 134}, {135, 136}, {139, 140}, {144, 145}}
	}
	for _, pair := range pairs {
		switch kind {
		case pair[0]:
			return pair[1], true
		case pair[1]:
			return pair[0], true
		}
	}
	return 0, false
}
