package ingest

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
)

// request is an IngestRequest that reads itself. A batch's blob and addresses stay where they were received, and its
// columns go into room that the next batch uses again: receiving costs neither a copy nor an allocation a packet. It
// belongs to one stream at a time.
type request struct {
	hello   *ingestv1.Hello // set for a hello
	isBatch bool
	batch   ingestv1.Batch // valid until free
	fault   *fault         // what is wrong with the batch; its sequence is good all the same
	size    int            // bytes received

	buffer  mem.Buffer
	updates []*updateRoom
}

// updateRoom is a session update with all its parts.
type updateRoom struct {
	update ingestv1.SessionUpdate
	tuple  flowv1.FiveTuple
	scope  flowv1.Scope
	counts flowv1.Counts
}

// fault says why a batch is rejected.
type fault struct {
	reason ingestv1.RejectionReason
	detail string
}

func (f *fault) Error() string { return f.detail }

func malformed(format string, args ...any) *fault {
	return &fault{ingestv1.RejectionReason_REJECTION_REASON_MALFORMED, fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) *fault {
	return &fault{ingestv1.RejectionReason_REJECTION_REASON_TOO_LARGE, fmt.Sprintf(format, args...)}
}

var errGrammar = errors.New("neither a hello nor a batch")

// inbound waits for a request. It takes room for it only when there is one, so that a silent stream holds none.
type inbound struct {
	service *Service
	*request
}

// UnmarshalBuffers implements rpc.BufferUnmarshaler. It fails only when there is no telling what the message was; a batch
// that is wrong gets a fault.
func (in *inbound) UnmarshalBuffers(data mem.BufferSlice) error {
	r, ok := in.service.scratch.Get().(*request)
	if !ok {
		panic("the pool makes requests")
	}
	in.request = r
	r.buffer = data.MaterializeToBuffer(in.service.buffers)
	r.size = r.buffer.Len()
	return r.read(r.buffer.ReadOnlyData())
}

// free gives the room back, if there is any.
func (in *inbound) free() {
	if in.request != nil {
		in.request.free()
		in.service.scratch.Put(in.request)
		in.request = nil
	}
}

// free lets go of the bytes that the batch refers to.
func (r *request) free() {
	if r.buffer != nil {
		r.buffer.Free()
		r.buffer = nil
	}
	r.batch.Data = nil
}

// read reads an IngestRequest. Of several messages in its oneof the last one counts, as everywhere in protobuf.
func (r *request) read(data []byte) error {
	var message []byte
	var which protowire.Number
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if kind == protowire.BytesType && (number == 1 || number == 2) {
			if message, n = protowire.ConsumeBytes(data); n >= 0 {
				which = number
			}
		} else {
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
	}
	r.hello, r.isBatch, r.fault = nil, false, nil
	switch which {
	case 1:
		r.hello = new(ingestv1.Hello)
		return proto.Unmarshal(message, r.hello)
	case 2:
		r.isBatch = true
		return r.readBatch(message)
	}
	return errGrammar
}

// readBatch reads a batch. Without its sequence it cannot be rejected, so that is an error.
func (r *request) readBatch(data []byte) error {
	b := &r.batch
	resetBatch(b)
	err := r.batchFields(data)
	if err == nil {
		err = check(b)
	}
	if err == nil {
		return nil
	}
	if b.GetSequence() == 0 || b.GetSequence() > maxSequence {
		return fmt.Errorf("batch without a sound sequence: %w", err)
	}
	var f *fault
	if !errors.As(err, &f) {
		f = malformed("%v", err)
	}
	r.fault = f
	return nil
}

// resetBatch empties a batch and keeps the room of its columns.
func resetBatch(b *ingestv1.Batch) {
	b.Sequence, b.Skipped, b.EndedBelow, b.BaseTimeNs, b.Crc32C, b.ConfigRevision = 0, 0, 0, 0, 0, 0
	b.Sessions, b.Interfaces = b.GetSessions()[:0], nil
	b.SessionIndex, b.TimeDeltasNs, b.Captured = b.GetSessionIndex()[:0], b.GetTimeDeltasNs()[:0], b.GetCaptured()[:0]
	b.Missing, b.Flags, b.InterfaceIndexes = b.GetMissing()[:0], b.GetFlags()[:0], b.GetInterfaceIndexes()[:0]
	b.Counters, b.Spool, b.Data = nil, nil, nil
}

// fields calls visit for each field of a message: with the value of a number, or with bytes. Groups are passed over.
func fields(data []byte, visit func(number protowire.Number, kind protowire.Type, value uint64, bytes []byte) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		var value uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(data)
		case protowire.Fixed64Type:
			value, n = protowire.ConsumeFixed64(data)
		case protowire.Fixed32Type:
			var short uint32
			short, n = protowire.ConsumeFixed32(data)
			value = uint64(short)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if err := visit(number, kind, value, bytes); err != nil {
			return err
		}
	}
	return nil
}

// batchFields reads the fields of a Batch, by their numbers in the proto.
func (r *request) batchFields(data []byte) error {
	b := &r.batch
	return fields(data, func(number protowire.Number, kind protowire.Type, value uint64, bytes []byte) (err error) {
		switch number {
		case 1:
			b.Sequence = value
		case 2:
			b.Skipped = uint32(value)
		case 3:
			b.EndedBelow = value
		case 4:
			return r.addUpdate(bytes)
		case 5:
			return addInterface(b, bytes)
		case 6:
			b.BaseTimeNs = int64(value)
		case 7:
			b.SessionIndex, err = column(b.GetSessionIndex(), kind, value, bytes, identity)
		case 8:
			b.TimeDeltasNs, err = column(b.GetTimeDeltasNs(), kind, value, bytes, protowire.DecodeZigZag)
		case 9:
			b.Captured, err = column(b.GetCaptured(), kind, value, bytes, identity)
		case 10:
			b.Missing, err = column(b.GetMissing(), kind, value, bytes, identity)
		case 11:
			b.Flags, err = column(b.GetFlags(), kind, value, bytes, identity)
		case 12:
			b.InterfaceIndexes, err = column(b.GetInterfaceIndexes(), kind, value, bytes, identity)
		case 13:
			b.Counters = new(ingestv1.Counters)
			err = proto.Unmarshal(bytes, b.GetCounters())
		case 14:
			b.Spool = new(ingestv1.SpoolCounters)
			err = proto.Unmarshal(bytes, b.GetSpool())
		case 16:
			b.Crc32C = uint32(value)
		case 17:
			b.ConfigRevision = value
		case 100:
			b.Data = bytes
		}
		return err
	})
}

// identity takes a value as it is; what does not fit into 32 bits becomes their greatest value, which no check lets pass.
func identity(value uint64) uint32 { return uint32(min(value, math.MaxUint32)) }

// column adds a packed column, or one value of an unpacked one. How many values there are is known, and bounded, before
// any room is made for them.
func column[T any](to []T, kind protowire.Type, value uint64, bytes []byte, convert func(uint64) T) ([]T, error) {
	if kind == protowire.VarintType {
		if len(to) >= MaxBatchPackets {
			return to, tooLarge("more than %d packets", MaxBatchPackets)
		}
		return append(to, convert(value)), nil
	}
	n := 0
	for _, c := range bytes {
		n += int(c>>7 ^ 1)
	}
	if len(to)+n > MaxBatchPackets {
		return to, tooLarge("more than %d packets", MaxBatchPackets)
	}
	for len(bytes) > 0 {
		if c := bytes[0]; c < 0x80 { // most values are small
			to, bytes = append(to, convert(uint64(c))), bytes[1:]
			continue
		}
		v, n := protowire.ConsumeVarint(bytes)
		if n < 0 {
			return to, protowire.ParseError(n)
		}
		to, bytes = append(to, convert(v)), bytes[n:]
	}
	return to, nil
}

func addInterface(b *ingestv1.Batch, bytes []byte) error {
	if len(b.GetInterfaces()) >= maxInterfaces {
		return tooLarge("more than %d interfaces", maxInterfaces)
	}
	i := new(flowv1.Interface)
	b.Interfaces = append(b.GetInterfaces(), i)
	return proto.Unmarshal(bytes, i)
}

// addUpdate reads a SessionUpdate into the next room.
func (r *request) addUpdate(bytes []byte) error {
	b := &r.batch
	n := len(b.GetSessions())
	if n >= MaxBatchSessions {
		return tooLarge("more than %d sessions", MaxBatchSessions)
	}
	if n == len(r.updates) {
		r.updates = append(r.updates, new(updateRoom))
	}
	room := r.updates[n]
	if err := room.read(bytes); err != nil {
		return fmt.Errorf("session %d: %w", n, err)
	}
	b.Sessions = append(b.GetSessions(), &room.update)
	return nil
}

func (u *updateRoom) read(data []byte) error {
	m := &u.update
	m.Number, m.Opened, m.InterfaceIndex, m.PacketsBefore, m.Midstream, m.Continued = 0, false, 0, 0, false, false
	m.Scope, m.FiveTuple, m.Counts = nil, nil, nil
	return fields(data, func(number protowire.Number, _ protowire.Type, value uint64, bytes []byte) error {
		switch number {
		case 1:
			m.Number = value
		case 2:
			m.Opened = value != 0
		case 3:
			m.InterfaceIndex = identity(value)
		case 4:
			m.Scope = &u.scope
			return readScope(&u.scope, bytes)
		case 5:
			m.FiveTuple = &u.tuple
			return readTuple(&u.tuple, bytes)
		case 6:
			m.Counts = &u.counts
			return readCounts(&u.counts, bytes)
		case 7:
			m.PacketsBefore = identity(value)
		case 8:
			m.Midstream = value != 0
		case 9:
			m.Continued = value != 0
		}
		return nil
	})
}

func readScope(s *flowv1.Scope, data []byte) error {
	s.VlanIds, s.Tunnel, s.TunnelId = s.GetVlanIds()[:0], 0, 0
	return fields(data, func(number protowire.Number, kind protowire.Type, value uint64, bytes []byte) (err error) {
		switch number {
		case 1:
			if len(bytes) > 64 { // two identifiers are at most
				return malformed("scope with too many VLANs")
			}
			s.VlanIds, err = column(s.GetVlanIds(), kind, value, bytes, identity)
		case 2:
			s.Tunnel = flowv1.TunnelKind(identity(value) & math.MaxInt32)
		case 3:
			s.TunnelId = identity(value)
		}
		return err
	})
}

func readTuple(t *flowv1.FiveTuple, data []byte) error {
	t.ClientAddress, t.ServerAddress, t.ClientPort, t.ServerPort, t.IpProtocol = nil, nil, 0, 0, 0
	return fields(data, func(number protowire.Number, _ protowire.Type, value uint64, bytes []byte) error {
		switch number {
		case 1:
			t.ClientAddress = bytes
		case 2:
			t.ClientPort = identity(value)
		case 3:
			t.ServerAddress = bytes
		case 4:
			t.ServerPort = identity(value)
		case 5:
			t.IpProtocol = identity(value)
		}
		return nil
	})
}

func readCounts(c *flowv1.Counts, data []byte) error {
	c.ForwardPackets, c.ForwardBytes, c.ReversePackets, c.ReverseBytes = 0, 0, 0, 0
	c.OpenedTimeNs, c.LastTimeNs, c.Ended, c.EndReason, c.ForwardTcpFlags, c.ReverseTcpFlags = 0, 0, false, 0, 0, 0
	return fields(data, func(number protowire.Number, _ protowire.Type, value uint64, _ []byte) error {
		switch number {
		case 1:
			c.ForwardPackets = value
		case 2:
			c.ForwardBytes = value
		case 3:
			c.ReversePackets = value
		case 4:
			c.ReverseBytes = value
		case 5:
			c.OpenedTimeNs = int64(value)
		case 6:
			c.LastTimeNs = int64(value)
		case 7:
			c.Ended = value != 0
		case 8:
			c.EndReason = flowv1.EndReason(identity(value) & math.MaxInt32)
		case 9:
			c.ForwardTcpFlags = identity(value)
		case 10:
			c.ReverseTcpFlags = identity(value)
		}
		return nil
	})
}
