//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"

	"github.com/spf13/pflag"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
)

// echo is a server that takes the daemon's requests and answers with as many bytes, always the same: what gRPC, mutual
// TLS and protobuf cost.
type echo struct {
	kservev2.UnimplementedGRPCInferenceServiceServer
	labels int64
}

func (e *echo) ServerReady(context.Context, *kservev2.ServerReadyRequest) (*kservev2.ServerReadyResponse, error) {
	return &kservev2.ServerReadyResponse{Ready: true}, nil
}

func (e *echo) ModelInfer(_ context.Context, r *kservev2.ModelInferRequest) (*kservev2.ModelInferResponse, error) {
	if len(r.GetInputs()) == 0 || len(r.GetInputs()[0].GetShape()) == 0 || r.GetInputs()[0].GetShape()[0] > serving.MaxRequestRows {
		return nil, rpc.InvalidArgument("inputs", "there are none")
	}
	rows := r.GetInputs()[0].GetShape()[0]
	return &kservev2.ModelInferResponse{
		ModelName: r.GetModelName(), ModelVersion: "1",
		Outputs: []*kservev2.ModelInferResponse_InferOutputTensor{
			{Name: serving.OutputProbs, Datatype: "FP32", Shape: []int64{rows, e.labels}}, {Name: serving.OutputEnergy, Datatype: "FP32", Shape: []int64{rows}},
		},
		RawOutputContents: [][]byte{make([]byte, 4*e.labels*rows), make([]byte, 4*rows)},
	}, nil
}

func (e *echo) ModelStreamInfer(stream kservev2.GRPCInferenceService_ModelStreamInferServer) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := e.ModelInfer(stream.Context(), r)
		if err != nil {
			return err
		}
		if err := stream.Send(&kservev2.ModelStreamInferResponse{InferResponse: answer}); err != nil {
			return err
		}
	}
}

// serveEcho serves until ctx ends, with the server that the daemons have.
func serveEcho(ctx context.Context, args []string) error {
	var (
		e      echo
		files  mtls.Files
		listen string
	)
	flags := pflag.NewFlagSet("echo", pflag.ContinueOnError)
	flags.StringVar(&listen, "listen", "", "address")
	flags.Int64Var(&e.labels, "labels", 1, "columns of probs")
	files.RegisterFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	source, err := mtls.Open(files, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	table := rpc.Table{kservev2.GRPCInferenceService_ModelStreamInfer_FullMethodName: []mtls.Role{mtls.RoleService}}
	for _, m := range kservev2.GRPCInferenceService_ServiceDesc.Methods {
		table["/"+kservev2.GRPCInferenceService_ServiceDesc.ServiceName+"/"+m.MethodName] = []mtls.Role{mtls.RoleService}
	}
	s := rpc.NewServer(rpc.ServerOptions{
		Certificates: source, Table: table, Log: slog.New(slog.DiscardHandler), MaxMessageBytes: rpc.InferenceMaxMessageBytes,
	})
	kservev2.RegisterGRPCInferenceServiceServer(s, &e)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	return s.Run(ctx, listener)
}
