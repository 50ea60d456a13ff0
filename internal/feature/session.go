// Package feature turns the head of a session into what a model sees. A head goes in as packets (FromHead) or as sizes,
// gaps and payload (FromNative); both become a Session, in which each direction's payload stands in stream order. From
// that, Extract fills one Row of the three tensors that Schema describes, and Handshake tells who talks to whom. Training
// and serving use this same code, and the schema's hash travels with every model, so the two cannot drift apart.
//
// What would let a model learn the laboratory instead of the protocol never reaches a Row: addresses, ports, header
// fields, absolute times, server names, random numbers and ciphertext of handshakes.
//
// Heads are hostile bytes: lengths are checked before bytes are touched and nothing panics. A Session and a Row are
// reused from one head to the next and then allocate nothing; only QUIC's cryptography does.
package feature

import (
	"errors"
	"fmt"
	"math"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/packet"
)

const (
	// MaxPackets is how many packets of a head count; later ones are not looked at.
	MaxPackets = 24
	// MaxStreamBytes is how much payload of each direction is kept.
	MaxStreamBytes = 4096
)

// ErrContradiction is wrapped by errors about a head or a native session whose parts do not fit together.
var ErrContradiction = errors.New("session contradicts itself")

// IANA protocol numbers that features tell apart.
const (
	protocolICMP   = 1
	protocolIPIP   = 4
	protocolIPv6   = 41
	protocolEIGRP  = 88
	protocolIGMP   = 2
	protocolTCP    = 6
	protocolUDP    = 17
	protocolGRE    = 47
	protocolESP    = 50
	protocolAH     = 51
	protocolICMPv6 = 58
	protocolOSPF   = 89
	protocolPIM    = 103
	protocolVRRP   = 112
	protocolSCTP   = 132
)

// Packet is one packet of a head.
type Packet struct {
	// Size is the payload's length on the wire in bytes.
	Size int32
	// Gap is the time since the packet before in microseconds, 0 for the first and when the clock went back.
	Gap uint32
	// Reverse is set when it went from server to client.
	Reverse bool
}

// direction numbers the two streams.
type direction int

const (
	forward direction = iota
	reverse
)

// Session is a head as features see it. The zero value is ready for FromHead or FromNative, which replace all that it
// held. It belongs to one goroutine.
type Session struct {
	protocol   uint8
	packets    []Packet
	streams    [2][]byte
	holeBytes  uint64
	truncated  int
	assemblies [2]assembly
	found      findings
}

// Packets returns the packets, at most MaxPackets. The slice lasts until the next From call.
func (s *Session) Packets() []Packet { return s.packets }

// Forward returns the client's payload in stream order, repeated bytes once, up to the first byte that is missing and at
// most MaxStreamBytes. It lasts until the next From call.
func (s *Session) Forward() []byte { return s.streams[forward] }

// Reverse returns the server's payload likewise.
func (s *Session) Reverse() []byte { return s.streams[reverse] }

// HoleBytes returns how many bytes are missing between the TCP segments of the head, both directions. Bytes that were
// left out by the snap length or the payload budget are no hole.
func (s *Session) HoleBytes() uint64 { return s.holeBytes }

// Truncated returns how many packets the capture itself cut short.
func (s *Session) Truncated() int { return s.truncated }

func (s *Session) reset(protocol uint32) error {
	if protocol > math.MaxUint8 {
		return fmt.Errorf("%w: ip_protocol is %d, at most 255", ErrContradiction, protocol)
	}
	s.protocol = uint8(protocol)
	s.packets = s.packets[:0]
	s.holeBytes = 0
	s.truncated = 0
	for d := range s.streams {
		s.streams[d] = s.streams[d][:0]
		s.assemblies[d].reset()
	}
	return nil
}

// FromHead reads a head, looking for tunnels where its interfaces tell that the agent did; ipProtocol is the five-tuple's. The head's
// bytes are not referred to afterwards. An error wraps ErrContradiction and names the column.
func (s *Session) FromHead(walkers *packet.Walkers, ipProtocol uint32, head *flowv1.Packets) error {
	if err := s.reset(ipProtocol); err != nil {
		return err
	}
	if err := checkColumns(head); err != nil {
		return err
	}
	var (
		at      int
		walker  *packet.Walker
		through *flowv1.Interface // what walker is for
	)
	for i, captured := range head.GetCaptured()[:min(len(head.GetCaptured()), MaxPackets)] {
		frame := head.GetData()[at : at+int(captured)]
		at += int(captured)
		iface := head.GetInterfaces()[0]
		if len(head.GetInterfaceIndexes()) > 0 {
			iface = head.GetInterfaces()[head.GetInterfaceIndexes()[i]]
		}
		if walker == nil || iface != through {
			through, walker = iface, walkers.For(iface.GetTunnelPorts())
		}
		p := Packet{Reverse: head.GetFlags()[i]&uint32(flowv1.PacketFlag_PACKET_FLAG_REVERSE) != 0}
		if i > 0 {
			p.Gap = micros(head.GetTimeDeltasNs()[i])
		}
		if head.GetFlags()[i]&uint32(flowv1.PacketFlag_PACKET_FLAG_SNAPPED) != 0 {
			s.truncated++
		}
		original := int(min(uint64(captured)+uint64(head.GetMissing()[i]), math.MaxInt32))
		var info packet.Info
		linkType := packet.LinkType(iface.GetLinkType())
		if walker.Walk(linkType, frame, original, &info) == packet.OK {
			p.Size = int32(min(info.PayloadLength, math.MaxInt32))
			s.take(&info, frame, p.Reverse)
		}
		s.packets = append(s.packets, p)
	}
	for d := range s.streams {
		var holes uint64
		s.streams[d], holes = s.assemblies[d].assemble(s.streams[d])
		s.holeBytes += holes
	}
	s.inspect()
	return nil
}

// take hands a packet's payload to its direction's assembly.
func (s *Session) take(info *packet.Info, frame []byte, back bool) {
	a := &s.assemblies[forward]
	if back {
		a = &s.assemblies[reverse]
	}
	payload := frame[info.PayloadOffset : info.PayloadOffset+info.PayloadCaptured]
	switch {
	case s.protocol != protocolTCP:
		a.datagram(payload, info.PayloadLength)
	case info.Key.Protocol != protocolTCP || info.Fragment == packet.LaterFragment:
		// Without a sequence number the bytes have no place in the stream.
	default:
		a.segment(info.Seq, info.TCPFlags&packet.SYN != 0, payload, info.PayloadLength)
	}
}

func checkColumns(head *flowv1.Packets) error {
	n := len(head.GetCaptured())
	for _, column := range []struct {
		name   string
		length int
	}{
		{"time_deltas_ns", len(head.GetTimeDeltasNs())},
		{"missing", len(head.GetMissing())},
		{"flags", len(head.GetFlags())},
	} {
		if column.length != n {
			return fmt.Errorf("%w: head.%s has %d entries, captured has %d", ErrContradiction, column.name, column.length, n)
		}
	}
	indexes := head.GetInterfaceIndexes()
	if len(indexes) != 0 && len(indexes) != n {
		return fmt.Errorf("%w: head.interface_indexes has %d entries, captured has %d", ErrContradiction, len(indexes), n)
	}
	if n > 0 && len(head.GetInterfaces()) == 0 {
		return fmt.Errorf("%w: head.interfaces is empty", ErrContradiction)
	}
	for _, index := range indexes {
		if uint64(index) >= uint64(len(head.GetInterfaces())) {
			return fmt.Errorf("%w: head.interface_indexes has %d, there are %d interfaces", ErrContradiction, index, len(head.GetInterfaces()))
		}
	}
	var sum uint64
	for _, captured := range head.GetCaptured() {
		sum += uint64(captured)
	}
	if sum != uint64(len(head.GetData())) {
		return fmt.Errorf("%w: head.captured adds up to %d bytes, data has %d", ErrContradiction, sum, len(head.GetData()))
	}
	return nil
}

// micros turns nanoseconds into microseconds that fit Packet.Gap.
func micros(nanoseconds int64) uint32 {
	return uint32(min(max(nanoseconds, 0)/1000, math.MaxUint32))
}

// FromNative reads a session as clients of the classifier service send it. Its payload is copied. An error wraps
// ErrContradiction and names the field.
func (s *Session) FromNative(native *inferencev1.Session) error {
	if err := s.reset(native.GetIpProtocol()); err != nil {
		return err
	}
	sizes, gaps := native.GetSignedSizes(), native.GetGapsUs()
	if len(gaps) != len(sizes) {
		return fmt.Errorf("%w: gaps_us has %d entries, signed_sizes has %d", ErrContradiction, len(gaps), len(sizes))
	}
	if n := len(native.GetForwardPayload()) + len(native.GetReversePayload()); n > MaxStreamBytes {
		return fmt.Errorf("%w: forward_payload and reverse_payload have %d bytes, at most %d", ErrContradiction, n, MaxStreamBytes)
	}
	for i, size := range sizes[:min(len(sizes), MaxPackets)] {
		if size == math.MinInt32 {
			return fmt.Errorf("%w: signed_sizes[%d] is out of range", ErrContradiction, i)
		}
		p := Packet{Size: max(size, -size), Reverse: size < 0}
		if i > 0 {
			p.Gap = gaps[i]
		}
		s.packets = append(s.packets, p)
	}
	for _, position := range native.GetReverseEmpty() {
		switch {
		case uint64(position) >= uint64(len(sizes)):
			return fmt.Errorf("%w: reverse_empty has %d, there are %d packets", ErrContradiction, position, len(sizes))
		case sizes[position] != 0:
			return fmt.Errorf("%w: reverse_empty has %d, which is not empty", ErrContradiction, position)
		case position < MaxPackets:
			s.packets[position].Reverse = true
		}
	}
	s.streams[forward] = append(s.streams[forward], native.GetForwardPayload()...)
	s.streams[reverse] = append(s.streams[reverse], native.GetReversePayload()...)
	s.inspect()
	return nil
}

// Native writes the session as FromNative reads it, with copies of the payload: the same Row comes out of both as long as
// the two streams have no more than MaxStreamBytes together, which a head of the agent's default size has not.
func (s *Session) Native() *inferencev1.Session {
	native := &inferencev1.Session{IpProtocol: uint32(s.protocol)}
	for i, p := range s.packets {
		size := p.Size
		if p.Reverse {
			size = -size
			if size == 0 {
				native.ReverseEmpty = append(native.ReverseEmpty, uint32(i))
			}
		}
		native.SignedSizes = append(native.SignedSizes, size)
		native.GapsUs = append(native.GapsUs, p.Gap)
	}
	native.ForwardPayload = append(native.ForwardPayload, s.streams[forward]...)
	rest := MaxStreamBytes - len(native.ForwardPayload)
	native.ReversePayload = append(native.ReversePayload, s.streams[reverse][:min(rest, len(s.streams[reverse]))]...)
	return native
}
