package kserve_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/inference/batcher"
	"sonde.example/inference/kserve"
	"sonde.example/inference/model"
	"sonde.example/inference/model/modeltest"
	"sonde.example/inference/model/onnx"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
	"sonde.example/internal/testenv"
)

// place is a server over the loaded models, and a client.
type place struct {
	kservev2.GRPCInferenceServiceClient
	models *model.Repository
	fake   *modeltest.Fake
}

// open serves the good model, and those named, by the fake or, with real, by ONNX
// Runtime.
func open(tb testing.TB, predictor func(kserve.Predictor) kserve.Predictor, real bool, names ...string) *place {
	tb.Helper()
	p := &place{fake: &modeltest.Fake{}}
	var opener model.Opener = p.fake
	if real {
		runtime, err := onnx.Open(modeltest.Library(tb))
		if err != nil {
			tb.Fatal(err)
		}
		opener = runtime
	}
	log := testenv.Log(tb)
	p.models = model.New(model.Options{
		Folders: []model.Folder{{FS: modeltest.Files(tb), Origin: "test"}}, Opener: opener, Workers: 2,
		Contract: model.Contract{SchemaSHA256: modeltest.SchemaSHA256},
	}, log)
	for _, name := range append(names, "good") {
		if err := p.models.Load(tb.Context(), name, serving.VersionPolicy{All: true}); err != nil {
			tb.Fatal(err)
		}
	}
	batches := batcher.New(batcher.Options{Workers: 2})
	var predict kserve.Predictor = batches
	if predictor != nil {
		predict = predictor(predict)
	}
	certificates := testenv.Certificates(tb)
	table := rpc.Table{}
	for _, method := range kserve.LeftOut() {
		table[method] = []mtls.Role{mtls.RoleService}
	}
	for _, m := range kservev2.GRPCInferenceService_ServiceDesc.Methods {
		table["/inference.GRPCInferenceService/"+m.MethodName] = []mtls.Role{mtls.RoleService}
	}
	table[kservev2.GRPCInferenceService_ModelStreamInfer_FullMethodName] = []mtls.Role{mtls.RoleService}
	source := testenv.Source(tb, certificates.Service)
	server := rpc.NewServer(rpc.ServerOptions{Certificates: source, Table: table, Log: log, MaxMessageBytes: rpc.InferenceMaxMessageBytes})
	kserve.New(kserve.Options{
		Models: p.models, Predictor: predict, Ready: func() bool { return true }, Version: "1.2.3", Workers: 2, MaxQueueRows: 4096,
	}, log).Register(server)
	listener := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 2)
	batching, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	go func() { ended <- server.Run(ctx, listener) }()
	go func() { ended <- batches.Run(batching) }()
	conn, err := rpc.Dial("localhost", rpc.DialOptions{
		Certificates: source, MaxMessageBytes: rpc.InferenceMaxMessageBytes,
		Dialer: func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	p.GRPCInferenceServiceClient = kservev2.NewGRPCInferenceServiceClient(conn)
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		stop()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		if err := p.models.Close(); err != nil {
			tb.Error(err)
		}
	})
	return p
}

// rows are those of testdata/make_requests.py.
func rows() *serving.Inputs {
	in := &serving.Inputs{Rows: 2, Data: make([][]byte, 3)}
	for row := range in.Rows {
		for i := range 784 {
			in.Data[0] = append(in.Data[0], byte((7*row+i)%4))
		}
		for i := range 96 {
			in.Data[1] = binary.LittleEndian.AppendUint32(in.Data[1], math.Float32bits(float32((row+i)%5-2)/2))
			v := float32((row+i)%3 - 1)
			if i%7 == 0 {
				v = float32(math.NaN())
			}
			in.Data[2] = binary.LittleEndian.AppendUint32(in.Data[2], math.Float32bits(v))
		}
	}
	return in
}

// answer is what the fake makes of the rows.
func (p *place) answer(t *testing.T, version string) (*serving.Info, *serving.Outputs) {
	t.Helper()
	file := modeltest.File(t, "good/"+version)
	info, err := model.Inspect(file)
	if err != nil {
		t.Fatal(err)
	}
	info.Name, info.Version = "good", int64(version[0]-'0')
	m, err := (&modeltest.Fake{}).Open(t.Context(), file, info)
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.NewRunner()
	if err != nil {
		t.Fatal(err)
	}
	out := serving.NewOutputs(info, 2)
	if err := r.Run(t.Context(), rows(), out); err != nil {
		t.Fatal(err)
	}
	return info, out
}

func golden(tb testing.TB, name string) *kservev2.ModelInferRequest {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".pb"))
	if err != nil {
		tb.Fatal(err)
	}
	r := &kservev2.ModelInferRequest{}
	if err := proto.Unmarshal(data, r); err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestRequestsOfStockClients(t *testing.T) {
	for _, real := range []bool{false, true} {
		t.Run(map[bool]string{false: "fake", true: "onnxruntime"}[real], func(t *testing.T) {
			p := open(t, nil, real)
			for _, name := range []string{"triton-plain", "kserve-raw", "kserve-typed"} {
				response, err := p.ModelInfer(t.Context(), golden(t, name), grpc.UseCompressor(kserve.Compression))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				info, want := p.answer(t, "2")
				modeltest.Near(t, info, &serving.Outputs{Data: response.GetRawOutputContents()}, want)
				response.RawOutputContents = nil
				form := func(name, datatype string, shape ...int64) *kservev2.ModelInferResponse_InferOutputTensor {
					return &kservev2.ModelInferResponse_InferOutputTensor{Name: name, Datatype: datatype, Shape: shape}
				}
				wantForm := &kservev2.ModelInferResponse{ModelName: "good", ModelVersion: "2", Id: name[strings.Index(name, "-")+1:],
					Outputs: []*kservev2.ModelInferResponse_InferOutputTensor{
						form("probs", "FP32", 2, 3), form("energy", "FP32", 2), form("label", "INT64", 2),
					}}
				if !proto.Equal(wantForm, response) {
					t.Errorf("%s: got %v", name, response)
				}
			}
			response, err := p.ModelInfer(t.Context(), golden(t, "triton-classes"))
			if err != nil {
				t.Fatal(err)
			}
			info, want := p.answer(t, "1")
			text := ""
			for row := range 2 {
				best := serving.Integer64(want.Data[2], row)
				second, p2 := int64(-1), float32(-1)
				for c := range int64(3) {
					if v := serving.Float32(want.Data[0], 3*row+int(c)); c != best && v > p2 {
						second, p2 = c, v
					}
				}
				for _, c := range []int64{best, second} {
					s := fmt.Sprintf("%.6f:%d:%s", serving.Float32(want.Data[0], 3*row+int(c)), c, info.Labels.Labels[c].Name)
					text += string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
				}
			}
			if got := string(response.GetRawOutputContents()[1]); !real && got != text {
				t.Errorf("got %q, want %q", got, text)
			}
			if o := response.GetOutputs()[1]; o.GetName() != "probs" || o.GetDatatype() != "BYTES" || !cmp.Equal(o.GetShape(), []int64{2, 2}) {
				t.Errorf("got %v", o)
			}
			if string(response.GetRawOutputContents()[0]) != string(want.Data[2]) || response.GetModelVersion() != "1" {
				t.Errorf("got %v", response)
			}
		})
	}
}

func TestBadRequestsNameWhatIsWrong(t *testing.T) {
	type request = kservev2.ModelInferRequest
	huge := int64(math.MaxInt64)
	for name, c := range map[string]struct {
		spoil       func(*request)
		code        codes.Code
		field, says string
	}{
		"unknown model":    {func(r *request) { r.ModelName = "bad" }, codes.NotFound, "", `no model "bad"`},
		"unknown version":  {func(r *request) { r.ModelVersion = "7" }, codes.NotFound, "", `no model version "good/7"`},
		"no version":       {func(r *request) { r.ModelVersion = "newest" }, codes.NotFound, "", `"good/newest"`},
		"input missing":    {func(r *request) { r.Inputs, r.RawInputContents = r.Inputs[:2], r.RawInputContents[:2] }, 3, "inputs", `input "meta" is missing`},
		"input unknown":    {func(r *request) { r.Inputs[1].Name = "x" }, 3, "inputs[1].name", `no input "x"`},
		"input twice":      {func(r *request) { r.Inputs[1] = r.Inputs[0] }, 3, "inputs[1].name", `"bytes" comes twice`},
		"wrong type":       {func(r *request) { r.Inputs[0].Datatype = "INT8" }, 3, "inputs[0].datatype", `"bytes" is UINT8, "INT8" came`},
		"wrong dimension":  {func(r *request) { r.Inputs[1].Shape[2] = 23 }, 3, "inputs[1].shape", `"series" has shape [-1 4 24], [2 4 23] came`},
		"too few":          {func(r *request) { r.Inputs[1].Shape = nil }, 3, "inputs[1].shape", "[] came"},
		"negative rows":    {func(r *request) { r.Inputs[0].Shape[0] = -1 }, 3, "inputs[0].shape", "-1 rows came"},
		"no rows":          {func(r *request) { r.Inputs[0].Shape[0] = 0 }, 3, "inputs[0].shape", "0 rows came"},
		"too many rows":    {func(r *request) { r.Inputs[0].Shape[0] = 4097 }, 3, "inputs[0].shape", "1 to 4096"},
		"overflowing rows": {func(r *request) { r.Inputs[0].Shape[0] = huge }, 3, "inputs[0].shape", "rows came"},
		"rows differ":      {func(r *request) { r.Inputs[2].Shape[0] = 1 }, 3, "inputs[2].shape", `"meta" has 1 rows, the ones before have 2`},
		"raw too short": {func(r *request) { r.RawInputContents[1] = r.RawInputContents[1][1:] }, 3, "raw_input_contents[1]",
			`"series" of FP32 [2 4 24] needs 768 bytes, 767 came`},
		"raw missing": {func(r *request) { r.RawInputContents = r.RawInputContents[:2] }, 3, "raw_input_contents", "2 entries for 3 inputs"},
		"raw and typed": {func(r *request) {
			r.Inputs[2].Contents = &kservev2.InferTensorContents{Fp32Contents: []float32{1}}
		}, 3, "inputs[2].contents", `must not be specified for input "meta"`},
		"no contents": {func(r *request) { r.RawInputContents = nil }, 3, "inputs[0].contents", "needs 1568 elements in uint_contents, 0 came"},
		"shared memory": {func(r *request) {
			r.Inputs[0].Parameters = map[string]*kservev2.InferParameter{"shared_memory_region": {}}
		}, 3, "inputs[0].parameters", "shared memory"},
		"output unknown": {func(r *request) { r.Outputs = outputs("x") }, 3, "outputs[0].name", `no output "x"`},
		"output twice":   {func(r *request) { r.Outputs = outputs("probs", "probs") }, 3, "outputs[1].name", "twice"},
		"many outputs":   {func(r *request) { r.Outputs = outputs("a", "b", "c", "d") }, 3, "outputs", "has 3 outputs, 4"},
		"no classes": {func(r *request) {
			r.Outputs = outputs("probs")
			r.Outputs[0].Parameters = map[string]*kservev2.InferParameter{"classification": integer(0)}
		}, 3, "outputs[0].parameters[classification]", "at least 1"},
		"priority": {func(r *request) {
			r.Parameters = map[string]*kservev2.InferParameter{"priority": integer(-1)}
		}, 3, "parameters[priority]", "whole number"},
		"timeout": {func(r *request) {
			r.Parameters = map[string]*kservev2.InferParameter{"timeout": integer(huge)}
		}, 3, "parameters[timeout]", "microseconds"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, nil, false)
			r := golden(t, "triton-plain")
			c.spoil(r)
			_, err := p.ModelInfer(t.Context(), r)
			if status.Code(err) != c.code || rpc.Field(err) != c.field || !strings.Contains(status.Convert(err).Message(), c.says) {
				t.Errorf("got %v in field %q", err, rpc.Field(err))
			}
		})
	}
	p := open(t, nil, false)
	if _, err := p.ModelInfer(t.Context(), golden(t, "triton-sequence")); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "sequences are not supported") {
		t.Errorf("a sequence: got %v", err)
	}
}

func outputs(names ...string) []*kservev2.ModelInferRequest_InferRequestedOutputTensor {
	var all []*kservev2.ModelInferRequest_InferRequestedOutputTensor
	for _, n := range names {
		all = append(all, &kservev2.ModelInferRequest_InferRequestedOutputTensor{Name: n})
	}
	return all
}

func integer(n int64) *kservev2.InferParameter {
	return &kservev2.InferParameter{ParameterChoice: &kservev2.InferParameter_Int64Param{Int64Param: n}}
}

// failing gives one error to every request.
type failing struct{ err error }

func (f failing) Predict(context.Context, serving.Lease, *serving.Inputs, *serving.Outputs, serving.CallOptions) error {
	return f.err
}

func TestWhatThePredictorSaysBecomesAStatus(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		code    codes.Code
		says    string
		reason  string
		retry   bool
		trailer []string
	}{
		"full":    {fmt.Errorf("%w: 9 rows", serving.ErrFull), codes.Unavailable, "Exceeds maximum queue size", kserve.ReasonQueueFull, true, []string{"-1"}},
		"timeout": {serving.ErrTimeout, codes.Unavailable, "Request timeout expired", kserve.ReasonQueueTimeout, true, nil},
		"closed":  {serving.ErrClosed, codes.Unavailable, "shutting down", rpc.ReasonDraining, true, nil},
		"broken":  {fmt.Errorf("secret"), codes.Internal, "internal error", rpc.ReasonInternal, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, func(kserve.Predictor) kserve.Predictor { return failing{c.err} }, false)
			var trailer metadata.MD
			_, err := p.ModelInfer(t.Context(), golden(t, "triton-plain"), grpc.Trailer(&trailer))
			_, retry := rpc.RetryDelay(err)
			if status.Code(err) != c.code || !strings.Contains(err.Error(), c.says) || rpc.Reason(err) != c.reason || retry != c.retry {
				t.Errorf("got %v, reason %q, retry %v", err, rpc.Reason(err), retry)
			}
			if got := trailer.Get("grpc-retry-pushback-ms"); !cmp.Equal(got, c.trailer) {
				t.Errorf("trailer %v", got)
			}
		})
	}
}

func TestEveryTypeTypedAndRaw(t *testing.T) {
	p := open(t, nil, true, "types", "halves")
	contents := map[string]*kservev2.InferTensorContents{
		"BOOL":   {BoolContents: []bool{true, false, true, true}},
		"UINT8":  {UintContents: []uint32{0, 255, 1, 2}},
		"UINT16": {UintContents: []uint32{0, 65535, 1, 2}},
		"UINT32": {UintContents: []uint32{0, math.MaxUint32, 1, 2}},
		"UINT64": {Uint64Contents: []uint64{0, math.MaxUint64, 1, 2}},
		"INT8":   {IntContents: []int32{-128, 127, 1, 2}},
		"INT16":  {IntContents: []int32{-32768, 32767, 1, 2}},
		"INT32":  {IntContents: []int32{math.MinInt32, math.MaxInt32, 1, 2}},
		"INT64":  {Int64Contents: []int64{math.MinInt64, math.MaxInt64, 1, 2}},
		"FP32":   {Fp32Contents: []float32{-1.5, math.MaxFloat32, 1, 2}},
		"FP64":   {Fp64Contents: []float64{-1.5, math.MaxFloat64, 1, 2}},
	}
	r := &kservev2.ModelInferRequest{ModelName: "types"}
	for name, c := range contents {
		r.Inputs = append(r.Inputs, &kservev2.ModelInferRequest_InferInputTensor{Name: "in_" + name, Datatype: name, Shape: []int64{2, 2}, Contents: c})
	}
	response, err := p.ModelInfer(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for n, o := range response.GetOutputs() {
		got[o.GetDatatype()] = fmt.Sprintf("%x", response.GetRawOutputContents()[n])
	}
	want := map[string]string{
		"BOOL": "01000101", "UINT8": "00ff0102", "UINT16": "0000ffff01000200", "UINT32": "00000000ffffffff0100000002000000",
		"UINT64": "0000000000000000ffffffffffffffff01000000000000000200000000000000", "INT8": "807f0102",
		"INT16": "0080ff7f01000200", "INT32": "00000080ffffff7f0100000002000000",
		"INT64": "0000000000000080ffffffffffffff7f01000000000000000200000000000000",
		"FP32":  "0000c0bfffff7f7f0000803f00000040",
		"FP64":  "000000000000f8bfffffffffffffef7f000000000000f03f0000000000000040",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		spoil *kservev2.InferTensorContents
		says  string
	}{
		"INT8":   {&kservev2.InferTensorContents{IntContents: []int32{1, 2, 3, 128}}, "element 3 is 128, out of the range of INT8"},
		"INT16":  {&kservev2.InferTensorContents{IntContents: []int32{1, -32769, 3, 4}}, "element 1 is -32769"},
		"UINT8":  {&kservev2.InferTensorContents{UintContents: []uint32{256, 2, 3, 4}}, "element 0 is 256"},
		"UINT16": {&kservev2.InferTensorContents{UintContents: []uint32{65536, 2, 3, 4}}, "element 0 is 65536"},
		"FP32":   {&kservev2.InferTensorContents{Fp64Contents: []float64{1, 2, 3, 4}}, "comes in fp32_contents only"},
		"FP64":   {&kservev2.InferTensorContents{Fp64Contents: []float64{1, 2, 3}}, "needs 4 elements in fp64_contents, 3 came"},
	} {
		bad := proto.CloneOf(r)
		for _, i := range bad.GetInputs() {
			if i.GetDatatype() == name {
				i.Contents = c.spoil
			}
		}
		if _, err := p.ModelInfer(t.Context(), bad); !strings.Contains(status.Convert(err).Message(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}

	halves := &kservev2.ModelInferRequest{ModelName: "halves", RawInputContents: [][]byte{[]byte("abcdefgh"), []byte("ijklmnop")}}
	for _, name := range []string{"BF16", "FP16"} {
		halves.Inputs = append(halves.Inputs, &kservev2.ModelInferRequest_InferInputTensor{Name: "in_" + name, Datatype: name, Shape: []int64{2, 2}})
	}
	response, err = p.ModelInfer(t.Context(), halves)
	if err != nil {
		t.Fatal(err)
	}
	if got := response.GetRawOutputContents(); string(got[0]) != "ijklmnop" || string(got[1]) != "abcdefgh" {
		t.Errorf("got %q", got)
	}
	halves.RawInputContents = nil
	if _, err := p.ModelInfer(t.Context(), halves); !strings.Contains(status.Convert(err).Message(), "only comes in raw_input_contents") {
		t.Errorf("got %v", err)
	}
}

func TestABoolIsZeroOrOne(t *testing.T) {
	p := open(t, nil, true, "types")
	r := &kservev2.ModelInferRequest{ModelName: "types"}
	lease, err := p.models.Acquire("types", "")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	for _, i := range lease.Info().Inputs {
		r.Inputs = append(r.Inputs, &kservev2.ModelInferRequest_InferInputTensor{Name: i.Name, Datatype: i.Type.String(), Shape: []int64{1, 2}})
		r.RawInputContents = append(r.RawInputContents, make([]byte, i.RowBytes()))
	}
	if _, err := p.ModelInfer(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.RawInputContents[0][1] = 2
	if _, err := p.ModelInfer(t.Context(), r); !strings.Contains(status.Convert(err).Message(), "element 1 is 2, a BOOL is 0 or 1") {
		t.Errorf("got %v", err)
	}
}

// fitting fails the test when a request comes through that does not fit.
type fitting struct{ t *testing.T }

func (f fitting) Predict(_ context.Context, lease serving.Lease, in *serving.Inputs, out *serving.Outputs, _ serving.CallOptions) error {
	if err := serving.Fit(lease.Info(), in, out); err != nil {
		f.t.Error(err)
	}
	return nil
}

func FuzzModelInfer(f *testing.F) {
	for _, name := range []string{"triton-plain", "triton-classes", "triton-sequence", "kserve-raw", "kserve-typed"} {
		data, err := proto.Marshal(golden(f, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for name, contents := range map[string]*kservev2.InferTensorContents{
		"BOOL": {BoolContents: []bool{true, false}}, "INT8": {IntContents: []int32{-128, 128}}, "UINT64": {Uint64Contents: []uint64{0, math.MaxUint64}},
		"FP64": {Fp64Contents: []float64{-1.5, math.Inf(1)}}, "BYTES": {BytesContents: [][]byte{[]byte("a"), {0}, nil}},
	} {
		r := &kservev2.ModelInferRequest{ModelName: "types", Inputs: []*kservev2.ModelInferRequest_InferInputTensor{
			{Name: "in_" + name, Datatype: name, Shape: []int64{1, 2}, Contents: contents},
		}}
		if name == "BYTES" {
			r.ModelName, r.Inputs[0].Name, r.Inputs[0].Shape = "strings", "x", []int64{1, 3}
		}
		data, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	log := slog.New(slog.DiscardHandler)
	runtime, err := onnx.Open(modeltest.Library(f))
	if err != nil {
		f.Fatal(err)
	}
	models := model.New(model.Options{
		Folders: []model.Folder{{FS: modeltest.Files(f), Origin: "test"}}, Opener: runtime, Workers: 1,
	}, log)
	for _, name := range []string{"good", "types", "halves", "strings"} {
		if err := models.Load(f.Context(), name, serving.VersionPolicy{All: true}); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &kservev2.ModelInferRequest{}
		if proto.Unmarshal(data, r) != nil {
			return
		}
		s := kserve.New(kserve.Options{Models: models, Predictor: fitting{t}}, log)
		response, err := s.ModelInfer(t.Context(), r)
		if err != nil {
			if status.Code(err) == codes.Unknown {
				t.Errorf("an error without a status: %v", err)
			}
			return
		}
		if len(response.GetOutputs()) != len(response.GetRawOutputContents()) || response.GetId() != r.GetId() {
			t.Errorf("answered %v", response)
		}
	})
}

// TestStrings sends BYTES both ways, through a model that gives them back: alone, with others in one run, and in several.
func TestStrings(t *testing.T) {
	p := open(t, nil, true, "strings")
	ask := func(rows int, raw []byte, contents [][]byte) (*kservev2.ModelInferResponse, error) {
		r := &kservev2.ModelInferRequest{ModelName: "strings", Inputs: []*kservev2.ModelInferRequest_InferInputTensor{
			{Name: "x", Datatype: "BYTES", Shape: []int64{int64(rows), 3}, Contents: &kservev2.InferTensorContents{BytesContents: contents}},
		}}
		if raw != nil {
			r.RawInputContents = [][]byte{raw}
		}
		return p.ModelInfer(t.Context(), r)
	}
	text := func(rows, seed int) (raw []byte, contents [][]byte) {
		for i := range rows * 3 {
			element := strings.Repeat("ä", (i+seed)%5) + fmt.Sprint(seed) // some of them are longer
			raw, contents = serving.AppendBytes(raw, element), append(contents, []byte(element))
		}
		return raw, contents
	}
	var all sync.WaitGroup
	for seed := range 20 {
		all.Go(func() {
			rows := 1 + seed*seed
			raw, contents := text(rows, seed)
			for name, form := range map[string]func() (*kservev2.ModelInferResponse, error){
				"raw":   func() (*kservev2.ModelInferResponse, error) { return ask(rows, raw, nil) },
				"typed": func() (*kservev2.ModelInferResponse, error) { return ask(rows, nil, contents) },
			} {
				response, err := form()
				if err != nil {
					t.Errorf("%s, %d rows: %v", name, rows, err)
					continue
				}
				if o := response.GetOutputs()[0]; o.GetDatatype() != "BYTES" || !cmp.Equal(o.GetShape(), []int64{int64(rows), 3}) {
					t.Errorf("%s, %d rows: %v", name, rows, o)
				}
				if !bytes.Equal(response.GetRawOutputContents()[0], raw) {
					t.Errorf("%s, %d rows: other strings came back", name, rows)
				}
			}
		})
	}
	all.Wait()
	raw, contents := text(1, 3)
	zero := bytes.ReplaceAll(bytes.Clone(raw), []byte("ä"), []byte{'a', 0})
	for name, c := range map[string]struct {
		raw      []byte
		contents [][]byte
		says     string
	}{
		"cut off":        {raw[:len(raw)-1], nil, `raw_input_contents[0]: input "x" of BYTES [1 3] needs 3 elements, each after its length in 4 bytes, and nothing else`},
		"too many":       {append(bytes.Clone(raw), raw...), nil, "needs 3 elements"},
		"a length ahead": {[]byte{255, 255, 255, 255, 1}, nil, "needs 3 elements"},
		"typed too few":  {nil, contents[:2], `input "x" needs 3 elements in bytes_contents, 2 came`},
		"zero byte":      {zero, nil, `input "x": element 0 has a zero byte in it`},
		"typed zero":     {nil, [][]byte{{'a'}, {0}, {'b'}}, `inputs[0].contents: input "x": element 1 has a zero byte in it`},
	} {
		if _, err := ask(1, c.raw, c.contents); status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	config, err := p.ModelConfig(t.Context(), &kservev2.ModelConfigRequest{Name: "strings"})
	if err != nil || config.GetConfig().GetInput()[0].GetDataType() != kservev2.DataType_TYPE_STRING {
		t.Errorf("got %v, %v", config, err)
	}
}
