package ingest

import (
	"fmt"
	"hash/crc32"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/rpc"
)

// check looks at a batch as a whole before anything of it is touched: afterwards every index is in range and every address
// as long as it should be. The error is a *fault.
func check(b *ingestv1.Batch) error {
	if b.GetSequence() == 0 || b.GetSequence() > maxSequence {
		return malformed("sequence %d is out of range", b.GetSequence())
	}
	if b.GetCounters() == nil {
		return malformed("no counters")
	}
	if len(b.GetData()) > MaxBatchBytes {
		return tooLarge("%d bytes of data, %d at most", len(b.GetData()), MaxBatchBytes)
	}
	if f := checkColumns(b); f != nil {
		return f
	}
	for i, s := range b.GetSessions() {
		if f := checkUpdate(b, s); f != nil {
			f.detail = fmt.Sprintf("session %d: %s", i, f.detail)
			return f
		}
	}
	for i, iface := range b.GetInterfaces() {
		if len(iface.GetCapturePoint()) > maxTextBytes || len(iface.GetName()) > maxTextBytes || iface.GetLinkType() > 0xffff {
			return malformed("interface %d: texts too long, or no link type", i)
		}
		if err := packet.CheckPorts(iface.GetTunnelPorts()); err != nil {
			return malformed("interface %d: %v", i, err)
		}
	}
	if len(b.GetData()) == 0 {
		return nil
	}
	if sum := crc32.Checksum(b.GetData(), crc32.MakeTable(crc32.Castagnoli)); sum != b.GetCrc32C() {
		return &fault{ingestv1.RejectionReason_REJECTION_REASON_CHECKSUM, "the checksum of data does not agree"}
	}
	return nil
}

func checkColumns(b *ingestv1.Batch) *fault {
	n := len(b.GetSessionIndex())
	if len(b.GetTimeDeltasNs()) != n || len(b.GetCaptured()) != n || len(b.GetMissing()) != n || len(b.GetFlags()) != n {
		return malformed("columns of %d, %d, %d, %d and %d packets", n, len(b.GetTimeDeltasNs()), len(b.GetCaptured()),
			len(b.GetMissing()), len(b.GetFlags()))
	}
	if indexes := b.GetInterfaceIndexes(); len(indexes) != 0 && len(indexes) != n {
		return malformed("column of %d interfaces for %d packets", len(indexes), n)
	}
	for i, session := range b.GetSessionIndex() {
		if int(session) >= len(b.GetSessions()) {
			return malformed("packet %d: session %d of %d", i, session, len(b.GetSessions()))
		}
	}
	for i, iface := range b.GetInterfaceIndexes() {
		if int(iface) >= len(b.GetInterfaces()) {
			return malformed("packet %d: interface %d of %d", i, iface, len(b.GetInterfaces()))
		}
	}
	if n > 0 && len(b.GetInterfaces()) == 0 {
		return malformed("%d packets, no interface", n)
	}
	var sum uint64
	for _, captured := range b.GetCaptured() {
		sum += uint64(captured)
	}
	if sum != uint64(len(b.GetData())) {
		return malformed("packets of %d bytes, data of %d", sum, len(b.GetData()))
	}
	for i, missing := range b.GetMissing() {
		if missing > 1<<30 {
			return malformed("packet %d: %d bytes missing", i, missing)
		}
	}
	return nil
}

func checkUpdate(b *ingestv1.Batch, s *ingestv1.SessionUpdate) *fault {
	t, c := s.GetFiveTuple(), s.GetCounts()
	client, server := len(t.GetClientAddress()), len(t.GetServerAddress())
	const v4, v6 = 4, 16
	switch {
	case s.GetNumber() == 0:
		return malformed("no number")
	case t == nil || c == nil:
		return malformed("no five-tuple, or no counts")
	case client != server || client != v4 && client != v6:
		return malformed("addresses of %d and %d bytes", client, server)
	case t.GetClientPort() > 0xffff || t.GetServerPort() > 0xffff || t.GetIpProtocol() > 0xff:
		return malformed("port or protocol out of range")
	case int(s.GetInterfaceIndex()) >= len(b.GetInterfaces()):
		return malformed("interface %d of %d", s.GetInterfaceIndex(), len(b.GetInterfaces()))
	case c.GetLastTimeNs() < c.GetOpenedTimeNs():
		return malformed("the last packet before the first")
	case c.GetEnded() != (c.GetEndReason() != flowv1.EndReason_END_REASON_UNSPECIFIED):
		return malformed("ended without a reason, or the reverse")
	case c.GetForwardPackets()+c.GetReversePackets() == 0:
		return malformed("no packet is counted")
	case c.GetForwardPackets() > 1<<48 || c.GetReversePackets() > 1<<48:
		return malformed("more packets than can be")
	}
	return checkScope(s.GetScope())
}

func checkScope(s *flowv1.Scope) *fault {
	if len(s.GetVlanIds()) > 2 {
		return malformed("%d VLANs", len(s.GetVlanIds()))
	}
	for _, id := range s.GetVlanIds() {
		if id == 0 || id > 4094 {
			return malformed("VLAN %d", id)
		}
	}
	if _, known := flowv1.TunnelKind_name[int32(s.GetTunnel())]; !known || s.GetTunnel() > flowv1.TunnelKind(packet.Teredo) {
		return malformed("tunnel %d", s.GetTunnel())
	}
	return nil
}

// checkHello looks at the first message of a stream.
func checkHello(h *ingestv1.Hello) error {
	switch {
	case h.GetEpoch() == 0:
		return rpc.InvalidArgument("hello.epoch", "is not set")
	case h.GetLane() >= maxLanes:
		return rpc.InvalidArgument("hello.lane", "%d is not below %d", h.GetLane(), maxLanes)
	case h.GetFirstAvailableSequence() == 0 || h.GetFirstAvailableSequence() > maxSequence:
		return rpc.InvalidArgument("hello.first_available_sequence", "%d is out of range", h.GetFirstAvailableSequence())
	case h.GetLastDurableSequence() >= maxSequence || h.GetLastSentSequence() >= maxSequence:
		return rpc.InvalidArgument("hello.last_sent_sequence", "a sequence is out of range")
	case len(h.GetVersion()) > maxTextBytes:
		return rpc.InvalidArgument("hello.version", "is longer than %d bytes", maxTextBytes)
	case len(h.GetCapturePoints()) > maxPoints:
		return rpc.InvalidArgument("hello.capture_points", "more than %d", maxPoints)
	case len(h.GetLost()) > maxLostLanes:
		return rpc.InvalidArgument("hello.lost", "more than %d", maxLostLanes)
	}
	for _, p := range h.GetCapturePoints() {
		if len(p.GetName()) > maxTextBytes || len(p.GetFilter()) > 16*maxTextBytes {
			return rpc.InvalidArgument("hello.capture_points", "texts too long")
		}
	}
	return nil
}
