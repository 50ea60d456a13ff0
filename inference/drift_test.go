package inference_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kservev2 "sonde.example/gen/go/inference"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/inference"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/feature"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
)

// Whichever way sessions come, they are counted, and the scrape tells once there are enough.
func TestDriftCountsBothServices(t *testing.T) {
	d := start(t, nil)
	tensors := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Service))
	sessions := inferencev1.NewClassifierServiceClient(d.dial(d.certs.Operator))
	infer := func(rows int) {
		t.Helper()
		if _, err := tensors.ModelInfer(t.Context(), request(t, rows, 1)); err != nil {
			t.Fatal(err)
		}
	}
	native := &inferencev1.Session{IpProtocol: 17, SignedSizes: []int32{30, -60}, GapsUs: []uint32{0, 900}}
	infer(900)
	if _, err := sessions.Classify(t.Context(), &inferencev1.ClassifyRequest{Sessions: []*inferencev1.Session{native}}); err != nil {
		t.Fatal(err)
	}
	if _, err := sessions.Explain(t.Context(), &inferencev1.ExplainRequest{Session: native}); err != nil { // no traffic
		t.Fatal(err)
	}
	r, err := sessions.GetDrift(t.Context(), &inferencev1.GetDriftRequest{})
	if err != nil || r.GetSessions() != 901 || len(r.GetFeatures()) != 2 || !(r.GetClasses().GetPsi() > 0) {
		t.Fatalf("got %v, %v", r, err)
	}
	few := d.get("/metrics")
	infer(99)
	text := d.get("/metrics")
	for _, want := range []string{
		`sonde_inference_drift_psi{feature="meta: packets",model="sonde",version="2"} `,
		`sonde_inference_drift_psi{feature="class",model="sonde",version="2"} `,
		`sonde_inference_drift_psi{feature="energy",model="sonde",version="2"} `,
		`sonde_inference_unknown_ratio{model="sonde",version="2"} `,
	} {
		if !strings.Contains(few, want+"0\n") {
			t.Errorf("901 sessions are enough for %s", want)
		}
		if !strings.Contains(text, want) || strings.Contains(text, want+"0\n") && !strings.Contains(want, "unknown") {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(text, `sonde_inference_drift_psi{feature="class",model="sonde",version="1"}`) {
		t.Error("a version that is not loaded drifts")
	}
}

// A reference that is malformed keeps the version out and the old one in.
func TestAMalformedReferenceIsRefused(t *testing.T) {
	files := modeltest.Trained(t, "sonde", feature.SchemaSHA256())
	broken := strings.Replace(modeltest.Reference, `"index": 8`, `"index": 800`, 1)
	d := start(t, func(c *inference.Config) { c.BuiltIn = files })
	files["sonde/3/model.onnx"] = &fstest.MapFile{Data: modeltest.WithProperty(files["sonde/2/model.onnx"].Data, serving.PropertyReference, broken)}
	operator := d.dial(d.certs.Operator)
	_, err := kservev2.NewGRPCInferenceServiceClient(operator).RepositoryModelLoad(t.Context(), &kservev2.RepositoryModelLoadRequest{ModelName: "sonde"})
	want := `sonde/3/model.onnx: model refused: metadata sonde.refhist: features[0] "meta: packets": index 800 is not within 0 and 95`
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	m, err := inferencev1.NewClassifierServiceClient(operator).GetModel(t.Context(), &inferencev1.GetModelRequest{})
	if err != nil || m.GetVersion() != "2" {
		t.Errorf("got %v, %v", m, err)
	}
}

// A daemon that stops answers what a stream has sent, tells it to go, and does not wait for it.
func TestTheEndDoesNotWaitForStreams(t *testing.T) {
	d := start(t, nil)
	stream, err := inferencev1.NewClassifierServiceClient(d.dial(d.certs.Service)).ClassifyStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const requests = 100
	sent := make(chan error, 1)
	go func() { // while answers are read, as a client must
		var errs []error
		for i := range requests {
			errs = append(errs, stream.Send(&inferencev1.ClassifyStreamRequest{Request: &inferencev1.ClassifyRequest{
				Id: fmt.Sprint(i), Sessions: []*inferencev1.Session{{IpProtocol: 17, SignedSizes: []int32{30}, GapsUs: []uint32{0}}},
			}}))
		}
		sent <- errors.Join(errs...)
	}()
	for i := range requests {
		r, err := stream.Recv()
		if err != nil || r.GetResponse().GetId() != fmt.Sprint(i) || len(r.GetResponse().GetClassifications()) != 1 {
			t.Fatalf("answer %d: %v, %v", i, r, err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	stopped := make(chan struct{})
	go func() { d.stop(); close(stopped) }()
	_, err = stream.Recv()
	if status.Code(err) != codes.Unavailable || rpc.Reason(err) != rpc.ReasonDraining {
		t.Errorf("the stream ended with %v", err)
	}
	<-stopped
}
