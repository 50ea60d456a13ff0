package kserve

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	kservev2 "sonde.example/gen/go/inference"
)

// LeftOut lists, by their full names, the methods that Triton has beside those of our
// contract: shared memory, which is for clients on the same machine, and what changes
// Triton's own traces and log. Whoever may call them is told UNIMPLEMENTED, which is
// what clients look for, rather than that it is not allowed.
func LeftOut() []string {
	var all []string
	for _, name := range []string{
		"SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister",
		"CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister", "TraceSetting", "LogSettings",
	} {
		all = append(all, "/"+kservev2.GRPCInferenceService_ServiceDesc.ServiceName+"/"+name)
	}
	return all
}

// description is the contract's, with ModelInfer's own way of reading requests, and what is left out.
func description() *grpc.ServiceDesc {
	d := kservev2.GRPCInferenceService_ServiceDesc
	d.Methods = slices.Clone(d.Methods)
	for i := range d.Methods {
		if d.Methods[i].MethodName == "ModelInfer" {
			d.Methods[i].Handler = inferHandler
		}
	}
	for _, full := range LeftOut() {
		d.Methods = append(d.Methods, grpc.MethodDesc{MethodName: full[len(d.ServiceName)+2:], Handler: unimplemented(full)})
	}
	return &d
}

// unimplemented goes through the interceptors, so that strangers stay strangers. No
// message has anything in it that Empty could not pass over.
func unimplemented(full string) grpc.MethodHandler {
	refuse := func(context.Context, any) (any, error) { //nolint:unparam // a grpc.UnaryHandler
		return nil, status.Error(codes.Unimplemented, full+" is not served here")
	}
	return func(server any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		in := &emptypb.Empty{}
		if err := decode(in); err != nil {
			return nil, err
		}
		if interceptor == nil {
			return refuse(ctx, in)
		}
		return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: server, FullMethod: full}, refuse)
	}
}
