package inference_test

import (
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/emptypb"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/testenv"
)

// TestWhatIsLeftOut calls what Triton has besides: shared memory, which is for one machine, and settings of its own.
func TestWhatIsLeftOut(t *testing.T) {
	d := start(t, nil)
	conn := d.dial(d.certs.Operator)
	for _, method := range []string{
		"SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister",
		"CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister", "TraceSetting", "LogSettings",
	} {
		err := conn.Invoke(t.Context(), "/inference.GRPCInferenceService/"+method, &emptypb.Empty{}, &emptypb.Empty{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: got %v", method, err)
		}
	}
}

// TestGrpcurlCallsEveryMethod types each call of the protocol as an operator does, without files of the contract: the
// server tells it.
func TestGrpcurlCallsEveryMethod(t *testing.T) {
	program := testenv.Service(t, "grpcurl")
	d := start(t, shipped)
	grpcurl := func(t *testing.T, body string, words ...string) (string, error) {
		t.Helper()
		files := d.certs.Operator
		args := []string{"-cacert", files.CA, "-cert", files.Certificate, "-key", files.Key, "-emit-defaults"}
		if body != "" {
			args = append(args, "-d", "@")
		}
		cmd := exec.CommandContext(t.Context(), program, append(append(args, d.Addr().String()), words...)...)
		cmd.Stdin = strings.NewReader(body)
		output, err := cmd.CombinedOutput()
		return string(output), err
	}
	json := func(r *kservev2.ModelInferRequest) string {
		text, err := protojson.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	raw, byHand, wrong := request(t, 2, 1), request(t, 1, 1), request(t, 1, 1)
	raw.Id, byHand.Id, wrong.Id = "raw", "typed", "wrong"
	typed(func(_, _, meta *kservev2.InferTensorContents) { // JSON has no NaN that grpcurl takes
		for i := range meta.GetFp32Contents() {
			meta.Fp32Contents[i] = 0
		}
	})(byHand)
	wrong.Inputs[1].Name = "serious"

	const name = `{"name": "sonde"}`
	calls := []struct {
		method, body string
		says         []string
		refused      bool
	}{
		{"ServerLive", "{}", []string{`"live": true`}, false},
		{"ServerReady", "{}", []string{`"ready": true`}, false},
		{"ModelReady", name, []string{`"ready": true`}, false},
		{"ServerMetadata", "{}", []string{`"name": "sonde"`, `"version": "1.2.3"`, `"classification"`}, false},
		{"ModelMetadata", name, []string{`"platform": "onnxruntime_onnx"`, `"sonde.labels"`}, false},
		{"ModelConfig", name, []string{`"dynamicBatching"`, `"TYPE_UINT8"`}, false},
		{"ModelInfer", json(raw), []string{`"id": "raw"`, `"rawOutputContents"`}, false},
		{"ModelInfer", json(byHand), []string{`"id": "typed"`, `"modelVersion": "1"`}, false},
		{"ModelInfer", json(wrong), []string{"Code: InvalidArgument", `inputs[1].name: model "sonde" has no input "serious"`}, true},
		{"ModelStreamInfer", json(raw) + json(wrong) + json(byHand), []string{`"id": "raw"`, `"[request id: wrong] inputs[1].name: `, `"id": "wrong"`, `"id": "typed"`}, false},
		{"ModelStatistics", name, []string{`"inferenceCount": "`, `"executionCount": "`, `"batchStats"`}, false},
		{"RepositoryIndex", "{}", []string{`"state": "READY"`}, false},
		{"RepositoryModelLoad", `{"model_name": "sonde"}`, []string{"{}"}, false},
		{"RepositoryModelUnload", `{"model_name": "sonde"}`, []string{"{}"}, false},
		{"RepositoryModelLoad", `{"model_name": "sonde", "parameters": {"config": {"string_param": "{\"version_policy\": {\"all\": {}}}"}}}`, []string{"{}"}, false},
	}
	called := map[string]bool{}
	for _, c := range calls {
		called[c.method] = true
		output, err := grpcurl(t, c.body, "inference.GRPCInferenceService/"+c.method)
		if (err != nil) != c.refused {
			t.Errorf("%s: %v\n%s", c.method, err, output)
		}
		for _, want := range c.says {
			if !strings.Contains(output, want) {
				t.Errorf("%s does not say %s:\n%.2000s", c.method, want, output)
			}
		}
	}
	listed, err := grpcurl(t, "", "list", "inference.GRPCInferenceService")
	if err != nil {
		t.Fatalf("%v\n%s", err, listed)
	}
	for line := range strings.Lines(listed) {
		method := strings.TrimPrefix(strings.TrimSpace(line), "inference.GRPCInferenceService.")
		if !called[method] {
			t.Errorf("%s is not called here", method)
		}
	}
	if services, err := grpcurl(t, "", "list"); err != nil || !strings.Contains(services, "grpc.health.v1.Health") {
		t.Errorf("lists %v\n%s", err, services)
	}
}
