package kserve

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/rpc"
)

// rawInputContents is the number of ModelInferRequest.raw_input_contents.
const rawInputContents = 7

// request is a ModelInferRequest whose raw contents lie in the buffer that the request came in, which is pooled: tensors
// are most of a request, and nobody keeps them beyond the answer. Protobuf's own decoder would make room for each, clear
// it, copy it, and leave it to the garbage collector.
type request struct {
	*kservev2.ModelInferRequest
	pool   mem.BufferPool
	buffer mem.Buffer // nil before UnmarshalBuffers and after free
}

var _ rpc.BufferUnmarshaler = (*request)(nil)

func (s *Service) newRequest() *request {
	return &request{ModelInferRequest: &kservev2.ModelInferRequest{}, pool: s.buffers}
}

// UnmarshalBuffers implements rpc.BufferUnmarshaler.
func (r *request) UnmarshalBuffers(data mem.BufferSlice) error {
	r.buffer = data.MaterializeToBuffer(r.pool)
	return r.read(r.buffer.ReadOnlyData())
}

// read lets protobuf read all but the raw contents, whose order among the other fields means nothing.
func (r *request) read(data []byte) error {
	var (
		raw  [][]byte
		rest []byte
		from int // of what is read but not in rest yet
	)
	keep := func(to int) {
		if rest == nil {
			rest = data[from:to:to] // an append makes a copy
		} else {
			rest = append(rest, data[from:to]...)
		}
	}
	for at := 0; at < len(data); {
		number, kind, n := protowire.ConsumeTag(data[at:])
		if n < 0 {
			return protowire.ParseError(n)
		}
		m := protowire.ConsumeFieldValue(number, kind, data[at+n:])
		if m < 0 {
			return protowire.ParseError(m)
		}
		if number == rawInputContents && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(data[at+n:])
			raw = append(raw, value)
			keep(at)
			from = at + n + m
		}
		at += n + m
	}
	keep(len(data))
	if err := proto.Unmarshal(rest, r.ModelInferRequest); err != nil {
		return err
	}
	r.RawInputContents = raw
	return nil
}

// free gives the buffer back; the raw contents are gone with it.
func (r *request) free() {
	if r.buffer != nil {
		r.RawInputContents = nil
		r.buffer.Free()
		r.buffer = nil
	}
}

// inferHandler calls ModelInfer as generated code does but reads requests as above (those of a stream its handler reads), and gives the request's buffer back.
func inferHandler(service any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // gRPC's signature
	s, ok := service.(*Service)
	if !ok {
		panic("the description is registered with its own service")
	}
	r := s.newRequest()
	defer r.free()
	if err := decode(r); err != nil {
		return nil, err
	}
	if interceptor == nil {
		return s.ModelInfer(ctx, r.ModelInferRequest)
	}
	info := &grpc.UnaryServerInfo{Server: service, FullMethod: kservev2.GRPCInferenceService_ModelInfer_FullMethodName}
	return interceptor(ctx, r.ModelInferRequest, info, func(ctx context.Context, _ any) (any, error) { return s.ModelInfer(ctx, r.ModelInferRequest) })
}
