package kserve_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/inference/kserve"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/serving"
)

func TestAStreamAnswersInOrderAndSurvivesBadRequests(t *testing.T) {
	p := open(t, nil, false)
	stream, err := p.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			r := golden(t, "triton-plain")
			r.Id = strconv.Itoa(i)
			if i%10 == 3 {
				r.Inputs[0].Datatype = "INT8"
			}
			if err := stream.Send(r); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	info, want := p.answer(t, "2")
	for i := range n {
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := response.GetInferResponse().GetId(); got != strconv.Itoa(i) {
			t.Fatalf("answer %d is for request %s", i, got)
		}
		if !response.GetInferResponse().GetParameters()["triton_final_response"].GetBoolParam() {
			t.Errorf("answer %d is not the last one to its request", i)
		}
		if i%10 == 3 {
			if !strings.Contains(response.GetErrorMessage(), `"bytes" is UINT8`) {
				t.Errorf("answer %d: %v", i, response)
			}
			continue
		}
		if response.GetErrorMessage() != "" {
			t.Fatalf("answer %d: %v", i, response.GetErrorMessage())
		}
		modeltest.Near(t, info, &serving.Outputs{Data: response.GetInferResponse().GetRawOutputContents()}, want)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: got %v", err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestAnIdleStreamDoesNotHoldUpTheDrain(t *testing.T) {
	var stream kservev2.GRPCInferenceService_ModelStreamInferClient
	begun := time.Now()
	t.Run("server", func(t *testing.T) {
		p := open(t, nil, false)
		var err error
		if stream, err = p.ModelStreamInfer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(golden(t, "triton-plain")); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	})
	if took := time.Since(begun); took > 8*time.Second { // the drain timeout is 10 s
		t.Errorf("the server took %v to end", took)
	}
}

func TestMetadata(t *testing.T) {
	p := open(t, nil, false)
	server, err := p.ServerMetadata(t.Context(), &kservev2.ServerMetadataRequest{})
	if err != nil || server.GetName() != "sonde" || server.GetVersion() != "1.2.3" {
		t.Errorf("got %v, %v", server, err)
	}
	got, err := p.ModelMetadata(t.Context(), &kservev2.ModelMetadataRequest{Name: "good"})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetProperties()["sonde.labels"] == "" {
		t.Errorf("properties are %v", got.GetProperties())
	}
	got.Properties = nil
	tensor := func(name, datatype string, shape ...int64) *kservev2.ModelMetadataResponse_TensorMetadata {
		return &kservev2.ModelMetadataResponse_TensorMetadata{Name: name, Datatype: datatype, Shape: shape}
	}
	want := &kservev2.ModelMetadataResponse{
		Name: "good", Versions: []string{"1", "2"}, Platform: "onnxruntime_onnx",
		Inputs: []*kservev2.ModelMetadataResponse_TensorMetadata{
			tensor("bytes", "UINT8", -1, 784), tensor("series", "FP32", -1, 4, 24), tensor("meta", "FP32", -1, 96),
		},
		Outputs: []*kservev2.ModelMetadataResponse_TensorMetadata{
			tensor("probs", "FP32", -1, 3), tensor("energy", "FP32", -1), tensor("label", "INT64", -1),
		},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	config, err := p.ModelConfig(t.Context(), &kservev2.ModelConfigRequest{Name: "good", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if c := config.GetConfig(); c.GetMaxBatchSize() != 4096 || c.GetInput()[1].GetDataType() != kservev2.DataType_TYPE_FP32 ||
		!cmp.Equal(c.GetInput()[1].GetDims(), []int64{4, 24}) || c.GetBackend() != "onnxruntime" ||
		!cmp.Equal(c.GetVersionPolicy().GetSpecific().GetVersions(), []int64{1, 2}) {
		t.Errorf("got %v", c)
	}
	for _, r := range []*kservev2.ModelReadyRequest{{Name: "good"}, {Name: "good", Version: "1"}} {
		if ready, err := p.ModelReady(t.Context(), r); err != nil || !ready.GetReady() {
			t.Errorf("%v: got %v, %v", r, ready, err)
		}
	}
	if ready, err := p.ModelReady(t.Context(), &kservev2.ModelReadyRequest{Name: "bad"}); err != nil || ready.GetReady() {
		t.Errorf("got %v, %v", ready, err)
	}
	_, err = p.ModelMetadata(t.Context(), &kservev2.ModelMetadataRequest{Name: "bad"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestRepository(t *testing.T) {
	p := open(t, nil, false)
	ready := func() (all []string) {
		t.Helper()
		index, err := p.RepositoryIndex(t.Context(), &kservev2.RepositoryIndexRequest{Ready: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range index.GetModels() {
			all = append(all, m.GetName()+"/"+m.GetVersion()+" "+m.GetState()+m.GetReason())
		}
		return all
	}
	load := func(name, config string) error {
		r := &kservev2.RepositoryModelLoadRequest{ModelName: name}
		if config != "" {
			r.Parameters = map[string]*kservev2.ModelRepositoryParameter{
				"config": {ParameterChoice: &kservev2.ModelRepositoryParameter_StringParam{StringParam: config}},
			}
		}
		_, err := p.RepositoryModelLoad(t.Context(), r)
		return err
	}
	for config, want := range map[string][]string{
		"": {"good/2 READY"},
		`{"version_policy": {"specific": {"versions": [1]}}}`: {"good/1 READY"},
		`{"versionPolicy": {"latest": {"numVersions": 2}}}`:   {"good/1 READY", "good/2 READY"},
		`{"version_policy": {"all": {}}}`:                     {"good/1 READY", "good/2 READY"},
		`{}`:                                                  {"good/2 READY"},
	} {
		if err := load("good", config); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, ready()); diff != "" {
			t.Errorf("%s: %s", config, diff)
		}
	}
	for config, code := range map[string]codes.Code{
		`{"version_policy": {"specific": {}}}`:                codes.InvalidArgument,
		`{"version_policy": {"specific": {"versions": [9]}}}`: codes.NotFound,
		`{"max_batch_size": 7}`:                               codes.InvalidArgument,
		`{"nonsense": 7}`:                                     codes.InvalidArgument,
		`{`:                                                   codes.InvalidArgument,
	} {
		if err := load("good", config); status.Code(err) != code {
			t.Errorf("%s: got %v", config, err)
		}
	}
	if err := load("wrong-schema", ""); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "test/wrong-schema/1/model.onnx: ") {
		t.Errorf("got %v", err)
	}
	if err := load("../x", ""); status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
	if _, err := p.RepositoryModelUnload(t.Context(), &kservev2.RepositoryModelUnloadRequest{ModelName: "good"}); err != nil {
		t.Error(err)
	}
	if got := ready(); len(got) != 0 {
		t.Errorf("still there: %v", got)
	}
	if _, err := p.RepositoryModelUnload(t.Context(), &kservev2.RepositoryModelUnloadRequest{ModelName: "good"}); status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestStatistics(t *testing.T) {
	p := open(t, nil, false)
	for range 3 {
		if _, err := p.ModelInfer(t.Context(), golden(t, "triton-plain")); err != nil {
			t.Fatal(err)
		}
	}
	bad := golden(t, "triton-plain")
	bad.Inputs[0].Name = "x"
	if _, err := p.ModelInfer(t.Context(), bad); err == nil {
		t.Error("a bad request is answered")
	}
	got, err := p.ModelStatistics(t.Context(), &kservev2.ModelStatisticsRequest{Name: "good", Version: "2"})
	if err != nil || len(got.GetModelStats()) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	s := got.GetModelStats()[0]
	if s.GetInferenceCount() != 6 || s.GetExecutionCount() != 3 || s.GetInferenceStats().GetSuccess().GetCount() != 3 || s.GetInferenceStats().GetFail().GetCount() != 1 ||
		len(s.GetBatchStats()) != 1 || s.GetBatchStats()[0].GetBatchSize() != 2 || s.GetLastInference() == 0 {
		t.Errorf("got %v", s)
	}
	all, err := p.ModelStatistics(t.Context(), &kservev2.ModelStatisticsRequest{})
	if err != nil || len(all.GetModelStats()) != 2 {
		t.Errorf("got %v, %v", all, err)
	}
	if _, err := p.ModelStatistics(t.Context(), &kservev2.ModelStatisticsRequest{Name: "bad"}); status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
}

// seen keeps how a request wants to be run.
type seen struct{ options chan serving.CallOptions }

func (s seen) Predict(_ context.Context, _ serving.Lease, _ *serving.Inputs, _ *serving.Outputs, o serving.CallOptions) error {
	s.options <- o
	return nil
}

func TestPriorityAndTimeoutReachThePredictor(t *testing.T) {
	s := seen{make(chan serving.CallOptions, 1)}
	p := open(t, func(kserve.Predictor) kserve.Predictor { return s }, false)
	for name, want := range map[string]serving.CallOptions{
		"triton-plain":   {},
		"triton-classes": {Priority: serving.PriorityInteractive, Timeout: 5 * time.Second},
	} {
		if _, err := p.ModelInfer(t.Context(), golden(t, name)); err != nil {
			t.Fatal(err)
		}
		if got := <-s.options; got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}
