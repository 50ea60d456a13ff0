package classify_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/testing/protocmp"

	kservev2 "sonde.example/gen/go/inference"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"

	"sonde.example/collector/classify"
	"sonde.example/internal/feature"
	"sonde.example/internal/label"
	"sonde.example/internal/mtls"
	"sonde.example/internal/retry"
	"sonde.example/internal/rpc"
	"sonde.example/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an inference server of one model. Its functions may be replaced; every call is counted.
type server struct {
	kservev2.UnimplementedGRPCInferenceServiceServer
	version    atomic.Value // string
	infers     atomic.Int64
	metadatas  atomic.Int64
	streams    atomic.Int64 // opened
	streamed   atomic.Int64 // requests that came on one
	properties func(version string) map[string]string
	config     func() (*kservev2.ModelConfigResponse, error)
	infer      func(ctx context.Context, r *kservev2.ModelInferRequest) error   // before the answer
	change     func(*kservev2.ModelInferResponse)                               // the answer
	stream     func(kservev2.GRPCInferenceService_ModelStreamInferServer) error // nil: what a server does
}

func newServer() *server {
	s := &server{
		properties: func(string) map[string]string { return properties(feature.SchemaSHA256(), "dns", "tls", "ssh") },
		config: func() (*kservev2.ModelConfigResponse, error) {
			return nil, status.Error(codes.Unimplemented, "six calls are enough")
		},
		infer:  func(context.Context, *kservev2.ModelInferRequest) error { return nil },
		change: func(*kservev2.ModelInferResponse) {},
	}
	s.version.Store("1")
	return s
}

func properties(schema string, labels ...string) map[string]string {
	var list []string
	for _, l := range labels {
		list = append(list, fmt.Sprintf(`{"name":%q,"category":"for %s"}`, l, l))
	}
	return map[string]string{
		label.PropertySchemaSHA256: schema, label.PropertyLabels: "[" + strings.Join(list, ",") + "]",
		label.PropertyCalibration: `{"T":1,"tau":0.5}`,
	}
}

func (s *server) ModelMetadata(_ context.Context, r *kservev2.ModelMetadataRequest) (*kservev2.ModelMetadataResponse, error) {
	s.metadatas.Add(1)
	version := r.GetVersion()
	if version == "" {
		version = s.version.Load().(string)
	}
	return &kservev2.ModelMetadataResponse{Name: r.GetName(), Versions: []string{version}, Properties: s.properties(version)}, nil
}

func (s *server) ModelConfig(context.Context, *kservev2.ModelConfigRequest) (*kservev2.ModelConfigResponse, error) {
	return s.config()
}

// ModelInfer says of the n-th session of a request that it is the n-th label, more surely the further on.
func (s *server) ModelInfer(ctx context.Context, r *kservev2.ModelInferRequest) (*kservev2.ModelInferResponse, error) {
	s.infers.Add(1)
	if err := s.infer(ctx, r); err != nil {
		return nil, err
	}
	rows := int(r.GetInputs()[0].GetShape()[0])
	var probabilities, energies []float32
	for i := range rows {
		row := []float32{0.2, 0.2, 0.2}
		row[i%3] = 0.4 + 0.2*float32(i%3)
		probabilities, energies = append(probabilities, row...), append(energies, -1)
	}
	response := &kservev2.ModelInferResponse{
		ModelName: r.GetModelName(), ModelVersion: s.version.Load().(string),
		Outputs: []*kservev2.ModelInferResponse_InferOutputTensor{
			{Name: "energy", Datatype: "FP32", Shape: []int64{int64(rows), 1}},
			{Name: "probs", Datatype: "FP32", Shape: []int64{int64(rows), 3}},
		},
		RawOutputContents: [][]byte{raw(energies...), raw(probabilities...)},
	}
	s.change(response)
	return response, nil
}

func raw(values ...float32) []byte {
	var out []byte
	for _, v := range values {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return out
}

// connect starts a server with mutual TLS, in memory, and returns a client for its model that makes calls. stop ends the
// server.
func connect(t testing.TB, s *server) (client *classify.Client, stop func()) {
	t.Helper()
	return connectWith(t, s, classify.Options{})
}

func connectWith(t testing.TB, s *server, options classify.Options) (client *classify.Client, stop func()) {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	dial := func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	return connectVia(t, s, listener, dial, options)
}

// ways are those in which a client asks, each of which has to end the same.
func ways() map[string]classify.Options {
	return map[string]classify.Options{"call": {}, "stream": {Stream: true}}
}

func connectVia(t testing.TB, s kservev2.GRPCInferenceServiceServer, listener net.Listener, dial func(context.Context, string) (net.Conn, error), options classify.Options) (client *classify.Client, stop func()) {
	t.Helper()
	certificates := testenv.Source(t, testenv.Certificates(t).Service)
	table := rpc.Table{}
	for _, method := range kservev2.GRPCInferenceService_ServiceDesc.Methods {
		table["/"+kservev2.GRPCInferenceService_ServiceDesc.ServiceName+"/"+method.MethodName] = []mtls.Role{mtls.RoleService}
	}
	for _, stream := range kservev2.GRPCInferenceService_ServiceDesc.Streams {
		table["/"+kservev2.GRPCInferenceService_ServiceDesc.ServiceName+"/"+stream.StreamName] = []mtls.Role{mtls.RoleService}
	}
	house := rpc.NewServer(rpc.ServerOptions{
		Certificates: certificates, Log: testenv.Log(t), DrainTimeout: time.Second,
		Table: table,
	})
	kservev2.RegisterGRPCInferenceServiceServer(house, s)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- house.Run(ctx, listener) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	conn, err := rpc.Dial("localhost:8001", rpc.DialOptions{
		Certificates: certificates,
		Dialer:       dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		stop()
	})
	return classify.New(conn, classify.Target{Model: "sessions"}, options, testenv.Log(t)), stop
}

func sessions(t testing.TB, n int) []*feature.Session {
	t.Helper()
	all := make([]*feature.Session, n)
	for i := range all {
		all[i] = &feature.Session{}
		err := all[i].FromNative(&inferencev1.Session{
			IpProtocol: 6, SignedSizes: []int32{int32(100 + i), -1200, 80}, GapsUs: []uint32{0, 1000, 50},
			ForwardPayload: []byte(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: www.example\r\n\r\n", i)), ReversePayload: []byte("HTTP/1.1 200 OK\r\n"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestClassifySendsFeaturesAndReadsLabels(t *testing.T) {
	s := newServer()
	var got *kservev2.ModelInferRequest
	s.infer = func(_ context.Context, r *kservev2.ModelInferRequest) error {
		got = r
		return nil
	}
	client, _ := connect(t, s)
	input := sessions(t, 3)
	answers, err := client.Classify(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	want := []*flowv1.Classification{
		{
			Label: "dns", Category: "for dns", Probability: 0.4, Unknown: true, Model: "sessions", ModelVersion: "1",
			Top: []*flowv1.Label{{Name: "dns", Probability: 0.4}, {Name: "tls", Probability: 0.2}, {Name: "ssh", Probability: 0.2}},
		}, {
			Label: "tls", Category: "for tls", Probability: 0.6, Model: "sessions", ModelVersion: "1",
			Top: []*flowv1.Label{{Name: "tls", Probability: 0.6}, {Name: "dns", Probability: 0.2}, {Name: "ssh", Probability: 0.2}},
		}, {
			Label: "ssh", Category: "for ssh", Probability: 0.8, Model: "sessions", ModelVersion: "1",
			Top: []*flowv1.Label{{Name: "ssh", Probability: 0.8}, {Name: "dns", Probability: 0.2}, {Name: "tls", Probability: 0.2}},
		},
	}
	if diff := cmp.Diff(want, answers, protocmp.Transform()); diff != "" {
		t.Errorf("classifications (-want +got):\n%s", diff)
	}

	var bytes, series, meta []byte
	for _, session := range input {
		var row feature.Row
		session.Extract(&row)
		bytes, series, meta = append(bytes, row.Bytes[:]...), append(series, raw(row.Series[:]...)...), append(meta, raw(row.Meta[:]...)...)
	}
	wantRequest := &kservev2.ModelInferRequest{
		ModelName: "sessions",
		Inputs: []*kservev2.ModelInferRequest_InferInputTensor{
			{Name: "bytes", Datatype: "UINT8", Shape: []int64{3, 784}},
			{Name: "series", Datatype: "FP32", Shape: []int64{3, 4, 24}},
			{Name: "meta", Datatype: "FP32", Shape: []int64{3, 96}},
		},
		Outputs:          []*kservev2.ModelInferRequest_InferRequestedOutputTensor{{Name: "probs"}, {Name: "energy"}},
		RawInputContents: [][]byte{bytes, series, meta},
	}
	if diff := cmp.Diff(wantRequest, got, protocmp.Transform()); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// What another server might answer: only what is a session's own fault is permanent.
func TestClassifyChecksAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*kservev2.ModelInferResponse)
		want      string
		permanent bool
	}{
		"probability is no number": {func(r *kservev2.ModelInferResponse) {
			copy(r.GetRawOutputContents()[1], raw(float32(math.NaN())))
		}, "session 0", true},
		"probability is negative": {func(r *kservev2.ModelInferResponse) {
			copy(r.GetRawOutputContents()[1][12:], raw(-1))
		}, "session 1", true},
		"energy is no number": {func(r *kservev2.ModelInferResponse) {
			copy(r.GetRawOutputContents()[0], raw(float32(math.NaN())))
		}, "", false}, // it does not count for this model
		"other datatype":  {func(r *kservev2.ModelInferResponse) { r.Outputs[1].Datatype = "FP64" }, "output probs is FP64", false},
		"too few columns": {func(r *kservev2.ModelInferResponse) { r.Outputs[1].Shape = []int64{2, 2} }, "[2 2], expected FP32 [2 3]", false},
		"turned around":   {func(r *kservev2.ModelInferResponse) { r.Outputs[1].Shape = []int64{3, 2} }, "[3 2], expected FP32 [2 3]", false},
		"no shape":        {func(r *kservev2.ModelInferResponse) { r.Outputs[0].Shape = nil }, "output energy is FP32 []", false},
		"flat energy":     {func(r *kservev2.ModelInferResponse) { r.Outputs[0].Shape = []int64{2} }, "", false},
		"other rows":      {func(r *kservev2.ModelInferResponse) { r.Outputs[0].Shape = []int64{3} }, "[3], expected FP32 [2 1]", false},
		"too few bytes": {func(r *kservev2.ModelInferResponse) {
			r.RawOutputContents[1] = r.GetRawOutputContents()[1][1:]
		}, "output probs: 23 bytes, expected 24", false},
		"no raw contents":  {func(r *kservev2.ModelInferResponse) { r.RawOutputContents = nil }, "has no raw contents", false},
		"one raw content":  {func(r *kservev2.ModelInferResponse) { r.RawOutputContents = r.GetRawOutputContents()[:1] }, "probs has no raw contents", false},
		"no probabilities": {func(r *kservev2.ModelInferResponse) { r.Outputs[1].Name = "scores" }, "output probs is missing", false},
		"no energy":        {func(r *kservev2.ModelInferResponse) { r.Outputs[0].Name = "" }, "output energy is missing", false},
		"nothing":          {func(r *kservev2.ModelInferResponse) { r.Outputs, r.RawOutputContents = nil, nil }, "missing", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			s.change = c.change
			client, _ := connect(t, s)
			_, err := client.Classify(t.Context(), sessions(t, 2))
			if c.want == "" {
				if err != nil {
					t.Errorf("Classify: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || retry.IsPermanent(err) != c.permanent {
				t.Errorf("Classify = %v (permanent: %v), want %q (permanent: %v)", err, retry.IsPermanent(err), c.want, c.permanent)
			}
		})
	}
}

// What the server answers instead: away, busy and unfit pass; the request's own fault does not.
func TestClassifyTellsErrorsApart(t *testing.T) {
	for name, c := range map[string]struct {
		err       error
		permanent bool
		asked     time.Duration
	}{
		"away":                 {rpc.Unavailable(0, "DRAINING", "gone soon"), false, 0},
		"away for a while":     {rpc.Unavailable(3*time.Second, "DRAINING", "gone soon"), false, 3 * time.Second},
		"busy":                 {rpc.Exhausted(40*time.Millisecond, "QUEUE_FULL", "too many rows"), false, 40 * time.Millisecond},
		"busy, says no more":   {status.Error(codes.ResourceExhausted, "too many rows"), false, 0},
		"no such model":        {rpc.NotFound("model", "sessions"), false, 0},
		"not allowed":          {rpc.PermissionDenied("ROLE", "not you"), false, 0},
		"not now":              {rpc.FailedPrecondition("NOT_READY", "is being loaded"), false, 0},
		"time ran out":         {status.Error(codes.DeadlineExceeded, "in the queue"), false, 0},
		"bad request":          {rpc.InvalidArgument("inputs[0]", "bad tensor"), true, 0},
		"bug":                  {status.Error(codes.Internal, "the model failed"), true, 0},
		"another server's bug": {errors.New("has no status"), true, 0},
	} {
		for way, options := range ways() {
			t.Run(name+" by "+way, func(t *testing.T) {
				s := newServer()
				s.infer = func(context.Context, *kservev2.ModelInferRequest) error { return c.err }
				client, _ := connectWith(t, s, options)
				_, err := client.Classify(t.Context(), sessions(t, 2))
				asked, _ := retry.Asked(err)
				if err == nil || retry.IsPermanent(err) != c.permanent || asked != c.asked {
					t.Errorf("Classify = %v, permanent: %v, asks to wait %v; want permanent: %v, wait %v", err, retry.IsPermanent(err), asked, c.permanent, c.asked)
				}
				if late := errors.Is(err, context.DeadlineExceeded); late != (name == "time ran out") {
					t.Errorf("Classify = %v, which is late: %v", err, late)
				}
			})
		}
	}
}

// A model of another schema is never sent a session, and what it says of one is not believed.
func TestClassifyRefusesAnotherSchema(t *testing.T) {
	s := newServer()
	s.properties = func(string) map[string]string { return properties("0123456789abcdef", "dns", "tls", "ssh") }
	client, _ := connect(t, s)
	_, err := client.Classify(t.Context(), sessions(t, 1))
	if err == nil || retry.IsPermanent(err) || !strings.Contains(err.Error(), "0123456789ab") || !strings.Contains(err.Error(), feature.SchemaSHA256()[:12]) {
		t.Errorf("Classify = %v, want an error that names both schemas and passes", err)
	}
	if n := s.infers.Load(); n != 0 {
		t.Errorf("%d requests were sent to the model", n)
	}
	if err := client.Ready(t.Context()); err == nil {
		t.Error("Ready is content")
	}

	fits := newServer()
	client, _ = connect(t, fits)
	if _, err := client.Classify(t.Context(), sessions(t, 1)); err != nil {
		t.Fatal(err)
	}
	// Later a version is loaded that does not fit, and turns requests down.
	fits.properties = s.properties
	fits.infer = func(context.Context, *kservev2.ModelInferRequest) error {
		return rpc.InvalidArgument("inputs", "other shape")
	}
	if _, err = client.Classify(t.Context(), sessions(t, 1)); err == nil || retry.IsPermanent(err) {
		t.Errorf("Classify = %v, want an error that passes", err)
	}
	fits.infer = newServer().infer
	fits.version.Store("2")
	if _, err = client.Classify(t.Context(), sessions(t, 1)); err == nil || retry.IsPermanent(err) {
		t.Errorf("Classify = %v, want an error that passes", err)
	}
}

func TestClassifyReadsLabelsOfEachVersionOnce(t *testing.T) {
	s := newServer()
	s.properties = func(version string) map[string]string {
		if version == "2" {
			return properties(feature.SchemaSHA256(), "quic", "ntp", "smtp")
		}
		return properties(feature.SchemaSHA256(), "dns", "tls", "ssh")
	}
	client, _ := connect(t, s)
	for _, c := range []struct{ version, label string }{{"1", "dns"}, {"1", "dns"}, {"2", "quic"}, {"1", "dns"}, {"2", "quic"}} {
		s.version.Store(c.version)
		answers, err := client.Classify(t.Context(), sessions(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		if got := answers[0]; got.GetLabel() != c.label || got.GetModelVersion() != c.version {
			t.Errorf("version %s says %s/%s, want %s", c.version, got.GetModelVersion(), got.GetLabel(), c.label)
		}
	}
	if n := s.metadatas.Load(); n != 3 { // whether it fits, and once for each version
		t.Errorf("the server was asked %d times about the model, want 3", n)
	}

	// A version that is loaded again with other labels is read again.
	s.properties = func(string) map[string]string { return properties(feature.SchemaSHA256(), "dns", "tls") }
	s.change = func(r *kservev2.ModelInferResponse) {
		r.Outputs[1].Shape, r.RawOutputContents[1] = []int64{1, 2}, raw(0.1, 0.9)
	}
	if _, err := client.Classify(t.Context(), sessions(t, 1)); err == nil || retry.IsPermanent(err) {
		t.Errorf("Classify = %v, want an error that passes", err)
	}
	answers, err := client.Classify(t.Context(), sessions(t, 1))
	if err != nil || answers[0].GetLabel() != "tls" {
		t.Errorf("Classify = %v, %v; want tls", answers, err)
	}
}

// Triton's metadata have no properties; there they stand in the model's configuration.
func TestClassifyReadsLabelsFromTheConfiguration(t *testing.T) {
	s := newServer()
	s.properties = func(string) map[string]string { return nil }
	client, _ := connect(t, s)
	if err := client.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), label.PropertySchemaSHA256) {
		t.Errorf("Ready = %v, want an error that names the property", err)
	}
	s.config = func() (*kservev2.ModelConfigResponse, error) {
		parameters := map[string]*kservev2.ModelParameter{}
		for name, value := range properties(feature.SchemaSHA256(), "dns", "tls", "ssh") {
			parameters[name] = &kservev2.ModelParameter{StringValue: value}
		}
		return &kservev2.ModelConfigResponse{Config: &kservev2.ModelConfig{Parameters: parameters}}, nil
	}
	answers, err := client.Classify(t.Context(), sessions(t, 2))
	if err != nil || answers[1].GetLabel() != "tls" {
		t.Errorf("Classify = %v, %v; want tls", answers, err)
	}
}

func TestClassifyGivesUpInTime(t *testing.T) {
	for way, options := range ways() {
		t.Run(way, func(t *testing.T) { givesUpInTime(t, options) })
	}
}

func givesUpInTime(t *testing.T, options classify.Options) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.infer = func(ctx context.Context, _ *kservev2.ModelInferRequest) error {
			<-ctx.Done()
			return ctx.Err()
		}
		client, stop := connectWith(t, s, options)
		begin := time.Now()
		_, err := client.Classify(t.Context(), sessions(t, 2))
		if !errors.Is(err, context.DeadlineExceeded) || status.Code(err) != codes.DeadlineExceeded || retry.IsPermanent(err) {
			t.Errorf("Classify = %v, want that the time ran out", err)
		}
		if took := time.Since(begin); took < time.Second || took > 5*time.Second {
			t.Errorf("Classify took %v, want about 2 s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if _, err := client.Classify(ctx, sessions(t, 2)); status.Code(err) != codes.Canceled || retry.IsPermanent(err) {
			t.Errorf("Classify = %v, want that it was cancelled", err)
		}
		stop()
		if _, err := client.Classify(t.Context(), sessions(t, 2)); err == nil || retry.IsPermanent(err) {
			t.Errorf("Classify with the server gone = %v, want an error that passes", err)
		}
	})
}

func TestClassifyManyAtOnce(t *testing.T) {
	for _, options := range ways() {
		client, _ := connectWith(t, newServer(), options)
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				input := sessions(t, n+1)
				for range 5 {
					answers, err := client.Classify(t.Context(), input)
					if err != nil || len(answers) != n+1 {
						t.Errorf("Classify of %d sessions = %d answers, %v", n+1, len(answers), err)
					}
				}
			})
		}
		wg.Wait()
	}
}
