//go:build unix

package inference_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"context"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/inference"
	"sonde.example/inference/model"
	"sonde.example/inference/model/modeltest"
	"sonde.example/inference/model/onnx"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
	"sonde.example/internal/testenv"
)

// BenchmarkShipped measures the model that ships: raw in this process, and through
// the daemon over loopback with mutual TLS, beside a server that takes the same
// requests and runs nothing. CPU is that of the whole process, client included;
// what the daemon costs is daemon / (echo + raw) of the same run.
func BenchmarkShipped(b *testing.B) {
	for _, rows := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("raw/%d", rows), func(b *testing.B) { benchmarkRaw(b, rows) })
	}
	for _, rows := range []int{1, 64} {
		b.Run(fmt.Sprintf("echo/%d", rows), func(b *testing.B) { benchmarkCalls(b, echo(b), rows) })
	}
	for _, rows := range []int{1, 64} {
		b.Run(fmt.Sprintf("daemon/%d", rows), func(b *testing.B) {
			d := start(b, func(c *inference.Config) { c.BuiltIn = inference.DefaultConfig().BuiltIn })
			benchmarkCalls(b, kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Service)), rows)
		})
	}
}

// cpu measures what loop takes, a row.
func cpu(b *testing.B, rows int, loop func()) {
	b.Helper()
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	b.ReportAllocs()
	b.SetBytes(int64(rows) * (784 + 4*96 + 4*96))
	before := used()
	loop()
	b.ReportMetric(float64(used()-before)/1e3/float64(b.N)/float64(rows), "cpu-us/row")
	b.ReportMetric(float64(b.N)*float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

func benchmarkRaw(b *testing.B, rows int) {
	runtime, err := onnx.Open(modeltest.Library(b))
	if err != nil {
		b.Fatal(err)
	}
	file, err := fs.ReadFile(inference.DefaultConfig().BuiltIn, "sonde/1/model.onnx")
	if err != nil {
		b.Fatal(err)
	}
	info, err := model.Inspect(file)
	if err != nil {
		b.Fatal(err)
	}
	m, err := runtime.Open(b.Context(), file, info)
	if err != nil {
		b.Fatal(err)
	}
	r, err := m.NewRunner()
	if err != nil {
		b.Fatal(err)
	}
	in, out := modeltest.Rows(info, rows, 1), serving.NewOutputs(info, rows)
	cpu(b, rows, func() {
		for b.Loop() {
			if err := r.Run(b.Context(), in, out); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := errors.Join(r.Close(), m.Close()); err != nil {
		b.Fatal(err)
	}
}

// benchmarkCalls keeps eight calls under way, as two collectors do.
func benchmarkCalls(b *testing.B, client kservev2.GRPCInferenceServiceClient, rows int) {
	r := request(b, rows, 1)
	r.Outputs = []*kservev2.ModelInferRequest_InferRequestedOutputTensor{{Name: serving.OutputProbs}, {Name: serving.OutputEnergy}}
	var failed atomic.Pointer[error]
	b.SetParallelism(4)
	cpu(b, rows, func() {
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := client.ModelInfer(b.Context(), r); err != nil {
					failed.Store(&err)
				}
			}
		})
	})
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
}

// echoServer answers with zeros.
type echoServer struct {
	kservev2.UnimplementedGRPCInferenceServiceServer
}

func (echoServer) ModelInfer(_ context.Context, r *kservev2.ModelInferRequest) (*kservev2.ModelInferResponse, error) {
	rows := r.GetInputs()[0].GetShape()[0]
	return &kservev2.ModelInferResponse{
		ModelName: r.GetModelName(), ModelVersion: "1",
		Outputs: []*kservev2.ModelInferResponse_InferOutputTensor{
			{Name: serving.OutputProbs, Datatype: "FP32", Shape: []int64{rows, 65}}, {Name: serving.OutputEnergy, Datatype: "FP32", Shape: []int64{rows}},
		},
		RawOutputContents: [][]byte{make([]byte, 4*65*rows), make([]byte, 4*rows)},
	}, nil
}

// echo serves echoServer as the daemon serves.
func echo(b *testing.B) kservev2.GRPCInferenceServiceClient {
	b.Helper()
	certs := testenv.Certificates(b)
	source := testenv.Source(b, certs.Service)
	table := rpc.Table{}
	for _, m := range kservev2.GRPCInferenceService_ServiceDesc.Methods {
		table["/inference.GRPCInferenceService/"+m.MethodName] = []mtls.Role{mtls.RoleService}
	}
	table[kservev2.GRPCInferenceService_ModelStreamInfer_FullMethodName] = []mtls.Role{mtls.RoleService}
	server := rpc.NewServer(rpc.ServerOptions{Certificates: source, Table: table, Log: testenv.Log(b), MaxMessageBytes: rpc.InferenceMaxMessageBytes})
	kservev2.RegisterGRPCInferenceServiceServer(server, echoServer{})
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, listener) }()
	conn, err := rpc.Dial(listener.Addr().String(), rpc.DialOptions{Certificates: source, MaxMessageBytes: rpc.InferenceMaxMessageBytes})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		err := conn.Close()
		cancel()
		if err := errors.Join(err, <-ended); err != nil {
			b.Error(err)
		}
	})
	return kservev2.NewGRPCInferenceServiceClient(conn)
}
