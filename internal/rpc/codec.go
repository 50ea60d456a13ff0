package rpc

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// BufferMarshaler is a message that writes itself as valid protobuf without copying what is large: a blob is a buffer of
// its own in the slice. gRPC frees the slice, once, when its bytes are on their way, perhaps long after SendMsg returned;
// a message that keeps a buffer for itself, to send it again, takes a reference first. Buffers of 1 KiB and more may come
// from pool; smaller ones gRPC does not give back, so they are better allocated.
type BufferMarshaler interface {
	MarshalBuffers(pool mem.BufferPool) (mem.BufferSlice, error)
}

// BufferUnmarshaler is a message that reads itself from protobuf without copying what is large. The slice is freed after
// UnmarshalBuffers returns, whatever it returns; a message that goes on referring to a buffer takes a reference, and
// frees that when it is done. The bytes come from a peer.
type BufferUnmarshaler interface {
	UnmarshalBuffers(data mem.BufferSlice) error
}

// Codec returns the codec of our servers and clients: protobuf on the wire, always. A message that implements
// BufferMarshaler or BufferUnmarshaler does it itself; every other is a proto.Message. It is never registered.
func Codec(pool mem.BufferPool) encoding.CodecV2 {
	return codec{pool}
}

type codec struct {
	pool mem.BufferPool
}

// Name is the content subtype: what is on the wire is protobuf.
func (codec) Name() string { return "proto" }

func (c codec) Marshal(message any) (mem.BufferSlice, error) {
	if own, ok := message.(BufferMarshaler); ok {
		return own.MarshalBuffers(c.pool)
	}
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a protobuf message", message)
	}
	size := proto.Size(m)
	options := proto.MarshalOptions{UseCachedSize: true} // by the line above
	if mem.IsBelowBufferPoolingThreshold(size) {
		data, err := options.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(data)}, err
	}
	buffer := c.pool.Get(size)
	if _, err := options.MarshalAppend((*buffer)[:0], m); err != nil {
		c.pool.Put(buffer)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(buffer, c.pool)}, nil
}

func (c codec) Unmarshal(data mem.BufferSlice, message any) error {
	if own, ok := message.(BufferUnmarshaler); ok {
		return own.UnmarshalBuffers(data)
	}
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a protobuf message", message)
	}
	buffer := data.MaterializeToBuffer(c.pool)
	defer buffer.Free()
	return proto.Unmarshal(buffer.ReadOnlyData(), m)
}
