package inference_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	kservev2 "sonde.example/gen/go/inference"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/inference"
	"sonde.example/inference/model"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/feature"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type daemon struct {
	*inference.Daemon
	t     testing.TB
	certs mtls.Development
	stop  func()
}

func newConfig(t testing.TB) (inference.Config, mtls.Development) {
	t.Helper()
	certs := testenv.Certificates(t)
	c := inference.DefaultConfig()
	c.Listen, c.Admin, c.TLS, c.ONNXRuntime, c.Version = "127.0.0.1:0", "127.0.0.1:0", certs.Service, modeltest.Library(t), "1.2.3"
	c.BuiltIn = modeltest.Trained(t, "sonde", feature.SchemaSHA256())
	return c, certs
}

// start runs a daemon until stop is called, or the test ends.
func start(t testing.TB, change func(*inference.Config)) *daemon {
	t.Helper()
	c, certs := newConfig(t)
	if change != nil {
		change(&c)
	}
	opened, err := inference.Open(t.Context(), c, testenv.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- opened.Run(ctx) }()
	d := &daemon{Daemon: opened, t: t, certs: certs}
	stopped := false
	d.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-ended, opened.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(d.stop)
	return d
}

// dial connects with a role's certificate.
func (d *daemon) dial(files mtls.Files) *grpc.ClientConn {
	d.t.Helper()
	conn, err := rpc.Dial(d.Addr().String(), rpc.DialOptions{Certificates: testenv.Source(d.t, files), MaxMessageBytes: rpc.InferenceMaxMessageBytes})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			d.t.Error(err)
		}
	})
	return conn
}

// request asks for rows of a model of the schema in force.
func request(t testing.TB, rows int, seed uint64) *kservev2.ModelInferRequest {
	t.Helper()
	info, err := model.Inspect(modeltest.File(t, "good/1"))
	if err != nil {
		t.Fatal(err)
	}
	r := &kservev2.ModelInferRequest{ModelName: "sonde", RawInputContents: modeltest.Rows(info, rows, seed).Data}
	for i := range info.Inputs {
		r.Inputs = append(r.Inputs, &kservev2.ModelInferRequest_InferInputTensor{
			Name: info.Inputs[i].Name, Datatype: info.Inputs[i].Type.String(), Shape: info.Inputs[i].ShapeOf(rows),
		})
	}
	return r
}

func TestTheDaemonServesBothServices(t *testing.T) {
	d := start(t, nil)
	conn := d.dial(d.certs.Service)
	tensors := kservev2.NewGRPCInferenceServiceClient(conn)
	if r, err := tensors.ServerReady(t.Context(), &kservev2.ServerReadyRequest{}); err != nil || !r.GetReady() {
		t.Fatalf("got %v, %v", r, err)
	}
	r, err := tensors.ModelInfer(t.Context(), request(t, 300, 1))
	if err != nil || r.GetModelVersion() != "2" || len(r.GetRawOutputContents()[0]) != 300*3*4 {
		t.Fatalf("got %v", err)
	}
	sessions := &inferencev1.ClassifyRequest{Sessions: []*inferencev1.Session{{IpProtocol: 17, SignedSizes: []int32{30, -60}, GapsUs: []uint32{0, 900}}}}
	c, err := inferencev1.NewClassifierServiceClient(conn).Classify(t.Context(), sessions)
	if err != nil || len(c.GetClassifications()) != 1 || c.GetClassifications()[0].GetPackets() != 2 {
		t.Fatalf("got %v, %v", c, err)
	}
	text := d.get("/metrics")
	for _, want := range []string{
		`nv_inference_count{model="sonde",version="2"} 301`, `nv_inference_exec_count{model="sonde",version="2"} 2`,
		`nv_inference_request_success{model="sonde",version="2"} 2`, `sonde_inference_rows_total{model="sonde",version="2"} 301`,
		`sonde_inference_run_rows_sum 301`, `sonde_inference_queue_rows 0`, `sonde_inference_model_info{name="sonde",sha256="`,
		`sonde_inference_rpc_requests_total{code="OK",method="/inference.GRPCInferenceService/ModelInfer"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func (d *daemon) get(path string) string {
	d.t.Helper()
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "http://"+d.AdminAddr().String()+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		d.t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		d.t.Fatal(err)
	}
	return fmt.Sprint(response.StatusCode, " ", string(body))
}

// TestTheModelThatShips loads it as the commands do.
func TestTheModelThatShips(t *testing.T) {
	d := start(t, func(c *inference.Config) { c.BuiltIn = inference.DefaultConfig().BuiltIn })
	conn := d.dial(d.certs.Operator)
	m, err := inferencev1.NewClassifierServiceClient(conn).GetModel(t.Context(), &inferencev1.GetModelRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if m.GetModel() != "sonde" || m.GetSchemaSha256() != feature.SchemaSHA256() || len(m.GetLabels()) < 10 {
		t.Errorf("got %v", m)
	}
	r, err := inferencev1.NewClassifierServiceClient(conn).Classify(t.Context(), &inferencev1.ClassifyRequest{Sessions: []*inferencev1.Session{{
		IpProtocol: 6, SignedSizes: []int32{78, -200}, GapsUs: []uint32{0, 3000},
		ForwardPayload: []byte("GET /index.html HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n"),
		ReversePayload: []byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<html></html>"),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("plain HTTP is %v", r.GetClassifications()[0])
}

func TestRolesAreKeptApart(t *testing.T) {
	d := start(t, nil)
	type call func(kservev2.GRPCInferenceServiceClient, inferencev1.ClassifierServiceClient) error
	calls := map[string]call{
		"live": func(c kservev2.GRPCInferenceServiceClient, _ inferencev1.ClassifierServiceClient) error {
			_, err := c.ServerLive(t.Context(), &kservev2.ServerLiveRequest{})
			return err
		},
		"metadata": func(c kservev2.GRPCInferenceServiceClient, _ inferencev1.ClassifierServiceClient) error {
			_, err := c.ModelMetadata(t.Context(), &kservev2.ModelMetadataRequest{Name: "sonde"})
			return err
		},
		"infer": func(c kservev2.GRPCInferenceServiceClient, _ inferencev1.ClassifierServiceClient) error {
			_, err := c.ModelInfer(t.Context(), request(t, 1, 1))
			return err
		},
		"classify": func(_ kservev2.GRPCInferenceServiceClient, c inferencev1.ClassifierServiceClient) error {
			_, err := c.Classify(t.Context(), &inferencev1.ClassifyRequest{})
			return err
		},
		"drift": func(_ kservev2.GRPCInferenceServiceClient, c inferencev1.ClassifierServiceClient) error {
			_, err := c.GetDrift(t.Context(), &inferencev1.GetDriftRequest{})
			return err
		},
		"stream": func(_ kservev2.GRPCInferenceServiceClient, c inferencev1.ClassifierServiceClient) error {
			stream, err := c.ClassifyStream(t.Context())
			if err != nil {
				return err
			}
			if err := stream.CloseSend(); err != nil {
				return err
			}
			if _, err = stream.Recv(); errors.Is(err, io.EOF) {
				return nil
			}
			return err
		},
		"explain": func(_ kservev2.GRPCInferenceServiceClient, c inferencev1.ClassifierServiceClient) error {
			_, err := c.Explain(t.Context(), &inferencev1.ExplainRequest{Session: &inferencev1.Session{}})
			return err
		},
		"load": func(c kservev2.GRPCInferenceServiceClient, _ inferencev1.ClassifierServiceClient) error {
			_, err := c.RepositoryModelLoad(t.Context(), &kservev2.RepositoryModelLoadRequest{ModelName: "sonde"})
			return err
		},
	}
	for role, c := range map[string]struct {
		files   mtls.Files
		allowed []string
	}{
		"agent":    {d.certs.Agent, []string{"live"}},
		"viewer":   {d.certs.Viewer, []string{"live", "metadata", "drift"}},
		"service":  {d.certs.Service, []string{"live", "metadata", "drift", "infer", "classify", "stream"}},
		"operator": {d.certs.Operator, []string{"live", "metadata", "drift", "infer", "classify", "stream", "explain", "load"}},
	} {
		conn := d.dial(c.files)
		allowed := map[string]bool{}
		for _, name := range c.allowed {
			allowed[name] = true
		}
		for name, do := range calls {
			err := do(kservev2.NewGRPCInferenceServiceClient(conn), inferencev1.NewClassifierServiceClient(conn))
			if want := map[bool]codes.Code{true: codes.OK, false: codes.PermissionDenied}[allowed[name]]; status.Code(err) != want {
				t.Errorf("%s as %s: got %v", name, role, err)
			}
		}
	}
}

func TestReadinessFollowsTheDefaultModel(t *testing.T) {
	d := start(t, nil)
	conn := d.dial(d.certs.Operator)
	tensors, health := kservev2.NewGRPCInferenceServiceClient(conn), healthv1.NewHealthClient(conn)
	check := func(want healthv1.HealthCheckResponse_ServingStatus, http string) {
		t.Helper()
		r, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{})
		if err != nil || r.GetStatus() != want {
			t.Errorf("health: got %v, %v", r, err)
		}
		ready, err := tensors.ServerReady(t.Context(), &kservev2.ServerReadyRequest{})
		if err != nil || ready.GetReady() != (want == healthv1.HealthCheckResponse_SERVING) {
			t.Errorf("ServerReady: got %v, %v", ready, err)
		}
		if got := d.get("/readyz"); !strings.HasPrefix(got, http) {
			t.Errorf("readyz: got %s", got)
		}
	}
	check(healthv1.HealthCheckResponse_SERVING, "200")
	if _, err := tensors.RepositoryModelUnload(t.Context(), &kservev2.RepositoryModelUnloadRequest{ModelName: "sonde"}); err != nil {
		t.Fatal(err)
	}
	check(healthv1.HealthCheckResponse_NOT_SERVING, "503 model: model sonde is not loaded")
	if _, err := tensors.RepositoryModelLoad(t.Context(), &kservev2.RepositoryModelLoadRequest{ModelName: "sonde"}); err != nil {
		t.Fatal(err)
	}
	check(healthv1.HealthCheckResponse_SERVING, "200")
}

func TestFilesWinOverTheModelBuiltIn(t *testing.T) {
	dir := t.TempDir()
	file, err := fs.ReadFile(modeltest.Trained(t, "sonde", feature.SchemaSHA256()), "sonde/1/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "sonde", "1"), 0o700), os.WriteFile(filepath.Join(dir, "sonde", "1", "model.onnx"), file, 0o600)); err != nil {
		t.Fatal(err)
	}
	d := start(t, func(c *inference.Config) { c.Models = "file:" + dir })
	m, err := inferencev1.NewClassifierServiceClient(d.dial(d.certs.Viewer)).GetModel(t.Context(), &inferencev1.GetModelRequest{})
	if err != nil || m.GetVersion() != "1" { // version 2 is built in
		t.Errorf("got %v, %v", m, err)
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		change func(*inference.Config)
		says   string
	}{
		"taken port":   {func(c *inference.Config) { c.Listen = taken.Addr().String() }, "--listen: "},
		"taken admin":  {func(c *inference.Config) { c.Admin = taken.Addr().String() }, "--admin: "},
		"no library":   {func(c *inference.Config) { c.ONNXRuntime = "/nowhere/libonnxruntime.so" }, "/nowhere/libonnxruntime.so"},
		"no folder":    {func(c *inference.Config) { c.Models = "/nowhere" }, "--models: stat /nowhere"},
		"no model":     {func(c *inference.Config) { c.Model = "other" }, `no model "other" in the repository`},
		"wrong schema": {func(c *inference.Config) { c.BuiltIn = modeltest.Files(t); c.Model = "good" }, "built in/good/2/model.onnx: model refused: the model was trained for feature schema " + modeltest.SchemaSHA256},
		"other inputs": {func(c *inference.Config) { c.BuiltIn = modeltest.Files(t); c.Model = "sequence" }, "built in/sequence/1/model.onnx: model refused: "},
		"certificate":  {func(c *inference.Config) { c.TLS.Key = "/nowhere/key" }, "/nowhere/key"},
		"flags": {func(c *inference.Config) {
			*c = inference.Config{Listen: "8001", Models: "s3://bucket", Workers: -1, MaxQueueRows: 5, MaxDelay: -1}
		}, "--listen"},
	} {
		t.Run(name, func(t *testing.T) {
			config, _ := newConfig(t)
			c.change(&config)
			d, err := inference.Open(t.Context(), config, testenv.Log(t), prometheus.NewRegistry())
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if d != nil {
				t.Error("something was opened")
			}
			if name == "flags" {
				for _, flag := range []string{"--listen", "--models", "--model:", "--workers", "--max-queue-rows", "--max-delay", "--tls-ca"} {
					if !strings.Contains(err.Error(), flag) {
						t.Errorf("%s is not named: %v", flag, err)
					}
				}
			}
		})
	}
}

func TestFlagsCarryTheDefaults(t *testing.T) {
	c := inference.DefaultConfig()
	set := pflag.NewFlagSet("inference", pflag.ContinueOnError)
	c.RegisterFlags(set)
	for flag, want := range map[string]string{"listen": ":8001", "admin": "127.0.0.1:9465", "model": "sonde", "workers": "0", "max-delay": "0s"} {
		if f := set.Lookup(flag); f == nil || f.DefValue != want {
			t.Errorf("--%s: %+v", flag, f)
		}
	}
	if err := set.Parse([]string{"--max-delay", "300us", "--models", "/m"}); err != nil || c.MaxDelay.Microseconds() != 300 || c.Models != "/m" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestSwapUnderLoadLosesNoRequest(t *testing.T) {
	d := start(t, func(c *inference.Config) {
		c.BuiltIn = modeltest.Trained(t, "sonde", feature.SchemaSHA256())
	})
	service, operator := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Service)), kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Operator))
	stop, answered := make(chan struct{}), make(chan int, 4)
	for range cap(answered) {
		go func() {
			n := 0
			defer func() { answered <- n }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := service.ModelInfer(t.Context(), request(t, 3, 1)); err != nil {
					t.Error(err)
					return
				}
				n++
			}
		}()
	}
	for n := range 10 {
		_, err := operator.RepositoryModelLoad(t.Context(), &kservev2.RepositoryModelLoadRequest{
			ModelName: "sonde", Parameters: map[string]*kservev2.ModelRepositoryParameter{"config": {
				ParameterChoice: &kservev2.ModelRepositoryParameter_StringParam{StringParam: fmt.Sprintf(`{"version_policy":{"specific":{"versions":[%d]}}}`, 1+n%2)},
			}},
		})
		if err != nil {
			t.Error(err)
		}
	}
	close(stop)
	total := 0
	for range cap(answered) {
		total += <-answered
	}
	if total == 0 {
		t.Error("nothing was answered")
	}
}

func TestABuiltInFolderWithoutTheModel(t *testing.T) {
	c, _ := newConfig(t)
	c.BuiltIn = fstest.MapFS{}
	if _, err := inference.Open(t.Context(), c, testenv.Log(t), prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), `no model "sonde"`) {
		t.Errorf("got %v", err)
	}
}
