package sessiontest

import (
	"hash/crc32"
	"net/netip"
	"time"

	"google.golang.org/protobuf/proto"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/packettest"
)

// Agent scripts what an agent's cut would send on one lane: it numbers sessions, counts, and cuts batches. It belongs to
// one goroutine.
type Agent struct {
	Lane  packet.Lane
	Clock time.Time // of the packets; every packet moves it on by a millisecond
	Point string    // capture point
	// Ports are where it looks for tunnels; nil tells none.
	Ports *flowv1.TunnelPorts

	numbers  packet.Numbers
	sequence uint64
	skipped  uint32
	counters ingestv1.Counters
	spool    ingestv1.SpoolCounters
	touched  []*Flow
	packets  []sent
	below    uint64
}

type sent struct {
	flow    *Flow
	time    int64
	frame   []byte
	missing uint32
	reverse bool
}

// Flow is one session of an Agent.
type Flow struct {
	Number         uint64
	agent          *Agent
	client, server netip.AddrPort
	protocol       uint8
	counts         flowv1.Counts
	sent           uint32 // packets in earlier batches
	opened         bool   // was told to have opened
	touched        bool
	continued      bool
	vxlan          uint16   // port, when it travels in VXLAN
	last           struct { // the frame built last, used again for the same payload
		payload string
		reverse bool
		frame   []byte
	}
}

// NewAgent returns an agent with one lane.
func NewAgent(name string, epoch uint64, lane uint32) *Agent {
	return &Agent{
		Lane: packet.Lane{Agent: name, Epoch: epoch, Index: lane}, Clock: time.Unix(1_700_000_000, 0), Point: "file:test.pcap",
	}
}

// Hello is how the agent opens its stream: it still has everything after durable.
func (a *Agent) Hello(durable uint64) *ingestv1.Hello {
	return &ingestv1.Hello{
		Epoch: a.Lane.Epoch, Lane: a.Lane.Index, FirstAvailableSequence: durable + 1, LastDurableSequence: durable,
		LastSentSequence: a.sequence, Version: "test", CapturePoints: []*ingestv1.CapturePoint{{Name: a.Point}},
	}
}

// Restart forgets all sessions, as a killed agent does whose spool is on disk: the next batch ends the older ones.
func (a *Agent) Restart() {
	a.touched, a.packets = nil, nil
	a.below = a.numbers.Last() + 1
}

// Drop loses the batch that would be cut now, as a full spool does.
func (a *Agent) Drop() {
	b := a.Batch()
	a.skipped = b.GetSkipped() + 1
	a.spool.Dropped += uint64(len(b.GetSessionIndex()))
}

// TCP opens a TCP session between two addresses with ports.
func (a *Agent) TCP(client, server string) *Flow { return a.open(client, server, 6) }

// UDP opens a UDP session.
func (a *Agent) UDP(client, server string) *Flow { return a.open(client, server, 17) }

func (a *Agent) open(client, server string, protocol uint8) *Flow {
	a.counters.OpenedSessions++
	return &Flow{
		Number: a.numbers.Next(a.Clock), agent: a, protocol: protocol,
		client: netip.MustParseAddrPort(client), server: netip.MustParseAddrPort(server),
	}
}

// Continued flags the session as going on from another.
func (f *Flow) Continued() *Flow {
	f.continued = true
	return f
}

// VXLAN has the session travel in VXLAN with network identifier 42, on a UDP port.
func (f *Flow) VXLAN(port uint16) *Flow {
	f.vxlan, f.last.frame = port, nil
	return f
}

// Up sends packets from client to server, one for each payload, Down the other way.
func (f *Flow) Up(payloads ...string) *Flow {
	for _, p := range payloads {
		f.packet(false, p, true)
	}
	return f
}

// Down sends packets from server to client.
func (f *Flow) Down(payloads ...string) *Flow {
	for _, p := range payloads {
		f.packet(true, p, true)
	}
	return f
}

// Cut counts packets that are not sent.
func (f *Flow) Cut(packets int) *Flow {
	for range packets {
		f.packet(false, "", false)
	}
	return f
}

// Foreign sends a packet that belongs to another five-tuple.
func (f *Flow) Foreign() *Flow {
	f.packet(false, "foreign", true)
	last := &f.agent.packets[len(f.agent.packets)-1]
	last.frame = packettest.Ethernet(0x0800, packettest.IPv4("192.0.2.77", "192.0.2.78", 17, packettest.UDP(7, 7, nil)))
	return f
}

// End says that the session is over.
func (f *Flow) End(why flowv1.EndReason) *Flow {
	f.counts.Ended, f.counts.EndReason = true, why
	f.agent.counters.EndedSessions++
	f.touch()
	return f
}

func (f *Flow) touch() {
	if !f.touched {
		f.touched = true
		f.agent.touched = append(f.agent.touched, f)
	}
}

func (f *Flow) packet(reverse bool, payload string, send bool) {
	a := f.agent
	a.Clock = a.Clock.Add(time.Millisecond)
	if f.last.frame == nil || f.last.reverse != reverse || f.last.payload != payload {
		f.last.payload, f.last.reverse, f.last.frame = payload, reverse, f.frame(reverse, payload)
	}
	frame := f.last.frame
	now := a.Clock.UnixNano()
	c := &f.counts
	if c.GetOpenedTimeNs() == 0 {
		c.OpenedTimeNs = now
	}
	c.LastTimeNs = now
	if reverse {
		c.ReversePackets++
		c.ReverseBytes += uint64(len(frame))
	} else {
		c.ForwardPackets++
		c.ForwardBytes += uint64(len(frame))
	}
	a.counters.Seen++
	f.touch()
	if !send {
		a.counters.Cut++
		return
	}
	a.counters.Accepted++
	a.packets = append(a.packets, sent{flow: f, time: now, frame: frame, reverse: reverse})
}

func (f *Flow) frame(reverse bool, payload string) []byte {
	if f.vxlan == 0 {
		return f.inner(reverse, payload)
	}
	carrier := packettest.UDP(50000, f.vxlan, packettest.VXLAN(42, f.inner(reverse, payload)))
	return packettest.Ethernet(0x0800, packettest.IPv4("192.0.2.1", "192.0.2.2", 17, carrier))
}

func (f *Flow) inner(reverse bool, payload string) []byte {
	from, to := f.client, f.server
	if reverse {
		from, to = to, from
	}
	var segment []byte
	if f.protocol == 17 {
		segment = packettest.UDP(from.Port(), to.Port(), []byte(payload))
	} else {
		segment = packettest.TCP(from.Port(), to.Port(), packet.ACK, 1, 1, []byte(payload))
	}
	if from.Addr().Is4() {
		return packettest.Ethernet(0x0800, packettest.IPv4(from.Addr().String(), to.Addr().String(), f.protocol, segment))
	}
	return packettest.Ethernet(0x86dd, packettest.IPv6(from.Addr().String(), to.Addr().String(), f.protocol, segment))
}

// Batch cuts what happened since the last one.
func (a *Agent) Batch() *ingestv1.Batch {
	a.sequence++
	b := &ingestv1.Batch{
		Sequence: a.sequence, Skipped: a.skipped, EndedBelow: a.below, BaseTimeNs: a.Clock.UnixNano(),
		Interfaces: []*flowv1.Interface{{CapturePoint: a.Point, LinkType: uint32(packet.LinkEthernet), TunnelPorts: a.Ports}},
		Counters:   proto.CloneOf(&a.counters), Spool: proto.CloneOf(&a.spool), ConfigRevision: 7,
	}
	a.skipped, a.below = 0, 0
	index := map[*Flow]uint32{}
	for i, f := range a.touched {
		index[f] = uint32(i)
		b.Sessions = append(b.Sessions, &ingestv1.SessionUpdate{
			Number: f.Number, Opened: !f.opened, Continued: f.continued, PacketsBefore: f.sent, Counts: proto.CloneOf(&f.counts),
			FiveTuple: &flowv1.FiveTuple{
				ClientAddress: f.client.Addr().AsSlice(), ClientPort: uint32(f.client.Port()),
				ServerAddress: f.server.Addr().AsSlice(), ServerPort: uint32(f.server.Port()), IpProtocol: uint32(f.protocol),
			},
		})
		if f.vxlan != 0 {
			b.Sessions[i].Scope = &flowv1.Scope{Tunnel: flowv1.TunnelKind_TUNNEL_KIND_VXLAN, TunnelId: 42}
		}
		f.opened, f.touched = true, false
	}
	bytes := 0
	for _, p := range a.packets {
		bytes += len(p.frame)
	}
	b.Data = make([]byte, 0, bytes)
	last := b.GetBaseTimeNs()
	for _, p := range a.packets {
		p.flow.sent++
		b.SessionIndex = append(b.SessionIndex, index[p.flow])
		b.TimeDeltasNs = append(b.TimeDeltasNs, p.time-last)
		last = p.time
		b.Captured = append(b.Captured, uint32(len(p.frame)))
		b.Missing = append(b.Missing, p.missing)
		var flags uint32
		if p.reverse {
			flags = uint32(flowv1.PacketFlag_PACKET_FLAG_REVERSE)
		}
		b.Flags = append(b.Flags, flags)
		b.Data = append(b.Data, p.frame...)
	}
	if len(b.GetData()) > 0 {
		b.Crc32C = crc32.Checksum(b.GetData(), crc32.MakeTable(crc32.Castagnoli))
	}
	a.touched, a.packets = nil, nil
	return b
}

// Request puts a batch into what a stream carries.
func Request(b *ingestv1.Batch) *ingestv1.IngestRequest {
	return &ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Batch{Batch: b}}
}

// at moves the client's address on, for many sessions of one kind.
func (f *Flow) at(i int) *Flow {
	b := f.client.Addr().As4()
	b[2], b[3] = byte(i>>8), byte(i)
	f.client = netip.AddrPortFrom(netip.AddrFrom4(b), f.client.Port())
	return f
}
