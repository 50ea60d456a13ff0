package cut

import (
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
)

// Session is the record of one open session. Records belong to the table and are used again; a Sink may read one, and
// write its Tag, during the call that lends it.
type Session struct {
	Key  packet.Key
	Lane uint32
	// Number grows within the lane.
	Number uint64
	// ClientHigh tells that the client is Key.High.
	ClientHigh bool
	// Interface is that of the first packet.
	Interface uint32
	// Midstream: a TCP session whose opening was not seen.
	Midstream bool
	// Continued: it goes on from one that was ended by time-out or eviction.
	Continued bool

	// The whole session's counts: frames and their bytes on the wire.
	ForwardPackets, ForwardBytes, ReversePackets, ReverseBytes uint64
	// OpenedTime is that of the first packet, LastTime the latest of any; nanoseconds since 1970 UTC.
	OpenedTime, LastTime int64
	// TCP flags seen from the client and from the server, or-ed.
	ForwardFlags, ReverseFlags uint8
	// EndReason is unspecified while the session is open.
	EndReason flowv1.EndReason

	// Sent is how many packets the sink was given, the one that it is given now not included.
	Sent uint32
	// Opened: the sink has not heard of the session before this call.
	Opened bool
	// Tag is the sink's own. It is 0 when the session opens.
	Tag uint64

	head   packet.Head
	hash   uint64 // of Key
	enough bool   // the collector needs no more packets
	own    bool   // the agent's own: nobody is told of it, and it has no number
	untold bool   // counts changed since the sink was told
	closed state

	// Initial sequence numbers of both directions, by Info.Reversed.
	initial      [2]uint32
	initialKnown [2]bool

	// By the table's clock.
	openedAt, seenAt, toldAt, closedAt int64

	slot             uint32 // of the wheel, counting up for ever
	wheel, chronicle links
}

// state tells how far a TCP session is towards its end.
type state uint8

const (
	open     state = iota
	forward        // FIN from the low endpoint
	backward       // FIN from the high one
	finished       // from both
	reset
)

// links chain records by their number in the slab; 0 is none.
type links struct{ before, after uint32 }

// full tells whether no further packet of the session is sent.
func (s *Session) full() bool { return s.enough || s.head.Full() }

// closing tells whether TCP has closed the session, so that only stragglers are waited for.
func (s *Session) closing() bool { return s.closed >= finished }

// Ended tells whether no packet will follow.
func (s *Session) Ended() bool { return s.EndReason != flowv1.EndReason_END_REASON_UNSPECIFIED }

// idle returns how long the session may be silent.
func (s *Session) idle() int64 { return idleAfter(s.Key.Protocol) }

// deadline returns when the session ends by itself if nothing comes. A closed connection of which something came later
// than it should have is a slow one: its idle time holds.
func (s *Session) deadline() int64 {
	if s.closing() && s.seenAt-s.closedAt <= closedWait {
		return s.closedAt + closedWait
	}
	return s.seenAt + s.idle()
}

// endOf returns the reason why the session ends by itself.
func (s *Session) endOf() flowv1.EndReason {
	switch s.closed {
	case finished:
		return flowv1.EndReason_END_REASON_FIN
	case reset:
		return flowv1.EndReason_END_REASON_RST
	default:
		return flowv1.EndReason_END_REASON_IDLE
	}
}

// count adds a packet to the session's counts. TCP's closing is noted at the table's time.
func (s *Session) count(p *Packet, info *packet.Info, now int64) {
	if info.Reversed == s.ClientHigh {
		s.ForwardPackets++
		s.ForwardBytes += uint64(p.Original)
		s.ForwardFlags |= info.TCPFlags
	} else {
		s.ReversePackets++
		s.ReverseBytes += uint64(p.Original)
		s.ReverseFlags |= info.TCPFlags
	}
	s.LastTime = max(s.LastTime, p.Time)
	s.seenAt = now
	if info.TCPFlags&(packet.FIN|packet.RST) != 0 && !s.closing() {
		s.close(info)
		if s.closing() {
			s.closedAt = now
		}
	}
}

func (s *Session) close(info *packet.Info) {
	if info.TCPFlags&packet.RST != 0 {
		s.closed = reset
		return
	}
	side := forward
	if info.Reversed {
		side = backward
	}
	switch s.closed {
	case open, side:
		s.closed = side
	default:
		s.closed = finished
	}
}

// opens tells whether a packet is the SYN of another connection than the session's.
func (s *Session) opens(info *packet.Info) bool {
	if info.TCPFlags&(packet.SYN|packet.ACK|packet.RST) != packet.SYN {
		return false
	}
	from := direction(info)
	if s.initialKnown[from] {
		return s.initial[from] != info.Seq
	}
	// Both sides may open at once (RFC 9293, section 3.5): then nobody has acknowledged anything yet.
	return (s.ForwardFlags|s.ReverseFlags)&packet.ACK != 0 || !s.initialKnown[1-from]
}

// learn keeps the initial sequence numbers that a packet shows.
func (s *Session) learn(info *packet.Info) {
	from := direction(info)
	s.initial[from], s.initialKnown[from] = info.Seq, true
	if info.TCPFlags&packet.ACK != 0 && !s.initialKnown[1-from] {
		s.initial[1-from], s.initialKnown[1-from] = info.Ack-1, true
	}
}

func direction(info *packet.Info) int {
	if info.Reversed {
		return 1
	}
	return 0
}
