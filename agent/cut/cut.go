// Package cut decides where sessions begin and end. Packets of one capture point come in; what goes out are each session's
// head, packet by packet, and its counts. The table opens, numbers and ends sessions, by packet time alone, so that the
// same capture always gives the same sessions. It keeps a record for each open session within a bound in bytes; when that
// is full the session nearest to its end leaves, and if it goes on, its next packet opens another one that says so.
//
//	packet ── walk ──> no session: counted
//	            └────> session ── head ──> Sink.Packet
//	                      │   └── tail ──> counted in the session, told by Sink.Counts
//	                      └── FIN, RST, silence, SYN of another, end of capture ──> Sink.Counts, ended
package cut

import (
	"time"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
)

// Times of DESIGN.md, section 5, in nanoseconds of packet time.
const (
	idleTCP   = 120e9
	idleUDP   = 60e9
	idleOther = 30e9
	// closedWait is how long stragglers of a closed TCP session are waited for.
	closedWait = 2e9
	// activeMost is how long a session lasts at most.
	activeMost = 30 * 60e9
	// tellAfter is how old the counts of a session beyond its head may get before they are told.
	tellAfter = 5e9
)

// IANA protocol numbers.
const (
	protocolTCP = 6
	protocolUDP = 17
)

func idleAfter(protocol uint8) int64 {
	switch protocol {
	case protocolTCP:
		return idleTCP
	case protocolUDP:
		return idleUDP
	default:
		return idleOther
	}
}

// Packet is one captured frame.
type Packet struct {
	Data      []byte // borrowed for the call
	Time      int64  // nanoseconds since 1970 UTC
	Original  int    // bytes on the wire, at least len(Data)
	Link      packet.LinkType
	Interface uint32 // handed on to the sink as it is
}

// Sink takes what the cut lets through. It is called by the table's methods, in order, and must not call the table.
type Sink interface {
	// Packet takes the next packet of a session's head: the first length bytes of p.Data. The flags are flow.v1.PacketFlag
	// bits. The counts of s include it.
	Packet(s *Session, p *Packet, length int, flags uint32)
	// Counts takes note of the session as it stands: it has ended, or counts changed without a packet for the sink.
	Counts(s *Session)
}

// Lane is what outlives a capture point: the numbers given out and the packets counted on one lane.
type Lane struct {
	Numbers  packet.Numbers
	Counters *ingestv1.Counters
}

// NewLanes returns n lanes at their beginning.
func NewLanes(n int) []Lane {
	lanes := make([]Lane, n)
	for i := range lanes {
		lanes[i].Counters = new(ingestv1.Counters)
	}
	return lanes
}

// Options for New.
type Options struct {
	Walker *packet.Walker
	Limits packet.HeadLimits
	// Seed of the hash that shares sessions out among the lanes; it belongs to the epoch.
	Seed uint64
	// Records are where the table's sessions are kept, perhaps with those of other tables.
	Records *Records
	// Own, if set, tells whether a session is the agent's own. It is asked when a session opens, and never again: the
	// session's packets count as filtered, and the sink does not hear of it.
	Own func(key *packet.Key) bool
}

// Table holds the open sessions of one capture point. It is not for concurrent use.
type Table struct {
	options Options
	lanes   []Lane
	sink    Sink

	clock     clock
	index     index
	wheel     wheel
	chronicle chain // open sessions in the order in which they opened
	fragments fragments
	evicted   [evictedSlots]evicted

	slabs []*[slabRecords]Session // those of options.Records that the table's own records lie in

	info packet.Info // of the packet at hand
}

// New returns an empty table that numbers and counts on the given lanes. Several tables of one goroutine may share lanes.
func New(options Options, lanes []Lane, sink Sink) *Table {
	return &Table{options: options, lanes: lanes, sink: sink, index: newIndex()}
}

// Configure replaces how packets are read from now on, and the limits of heads of sessions that open from now on.
func (t *Table) Configure(walker *packet.Walker, limits packet.HeadLimits) {
	t.options.Walker, t.options.Limits = walker, limits
}

// Advance tells the table that it is at least so late, in nanoseconds since 1970, although no packet came. Call Sweep
// afterwards.
func (t *Table) Advance(now int64) { t.clock.atLeast(now) }

// Sessions returns how many are open.
func (t *Table) Sessions() int { return t.index.used }

// Packet takes the next packet. The sink is called for it at most once with Packet, and at most 2 * evictLooks + 3
// times with Counts. Call Sweep afterwards.
func (t *Table) Packet(p *Packet) {
	t.clock.advance(p.Time)
	info, counters := &t.info, t.lanes[0].Counters
	switch t.options.Walker.Walk(p.Link, p.Data, p.Original, info) {
	case packet.OK:
	case packet.NonIP:
		counters.Seen++
		counters.NonIp++
		return
	default:
		counters.Seen++
		counters.Undecodable++
		return
	}
	switch info.Fragment {
	case packet.NotFragmented:
	case packet.FirstFragment:
		t.fragments.first(info, t.clock.now)
	default:
		if !t.fragments.later(info, t.clock.now) {
			counters.Seen++
			counters.FragUnmatched++
			return
		}
	}
	number := t.session(p, info)
	t.add(number, p, info)
}

// session returns the record that the packet belongs to, a new one if need be.
func (t *Table) session(p *Packet, info *packet.Info) uint32 {
	hash := info.Key.Hash(t.options.Seed)
	number := t.index.find(t, hash, &info.Key)
	if number == 0 {
		return t.open(hash, p, info, t.wasEvicted(hash, info))
	}
	s := t.record(number)
	reason := t.over(s, info)
	if reason == flowv1.EndReason_END_REASON_UNSPECIFIED {
		return number
	}
	clientHigh := s.ClientHigh
	t.end(number, reason)
	continued := reason == flowv1.EndReason_END_REASON_ACTIVE_TIMEOUT
	number = t.open(hash, p, info, continued)
	if continued {
		t.record(number).ClientHigh = clientHigh
	}
	return number
}

// over tells why the packet does not belong to the session any more; unspecified when it does.
//
// A closed TCP session takes what comes within two seconds. Bare segments, which carry nothing and open nothing, are taken
// as long as no sweep has ended it: the last acknowledgement of a slow connection, or the reset that follows its close,
// is no session of its own.
func (t *Table) over(s *Session, info *packet.Info) flowv1.EndReason {
	now := t.clock.now
	switch {
	case now-s.seenAt > s.idle():
		return s.endOf()
	case s.opens(info):
		if s.closing() {
			return s.endOf()
		}
		return flowv1.EndReason_END_REASON_SUPERSEDED
	case s.closing() && now-s.closedAt > closedWait && info.PayloadLength > 0:
		return s.endOf()
	case now-s.openedAt >= activeMost && !s.closing():
		return flowv1.EndReason_END_REASON_ACTIVE_TIMEOUT
	}
	return flowv1.EndReason_END_REASON_UNSPECIFIED
}

// open makes a session of which the packet is the first. It does not count the packet.
func (t *Table) open(hash uint64, p *Packet, info *packet.Info, continued bool) uint32 {
	number := t.take()
	s := t.record(number)
	lane := uint32(hash % uint64(len(t.lanes)))
	*s = Session{
		Key: info.Key, Lane: lane, hash: hash,
		Interface: p.Interface, OpenedTime: p.Time, LastTime: p.Time, Opened: true,
		ClientHigh: info.Reversed, Continued: continued,
		head:     packet.Head{Limits: t.options.Limits},
		openedAt: t.clock.now, seenAt: t.clock.now, toldAt: t.clock.now,
	}
	if info.Key.Protocol == protocolTCP {
		switch info.TCPFlags & (packet.SYN | packet.ACK) {
		case packet.SYN:
		case packet.SYN | packet.ACK:
			s.ClientHigh = !info.Reversed && (info.Key.Low != info.Key.High || info.Key.LowPort != info.Key.HighPort)
		default:
			s.Midstream = true
		}
	}
	if t.options.Own != nil && t.options.Own(&info.Key) {
		s.own, s.enough = true, true
	} else {
		s.Number = t.lanes[lane].Numbers.Next(time.Unix(0, p.Time))
		t.lanes[lane].Counters.OpenedSessions++
	}
	t.index.insert(t, hash, number)
	t.chronicle.append(t, number, chronicleLinks)
	if !t.wheel.started {
		t.wheel.started, t.wheel.done = true, floorDiv(t.clock.now, second)
	}
	t.put(number, s.deadline())
	return number
}

// add counts the packet in its session, and gives it to the sink if it belongs to the head.
func (t *Table) add(number uint32, p *Packet, info *packet.Info) {
	s := t.record(number)
	if info.TCPFlags&packet.SYN != 0 {
		s.learn(info)
	}
	wasClosing := s.closing()
	s.count(p, info, t.clock.now)
	counters := t.lanes[s.Lane].Counters
	counters.Seen++
	switch {
	case s.own:
		counters.Filtered++
	case s.full():
		counters.Cut++
		t.tail(number, s)
	default:
		counters.Accepted++
		_, length := s.head.Take(info, len(p.Data))
		t.sink.Packet(s, p, length, flags(s, p, info, length))
		s.Sent++
		t.told(s)
	}
	if s.closing() && !wasClosing {
		t.move(number, s.deadline())
	}
}

// tail takes note of a packet that only counts tell of.
func (t *Table) tail(number uint32, s *Session) {
	if t.clock.now-s.toldAt >= tellAfter {
		t.sink.Counts(s)
		t.told(s)
		return
	}
	if !s.untold {
		s.untold = true
		if !s.closing() {
			t.move(number, min(s.deadline(), s.toldAt+tellAfter))
		}
	}
}

func (t *Table) told(s *Session) {
	s.Opened, s.untold, s.toldAt = false, false, t.clock.now
}

func flags(s *Session, p *Packet, info *packet.Info, length int) uint32 {
	var flags flowv1.PacketFlag
	if info.Reversed != s.ClientHigh {
		flags |= flowv1.PacketFlag_PACKET_FLAG_REVERSE
	}
	if p.Original > len(p.Data) {
		flags |= flowv1.PacketFlag_PACKET_FLAG_SNAPPED
	}
	if length < info.PayloadOffset+info.PayloadCaptured {
		flags |= flowv1.PacketFlag_PACKET_FLAG_CUT
	}
	return uint32(flags)
}

// end tells the sink that a session has ended, and forgets it.
func (t *Table) end(number uint32, reason flowv1.EndReason) {
	s := t.record(number)
	s.EndReason = reason
	if !s.own {
		t.lanes[s.Lane].Counters.EndedSessions++
		t.sink.Counts(s)
	}
	t.index.remove(t, s.hash, number)
	t.chronicle.remove(t, number, chronicleLinks)
	t.wheel.chains[s.slot].remove(t, number, wheelLinks)
	t.options.Records.give(t, number)
}

// record returns a record by its number, from 1.
func (t *Table) record(number uint32) *Session {
	number--
	return &t.slabs[number/slabRecords][number%slabRecords]
}
