package uplink

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of sonde.ingest.v1; TestMessageAgreesWithTheContract reads them back with the generated code.
const (
	requestBatch                             protowire.Number = 2
	batchSequence, batchSkipped, batchSpool  protowire.Number = 1, 2, 14
	spoolDropped, spoolReleased, spoolReject protowire.Number = 1, 2, 3
)

// message is an IngestRequest with a batch, whose encoding it refers to in place. What is only known now goes in front.
type message struct {
	batch Batch
	taken bool // gRPC has the payload, and releases it
}

// MarshalBuffers implements rpc.BufferMarshaler.
func (m *message) MarshalBuffers(mem.BufferPool) (mem.BufferSlice, error) {
	m.taken = true
	front := appendUint(nil, batchSequence, m.batch.Sequence)
	front = appendUint(front, batchSkipped, uint64(m.batch.Skipped))
	spool := appendUint(nil, spoolDropped, m.batch.Losses.Dropped)
	spool = appendUint(spool, spoolReleased, m.batch.Losses.Released)
	spool = appendUint(spool, spoolReject, m.batch.Losses.Rejected)
	front = protowire.AppendBytes(protowire.AppendTag(front, batchSpool, protowire.BytesType), spool)

	head := protowire.AppendTag(make([]byte, 0, 2*protowire.SizeVarint(0)+16+len(front)), requestBatch, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(front)+len(m.batch.Payload)))
	head = append(head, front...)
	if mem.IsBelowBufferPoolingThreshold(cap(m.batch.Payload)) { // gRPC would not tell when it is done with it
		head = append(head, m.batch.Payload...)
		m.batch.Release()
		return mem.BufferSlice{mem.SliceBuffer(head)}, nil
	}
	return mem.BufferSlice{mem.SliceBuffer(head), mem.NewBuffer(&m.batch.Payload, lender{m.batch.Release})}, nil
}

func appendUint(to []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return to
	}
	return protowire.AppendVarint(protowire.AppendTag(to, field, protowire.VarintType), v)
}

// lender is where a payload goes back to when gRPC frees it.
type lender struct{ release func() }

func (l lender) Put(*[]byte) { l.release() }

// Get implements mem.BufferPool. Nobody asks a lender for buffers.
func (lender) Get(length int) *[]byte {
	buffer := make([]byte, length)
	return &buffer
}
