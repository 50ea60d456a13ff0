package session

import (
	"net"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/record"
)

// maxHeadBytes bounds a head, so that a hand-over stays below 32 KiB however long its packets' headers are.
const maxHeadBytes = 24 << 10

// version is how far something knows a session: the number of its classification part and the two of its counts part.
type version struct {
	head    uint32
	packets uint64
	ended   bool
}

// covers tells whether nothing of other is missing in v.
func (v version) covers(other version) bool {
	return v.head >= other.head && (v.packets > other.packets || v.packets == other.packets && (v.ended || !other.ended))
}

// with joins two versions, part by part.
func (v version) with(other version) version {
	v.head = max(v.head, other.head)
	if other.packets > v.packets || other.packets == v.packets && other.ended {
		v.packets, v.ended = other.packets, other.ended
	}
	return v
}

func versionOf(s *flowv1.Session) version {
	c := s.GetCounts()
	return version{head: s.GetHeadPackets(), packets: c.GetForwardPackets() + c.GetReversePackets(), ended: c.GetEnded()}
}

// state is one session in memory. It is guarded by its lane's mutex.
//
//	             change                    hand over                  settle
//	(clean) ------------------> dirty ---------------> on its way ---------------> clean, or gone if ended
//	                              ^                        |
//	                              '------ change ----------'
type state struct {
	number               uint64
	key                  packet.Key
	clientHigh           bool
	midstream, continued bool
	counts               Counts
	first                First
	iface                *flowv1.Interface // where it opened

	head    []held
	data    []byte // of all packets of the head; hand-overs share it, so what is in it never changes
	payload uint32 // as packet.Head counts it
	next    uint32 // ordinal of the next packet for the head
	// unheld is how many packets the head had when it was stored and its packets were not kept: nothing can be added.
	unheld uint32

	// The lane's ledger when the session opened.
	gaps, drops, revision uint64

	handed    version // what its newest hand-over holds
	settled   version // what the results hold
	confirmed uint32  // packets in the head that the queue has

	// Places of batches in the lane's journal; 0 is none. since is the batch of the first change that is not settled, dirty
	// that of the first one not handed over.
	since, dirty uint64
	dirtyAt      time.Duration // when, by the store's clock
	lentUntil    time.Duration
	lent         version

	links [kinds]link
	size  int
}

// held is one packet of a head.
type held struct {
	time     int64
	captured uint32
	missing  uint32
	ordinal  uint32
	flags    uint8
	iface    *flowv1.Interface
}

const (
	stateBytes = int(unsafe.Sizeof(state{})) + 64 // and its place in the map
	heldBytes  = int(unsafe.Sizeof(held{}))
)

func (s *state) heldPackets() uint32 { return s.unheld + uint32(len(s.head)) }

func (s *state) version() version {
	return version{head: s.heldPackets(), packets: s.counts.Packets(), ended: s.counts.Ended}
}

func (s *state) full(limits packet.HeadLimits) bool {
	return s.unheld > 0 || limits.Packets > 0 && uint32(len(s.head)) >= limits.Packets
}

// grow makes room at once for what the head will take of an update's packets, if they are of one size.
func (s *state) grow(u *Update, limits packet.HeadLimits) {
	packets := min(int(u.Packets), int(limits.Packets)-len(s.head))
	if packets <= 0 || s.unheld > 0 {
		return
	}
	s.head = slices.Grow(s.head, packets)
	bytes := uint64(u.Bytes) * uint64(packets) / uint64(u.Packets)
	s.data = slices.Grow(s.data, min(int(bytes), maxHeadBytes-min(len(s.data), maxHeadBytes)))
}

// take puts a packet into the head, if it belongs there, and tells whether it did.
func (s *state) take(p *Packet, frame []byte, iface *flowv1.Interface, limits packet.HeadLimits) bool {
	if p.Mismatched || p.Ordinal < s.next || s.full(limits) {
		return false
	}
	s.next = p.Ordinal + 1
	rule := packet.Head{Limits: limits, Packets: uint32(len(s.head)), PayloadBytes: s.payload}
	info := packet.Info{PayloadOffset: int(p.Payload), PayloadCaptured: int(p.Carries)}
	keep, length := rule.Take(&info, len(frame))
	if !keep {
		return false
	}
	s.payload = rule.PayloadBytes
	length = min(length, maxHeadBytes-min(len(s.data), maxHeadBytes))
	flags := p.Flags
	if uint32(length) < p.Payload+p.Carries {
		flags |= uint8(flowv1.PacketFlag_PACKET_FLAG_CUT)
	}
	s.head = append(s.head, held{
		time: p.Time, captured: uint32(length), missing: p.Missing + uint32(len(frame)-length),
		ordinal: p.Ordinal, flags: flags, iface: iface,
	})
	s.data = append(s.data, frame[:length]...)
	return true
}

// message is the session's hand-over as it stands now. The head is in it when the queue does not have it yet.
func (l *lane) message(s *state, now time.Time) *flowv1.Session {
	m := &flowv1.Session{
		Id:    packet.SessionID(l.id, s.number, time.Unix(0, s.counts.Opened)),
		Agent: l.id.Agent, Epoch: l.id.Epoch, Lane: l.id.Index, Number: s.number,
		CapturePoint: s.iface.GetCapturePoint(),
		Scope:        scopeMessage(s.key.Scope),
		FiveTuple:    s.fiveTuple(),
		CommunityId:  s.communityID(),
		Counts:       s.counts.message(),
		HeadPackets:  s.heldPackets(),
		Evidence: &flowv1.Evidence{
			PacketsHeld: s.heldPackets(), Gaps: since(l.row.gaps, s.gaps), Drops: since(l.row.counters.GetKernelDropped(), s.drops),
			ConfigRevision: s.revision, Midstream: s.midstream, Continued: s.continued,
		},
		HandedOverTimeNs: now.UnixNano(),
	}
	for i := range s.head {
		if s.head[i].flags&uint8(flowv1.PacketFlag_PACKET_FLAG_SNAPPED) != 0 {
			m.Evidence.Truncated++
		}
	}
	if s.heldPackets() > s.confirmed {
		m.Head = s.packets()
	}
	return m
}

// since is how far a counter has come; nothing when it has not reached then yet, as in the middle of a batch.
func since(now, then uint64) uint64 { return uint64(max(0, int64(now-then))) }

func (s *state) endpoints() (client, server packet.Endpoint) {
	info := packet.Info{Key: s.key, Reversed: s.clientHigh}
	return info.Source(), info.Destination()
}

func (s *state) fiveTuple() *flowv1.FiveTuple {
	client, server := s.endpoints()
	return &flowv1.FiveTuple{
		ClientAddress: client.Address.AsSlice(), ClientPort: uint32(client.Port),
		ServerAddress: server.Address.AsSlice(), ServerPort: uint32(server.Port),
		IpProtocol: uint32(s.key.Protocol),
	}
}

// communityID is the first packet's. Without one that of ICMP is not known.
func (s *state) communityID() string {
	const icmp, icmp6 = 1, 58
	if !s.first.Seen && (s.key.Protocol == icmp || s.key.Protocol == icmp6) {
		return ""
	}
	from, to := s.endpoints()
	if s.first.Reverse {
		from, to = to, from
	}
	return packet.CommunityID(from, to, s.key.Protocol, s.first.Type, s.first.Code, 0)
}

// packets makes a message of the head. It shares the bytes, which are only ever appended to.
func (s *state) packets() *flowv1.Packets {
	n := len(s.head)
	p := &flowv1.Packets{
		TimeDeltasNs: make([]int64, n), Captured: make([]uint32, n), Missing: make([]uint32, n),
		Flags: make([]uint32, n), Ordinals: make([]uint32, n), Data: slices.Clip(s.data),
	}
	if n == 0 {
		return p
	}
	p.BaseTimeNs = s.head[0].time
	indexes, last := make([]uint32, n), p.GetBaseTimeNs()
	for i := range s.head {
		h := &s.head[i]
		p.TimeDeltasNs[i], last = h.time-last, h.time
		p.Captured[i], p.Missing[i], p.Flags[i], p.Ordinals[i] = h.captured, h.missing, uint32(h.flags), h.ordinal
		indexes[i] = interfaceIndex(p, h.iface)
	}
	if len(p.GetInterfaces()) > 1 {
		p.InterfaceIndexes = indexes
	}
	return p
}

// interfaceIndex finds an interface among those of the packets, and adds it when it is new. There are hardly ever two.
func interfaceIndex(p *flowv1.Packets, iface *flowv1.Interface) uint32 {
	for i, known := range p.GetInterfaces() {
		if known == iface {
			return uint32(i)
		}
	}
	p.Interfaces = append(p.Interfaces, iface)
	return uint32(len(p.GetInterfaces()) - 1)
}

// recall brings a session back into memory, from what is stored of it.
func (l *lane) recall(stored *record.Entry) *state {
	r := stored.Result
	tuple := tupleOf(r)
	key, clientHigh := keyOf(tuple, r.GetScope())
	evidence := r.GetEvidence()
	s := &state{
		number: r.GetNumber(), key: key, clientHigh: clientHigh,
		midstream: evidence.GetMidstream(), continued: evidence.GetContinued(),
		counts: Counts{
			Forward: Volume{r.GetForward().GetPackets(), r.GetForward().GetBytes()},
			Reverse: Volume{r.GetReverse().GetPackets(), r.GetReverse().GetBytes()},
			Opened:  r.GetStartTime().AsTime().UnixNano(), Last: r.GetEndTime().AsTime().UnixNano(),
			Ended: r.GetEnded(), EndReason: r.GetEndReason(),
		},
		iface: &flowv1.Interface{CapturePoint: r.GetCapturePoint()},
		gaps:  l.row.gaps - evidence.GetGaps(), drops: l.row.counters.GetKernelDropped() - evidence.GetDrops(),
		revision: evidence.GetConfigRevision(),
	}
	if r.GetState() != queryv1.ResultState_RESULT_STATE_COUNTED {
		l.recallHead(s, stored.Head, evidence.GetPacketsHeld())
	}
	s.settled = s.version()
	s.handed, s.confirmed = s.settled, s.heldPackets()
	l.keep(s)
	if !s.counts.Ended {
		l.away = max(0, l.away-1)
		l.clean.push(s)
	}
	return s
}

// recallHead takes over a stored head. When its packets are not kept any more only their number is known.
func (l *lane) recallHead(s *state, p *flowv1.Packets, packets uint32) {
	n := len(p.GetCaptured())
	if uint32(n) < packets || len(p.GetTimeDeltasNs()) != n || len(p.GetMissing()) != n || len(p.GetFlags()) != n ||
		len(p.GetOrdinals()) != n || len(p.GetInterfaces()) == 0 {
		s.unheld = packets
		return
	}
	s.data = append([]byte(nil), p.GetData()...)
	s.iface = l.intern(p.GetInterfaces()[0])
	now, offset := p.GetBaseTimeNs(), 0
	var (
		info    packet.Info
		walker  *packet.Walker
		through *flowv1.Interface // what walker is for
		own     = s.iface         // the lane's copy of it
	)
	for i := range n {
		now += p.GetTimeDeltasNs()[i]
		iface := p.GetInterfaces()[0]
		if indexes := p.GetInterfaceIndexes(); i < len(indexes) && int(indexes[i]) < len(p.GetInterfaces()) {
			iface = p.GetInterfaces()[indexes[i]]
		}
		if walker == nil || iface != through {
			through, own, walker = iface, l.intern(iface), l.store.o.Walkers.For(iface.GetTunnelPorts())
		}
		s.head = append(s.head, held{
			time: now, captured: p.GetCaptured()[i], missing: p.GetMissing()[i],
			ordinal: p.GetOrdinals()[i], flags: uint8(p.GetFlags()[i]), iface: own,
		})
		s.next = p.GetOrdinals()[i] + 1
		end := min(len(s.data), offset+int(p.GetCaptured()[i]))
		if walker.Walk(packet.LinkType(iface.GetLinkType()), s.data[offset:end], end-offset+int(p.GetMissing()[i]), &info) == packet.OK {
			s.payload += uint32(info.PayloadCaptured)
			if !s.first.Seen {
				reverse := s.head[i].flags&uint8(flowv1.PacketFlag_PACKET_FLAG_REVERSE) != 0
				s.first = First{Seen: true, Reverse: reverse, Type: info.ICMPType, Code: info.ICMPCode}
			}
		}
		offset = end
	}
}

// tupleOf reads a result's endpoints.
func tupleOf(r *queryv1.Result) *flowv1.FiveTuple {
	address := func(e *queryv1.Endpoint) []byte {
		a, err := netip.ParseAddr(e.GetAddress())
		if err != nil {
			return make([]byte, net.IPv4len) // the store wrote it, so it can be read
		}
		return a.AsSlice()
	}
	return &flowv1.FiveTuple{
		ClientAddress: address(r.GetClient()), ClientPort: r.GetClient().GetPort(),
		ServerAddress: address(r.GetServer()), ServerPort: r.GetServer().GetPort(),
		IpProtocol: r.GetIpProtocol(),
	}
}

// bytes is what the session costs.
func (s *state) bytes() int { return stateBytes + cap(s.head)*heldBytes + cap(s.data) }
