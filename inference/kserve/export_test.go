package kserve

import (
	"google.golang.org/grpc/mem"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/rpc"
)

// ReadRequest reads a request as the service does, from a message that came in parts, and hands it to look before its
// buffer goes back.
func ReadRequest(parts [][]byte, look func(*kservev2.ModelInferRequest)) error {
	s := &Service{buffers: rpc.NewBufferPool()}
	r := s.newRequest()
	defer r.free()
	var data mem.BufferSlice
	for _, part := range parts {
		data = append(data, mem.SliceBuffer(part))
	}
	if err := r.UnmarshalBuffers(data); err != nil {
		return err
	}
	look(r.ModelInferRequest)
	return nil
}
