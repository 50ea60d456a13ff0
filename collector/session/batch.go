package session

import (
	"net/netip"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
)

// Batch is one batch, decoded and checked, every packet's headers read. It belongs to who made it; a store only borrows
// it for a call, and copies what it keeps.
//
// A store applies it in steps, first one for each packet, then one for each update. What a step does depends on the batch
// and on the state before it only, so that a batch applied in pieces gives the same as one applied whole.
type Batch struct {
	Lane  packet.Lane
	Fence uint64 // as Resume returned it

	Sequence   uint64
	Skipped    uint32
	EndedBelow uint64
	// Counters and Spool are the agent's ledger as of this batch. A batch without counters was rejected: only its
	// sequence counts.
	Counters       *ingestv1.Counters
	Spool          *ingestv1.SpoolCounters
	ConfigRevision uint64

	Interfaces []*flowv1.Interface
	Updates    []Update
	Packets    []Packet
	Data       []byte // the packets' bytes, one behind the other
	Mismatched int    // how many of the packets contradict their session

	walkers []*packet.Walker // of each interface
}

// Steps is how many steps the batch has.
func (b *Batch) Steps() int { return len(b.Packets) + len(b.Updates) }

// Update is what a batch says of one session.
type Update struct {
	Number        uint64
	Key           packet.Key
	ClientHigh    bool   // the client is Key's high endpoint
	Opened        bool   // in this batch
	Midstream     bool   // it had begun before
	Continued     bool   // it goes on from another
	Interface     uint32 // index into Batch.Interfaces
	PacketsBefore uint32 // in earlier batches
	Packets       uint32 // in this one
	Bytes         uint32 // that they have
	Counts        Counts

	// First is what the Community ID of ICMP needs of the first packet here that belongs to the session.
	First First
}

// First tells the type and code of an ICMP packet, and its direction.
type First struct {
	Seen, Reverse bool
	Type, Code    uint8
}

// Counts are the whole session's; flow.v1.Counts says what the fields mean.
type Counts struct {
	Forward, Reverse   Volume
	Opened, Last       int64 // nanoseconds since 1970 UTC
	Ended              bool
	EndReason          flowv1.EndReason
	ForwardTCP, RevTCP uint8 // flags
}

// Volume is one direction's.
type Volume struct{ Packets, Bytes uint64 }

// Packets counts both directions.
func (c *Counts) Packets() uint64 { return c.Forward.Packets + c.Reverse.Packets }

// newerThan compares the numbers of the counts part: packets, and of equally many the ended one.
func (c *Counts) newerThan(other *Counts) bool {
	a, b := c.Packets(), other.Packets()
	return a > b || a == b && c.Ended && !other.Ended
}

// Packet is one packet of a batch. It refers to Batch.Data.
type Packet struct {
	Time      int64  // nanoseconds since 1970 UTC
	Update    uint32 // index of its session into Batch.Updates
	Ordinal   uint32 // position in its session, as the agent counts what it sends
	Offset    uint32 // where it begins in Data
	Captured  uint32 // its bytes in Data
	Missing   uint32 // its bytes on the wire beyond those
	Interface uint32 // index into Batch.Interfaces
	Payload   uint32 // where its transport payload begins
	Carries   uint32 // how much of that is in Data
	Flags     uint8  // flow.v1.PacketFlag
	// Mismatched: its headers contradict its session, so that it is only counted.
	Mismatched bool
}

// countsFrom takes over what came on the wire.
func countsFrom(c *flowv1.Counts) Counts {
	return Counts{
		Forward:    Volume{c.GetForwardPackets(), c.GetForwardBytes()},
		Reverse:    Volume{c.GetReversePackets(), c.GetReverseBytes()},
		Opened:     c.GetOpenedTimeNs(),
		Last:       c.GetLastTimeNs(),
		Ended:      c.GetEnded(),
		EndReason:  c.GetEndReason(),
		ForwardTCP: uint8(c.GetForwardTcpFlags()),
		RevTCP:     uint8(c.GetReverseTcpFlags()),
	}
}

func (c *Counts) message() *flowv1.Counts {
	return &flowv1.Counts{
		ForwardPackets: c.Forward.Packets, ForwardBytes: c.Forward.Bytes,
		ReversePackets: c.Reverse.Packets, ReverseBytes: c.Reverse.Bytes,
		OpenedTimeNs: c.Opened, LastTimeNs: c.Last,
		Ended: c.Ended, EndReason: c.EndReason,
		ForwardTcpFlags: uint32(c.ForwardTCP), ReverseTcpFlags: uint32(c.RevTCP),
	}
}

// keyOf makes the direction-free key of a session, and tells whether the client is its high endpoint. Addresses are 4 or
// 16 bytes long, both alike.
func keyOf(t *flowv1.FiveTuple, s *flowv1.Scope) (key packet.Key, clientHigh bool) {
	client, _ := netip.AddrFromSlice(t.GetClientAddress())
	server, _ := netip.AddrFromSlice(t.GetServerAddress())
	clientPort, serverPort := uint16(t.GetClientPort()), uint16(t.GetServerPort())
	order := client.Compare(server)
	clientHigh = order > 0 || order == 0 && clientPort > serverPort
	key = packet.Key{Scope: scopeOf(s), Version: 6, Protocol: uint8(t.GetIpProtocol())}
	if client.Is4() {
		key.Version = 4
	}
	if clientHigh {
		client, server, clientPort, serverPort = server, client, serverPort, clientPort
	}
	key.Low, key.High, key.LowPort, key.HighPort = client.As16(), server.As16(), clientPort, serverPort
	return key, clientHigh
}

func scopeOf(s *flowv1.Scope) packet.Scope {
	scope := packet.Scope{Tunnel: packet.TunnelKind(s.GetTunnel()), TunnelID: s.GetTunnelId()}
	for i, id := range s.GetVlanIds() {
		if i < len(scope.VLANs) {
			scope.VLANs[i] = uint16(id)
		}
	}
	return scope
}

func scopeMessage(s packet.Scope) *flowv1.Scope {
	if s == (packet.Scope{}) {
		return nil
	}
	m := &flowv1.Scope{Tunnel: flowv1.TunnelKind(s.Tunnel), TunnelId: s.TunnelID}
	for _, id := range s.VLANs {
		if id != 0 {
			m.VlanIds = append(m.VlanIds, uint32(id))
		}
	}
	return m
}
