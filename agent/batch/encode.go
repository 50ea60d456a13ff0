package batch

import (
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
)

// Field numbers of the contract (proto/sonde/ingest/v1, proto/sonde/flow/v1). Generated code has no constants for them;
// TestEncodeAgreesWithTheContract reads what is written here with the generated code.
const (
	batchSessions, batchInterfaces, batchBaseTime     protowire.Number = 4, 5, 6
	batchIndex, batchDeltas, batchCaptured            protowire.Number = 7, 8, 9
	batchMissing, batchFlags, batchThrough            protowire.Number = 10, 11, 12
	batchCounters, batchCRC, batchRevision, batchData protowire.Number = 13, 16, 17, 100
	updateNumber, updateOpened, updateInterface       protowire.Number = 1, 2, 3
	updateScope, updateTuple, updateCounts            protowire.Number = 4, 5, 6
	updateBefore, updateMidstream, updateContinued    protowire.Number = 7, 8, 9
	scopeVLANs, scopeTunnel, scopeTunnelID            protowire.Number = 1, 2, 3
	tupleClient, tupleClientPort, tupleServer         protowire.Number = 1, 2, 3
	tupleServerPort, tupleProtocol                    protowire.Number = 4, 5
	countsForward, countsForwardBytes, countsReverse  protowire.Number = 1, 2, 3
	countsReverseBytes, countsOpened, countsLast      protowire.Number = 4, 5, 6
	countsEnded, countsReason                         protowire.Number = 7, 8
	countsForwardFlags, countsReverseFlags            protowire.Number = 9, 10
	interfacePoint, interfaceName, interfaceLink      protowire.Number = 1, 2, 3
	interfacePorts                                    protowire.Number = 4
)

// Encode returns the batch encoded, but for sequence, skipped and spool, in two parts: the second one is the packets'
// bytes. Both last until Reset. Interfaces are all that there are, by number.
func (b *Builder) Encode(counters *ingestv1.Counters, interfaces []Interface, revision uint64) (meta, data []byte, err error) {
	for i := range b.sessions { // before the interfaces are written, since sessions may name more of them
		b.sessions[i].Interface = b.Names(b.sessions[i].Interface)
	}
	meta = b.meta[:0]
	for i := range b.sessions {
		b.session(&b.sessions[i])
		meta = appendBytes(meta, batchSessions, b.inner)
	}
	for _, number := range b.interfaces {
		b.interfaceMessage(&interfaces[number])
		meta = appendBytes(meta, batchInterfaces, b.inner)
	}
	meta = appendFixed64(meta, batchBaseTime, uint64(b.baseTime))
	meta = appendColumn(meta, batchIndex, b.index)
	meta = appendColumn(meta, batchDeltas, b.deltas)
	meta = appendColumn(meta, batchCaptured, b.captured)
	meta = appendColumn(meta, batchMissing, b.missing)
	meta = appendColumn(meta, batchFlags, b.flags)
	if len(b.interfaces) > 1 {
		meta = appendColumn(meta, batchThrough, b.through)
	}
	if b.inner, err = (proto.MarshalOptions{}).MarshalAppend(b.inner[:0], counters); err != nil {
		return nil, nil, fmt.Errorf("encode counters: %w", err)
	}
	meta = appendBytes(meta, batchCounters, b.inner)
	meta = appendUint(meta, batchRevision, revision)
	if len(b.data) > 0 {
		meta = protowire.AppendTag(meta, batchCRC, protowire.Fixed32Type)
		meta = protowire.AppendFixed32(meta, crc32.Checksum(b.data, crc32.MakeTable(crc32.Castagnoli)))
		meta = protowire.AppendTag(meta, batchData, protowire.BytesType)
		meta = protowire.AppendVarint(meta, uint64(len(b.data)))
	}
	b.meta = meta
	return meta, b.data, nil
}

// session writes a SessionUpdate to b.inner.
func (b *Builder) session(s *Session) {
	to := appendUint(b.inner[:0], updateNumber, s.Number)
	to = appendBool(to, updateOpened, s.Opened)
	to = appendUint(to, updateInterface, uint64(s.Interface))
	if s.Key.Scope != (packet.Scope{}) {
		b.deepest = appendScope(b.deepest[:0], &s.Key.Scope)
		to = appendBytes(to, updateScope, b.deepest)
	}
	b.deepest = appendTuple(b.deepest[:0], &s.Key, s.ClientHigh)
	to = appendBytes(to, updateTuple, b.deepest)
	b.deepest = appendCounts(b.deepest[:0], s)
	to = appendBytes(to, updateCounts, b.deepest)
	to = appendUint(to, updateBefore, uint64(s.PacketsBefore))
	to = appendBool(to, updateMidstream, s.Midstream)
	b.inner = appendBool(to, updateContinued, s.Continued)
}

func (b *Builder) interfaceMessage(i *Interface) {
	to := appendString(b.inner[:0], interfacePoint, i.CapturePoint)
	to = appendString(to, interfaceName, i.Name)
	to = appendUint(to, interfaceLink, uint64(i.Link))
	if i.OwnPorts {
		to = protowire.AppendString(protowire.AppendTag(to, interfacePorts, protowire.BytesType), i.Ports)
	}
	b.inner = to
}

func appendScope(to []byte, s *packet.Scope) []byte {
	var ids [8]byte
	vlans := ids[:0]
	for _, id := range s.VLANs {
		if id != 0 {
			vlans = appendVarint(vlans, uint64(id))
		}
	}
	to = appendColumn(to, scopeVLANs, vlans)
	to = appendUint(to, scopeTunnel, uint64(s.Tunnel)) // the numbers of packet.TunnelKind and flow.v1.TunnelKind are the same
	return appendUint(to, scopeTunnelID, uint64(s.TunnelID))
}

func appendTuple(to []byte, k *packet.Key, clientHigh bool) []byte {
	client, server, clientPort, serverPort := k.Low[:], k.High[:], k.LowPort, k.HighPort
	if clientHigh {
		client, server, clientPort, serverPort = server, client, serverPort, clientPort
	}
	if k.Version == 4 {
		client, server = client[12:], server[12:]
	}
	to = appendBytes(to, tupleClient, client)
	to = appendUint(to, tupleClientPort, uint64(clientPort))
	to = appendBytes(to, tupleServer, server)
	to = appendUint(to, tupleServerPort, uint64(serverPort))
	return appendUint(to, tupleProtocol, uint64(k.Protocol))
}

func appendCounts(to []byte, s *Session) []byte {
	to = appendUint(to, countsForward, s.ForwardPackets)
	to = appendUint(to, countsForwardBytes, s.ForwardBytes)
	to = appendUint(to, countsReverse, s.ReversePackets)
	to = appendUint(to, countsReverseBytes, s.ReverseBytes)
	to = appendFixed64(to, countsOpened, uint64(s.OpenedTime))
	to = appendFixed64(to, countsLast, uint64(s.LastTime))
	to = appendBool(to, countsEnded, s.EndReason != 0)
	to = appendUint(to, countsReason, uint64(s.EndReason))
	to = appendUint(to, countsForwardFlags, uint64(s.ForwardFlags))
	return appendUint(to, countsReverseFlags, uint64(s.ReverseFlags))
}

// The functions below leave out what is zero, as proto3 does.

func appendUint(to []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return to
	}
	return appendVarint(protowire.AppendTag(to, field, protowire.VarintType), v)
}

func appendBool(to []byte, field protowire.Number, v bool) []byte {
	if !v {
		return to
	}
	return append(protowire.AppendTag(to, field, protowire.VarintType), 1)
}

func appendFixed64(to []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return to
	}
	return protowire.AppendFixed64(protowire.AppendTag(to, field, protowire.Fixed64Type), v)
}

func appendString(to []byte, field protowire.Number, v string) []byte {
	if v == "" {
		return to
	}
	return protowire.AppendString(protowire.AppendTag(to, field, protowire.BytesType), v)
}

// appendBytes writes a message or an address, also an empty one.
func appendBytes(to []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, field, protowire.BytesType), v)
}

func appendColumn(to []byte, field protowire.Number, packed []byte) []byte {
	if len(packed) == 0 {
		return to
	}
	return appendBytes(to, field, packed)
}
