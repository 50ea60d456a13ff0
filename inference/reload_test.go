package inference_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kservev2 "sonde.example/gen/go/inference"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"

	"sonde.example/inference"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/config"
	"sonde.example/internal/config/configtest"
	"sonde.example/internal/confstore/etcd"
	"sonde.example/internal/confstore/etcd/embedded"
	"sonde.example/internal/feature"
	"sonde.example/internal/mtls"
	"sonde.example/internal/testenv"
)

// versions has versions 1 and 2, which differ, 3, which is 2 again, and 4, which must not be served.
func versions(t *testing.T) fstest.MapFS {
	all := maps.Clone(modeltest.Trained(t, "sonde", feature.SchemaSHA256()))
	all["sonde/3/model.onnx"] = all["sonde/2/model.onnx"]
	all["sonde/4/model.onnx"] = &fstest.MapFile{Data: modeltest.File(t, "not-onnx/1")}
	all["other/1/model.onnx"] = all["sonde/1/model.onnx"]
	return all
}

// configured starts a daemon that follows a table. Its flags name another model, for the newest version of this one is bad.
func configured(t *testing.T) (*daemon, *configtest.Services) {
	t.Helper()
	o := configtest.NewServices(t, config.RoleInference)
	all := versions(t)
	d := start(t, func(c *inference.Config) {
		c.BuiltIn, c.Store, c.State = all, o.Store, t.TempDir()
		c.Model = "other"
	})
	return d, o
}

func TestAConfigurationChangesTheVersionUnderLoad(t *testing.T) {
	d, o := configured(t)
	o.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "1"})
	service := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Service))
	stop, ended := make(chan struct{}), make(chan map[string]int, 4)
	for range cap(ended) {
		go func() {
			answered := map[string]int{}
			defer func() { ended <- answered }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := service.ModelInfer(t.Context(), request(t, 3, 1))
				if err != nil {
					t.Error(err)
					return
				}
				answered[r.GetModelVersion()]++
			}
		}()
	}
	for n := range 6 {
		o.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: strconv.Itoa(2 - n%2)})
		r, err := service.ModelInfer(t.Context(), request(t, 1, 1))
		if err != nil || r.GetModelVersion() != strconv.Itoa(2-n%2) {
			t.Errorf("answered by %q, %v", r.GetModelVersion(), err)
		}
	}
	close(stop)
	total := map[string]int{}
	for range cap(ended) {
		for version, n := range <-ended {
			total[version] += n
		}
	}
	if total["1"] == 0 || total["2"] == 0 || len(total) != 2 {
		t.Errorf("answered %v", total)
	}
	m, err := inferencev1.NewClassifierServiceClient(d.dial(d.certs.Viewer)).GetModel(t.Context(), &inferencev1.GetModelRequest{})
	if err != nil || m.GetModel() != "sonde" || m.GetVersion() != "1" {
		t.Errorf("GetModel tells of %s %s, %v", m.GetModel(), m.GetVersion(), err)
	}
	metadata, err := service.ModelMetadata(t.Context(), &kservev2.ModelMetadataRequest{Name: "sonde"})
	if err != nil || len(metadata.GetVersions()) != 1 || metadata.GetVersions()[0] != "1" {
		t.Errorf("loaded are %v, %v", metadata.GetVersions(), err)
	}
}

func TestAVersionThatDoesNotLoadChangesNothing(t *testing.T) {
	d, o := configured(t)
	o.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "1"})
	o.MustFail(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "4"}, "model_version", "built in/sonde/4/model.onnx")
	o.MustFail(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "9"}, "model_version", "no version 9, there are [1 2 3 4]")
	o.MustFail(&configv1.ServiceConfig{Model: "nothing"}, "model", `no model "nothing"`)
	o.MustFail(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "2", ShadowVersion: "4"}, "shadow_version", "sonde/4")
	o.MustFail(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "2", CanaryVersion: "4", CanaryPercent: 5}, "canary_version", "sonde/4")
	o.MustFail(&configv1.ServiceConfig{SessionBytes: 1 << 30}, "session_bytes", "inference")
	service := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Service))
	r, err := service.ModelInfer(t.Context(), request(t, 1, 1))
	if err != nil || r.GetModelVersion() != "1" {
		t.Errorf("answered by %q, %v", r.GetModelVersion(), err)
	}
	metadata, err := service.ModelMetadata(t.Context(), &kservev2.ModelMetadataRequest{Name: "sonde"})
	if err != nil || len(metadata.GetVersions()) != 1 {
		t.Errorf("loaded are %v, %v", metadata.GetVersions(), err)
	}
	// What the configuration names an operator does not take away by other means.
	operator := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Operator))
	if _, err := operator.RepositoryModelUnload(t.Context(), &kservev2.RepositoryModelUnloadRequest{ModelName: "sonde"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("unload: %v", err)
	}
	if _, err := operator.RepositoryModelLoad(t.Context(), &kservev2.RepositoryModelLoadRequest{ModelName: "sonde"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("load: %v", err)
	}
	if text := d.get("/metrics"); !strings.Contains(text, "sonde_inference_config_failed 1") || !strings.Contains(text, "sonde_inference_config_running_revision 1") {
		t.Error("the metrics do not tell of it")
	}
}

func TestTheCanaryAnswersItsShare(t *testing.T) {
	d, o := configured(t)
	o.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "1", CanaryVersion: "2", CanaryPercent: 20})
	service := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Service))
	answered, by := map[string]int{}, map[uint64]string{}
	const rows = 1000
	ask := func(seed uint64) string {
		r, err := service.ModelInfer(t.Context(), request(t, 1, seed))
		if err != nil {
			t.Fatal(err)
		}
		return r.GetModelVersion()
	}
	for seed := range uint64(rows) {
		by[seed] = ask(seed)
		answered[by[seed]]++
	}
	if share := answered["2"] * 100 / rows; share < 16 || share > 24 || answered["1"]+answered["2"] != rows {
		t.Errorf("answered %v", answered)
	}
	for seed := range uint64(50) {
		if got := ask(seed); got != by[seed] {
			t.Errorf("row %d was answered by %s and then by %s", seed, by[seed], got)
		}
	}
	for seed := range uint64(50) {
		named := request(t, 1, seed)
		named.ModelVersion = "1"
		if r, err := service.ModelInfer(t.Context(), named); err != nil || r.GetModelVersion() != "1" {
			t.Fatalf("version 1 was asked for, %s answered, %v", r.GetModelVersion(), err)
		}
	}
	classifier, versions := inferencev1.NewClassifierServiceClient(d.dial(d.certs.Service)), map[string]int{}
	for i := range int32(200) {
		r, err := classifier.Classify(t.Context(), &inferencev1.ClassifyRequest{
			Sessions: []*inferencev1.Session{{IpProtocol: 17, SignedSizes: []int32{30 + i, -60}, GapsUs: []uint32{0, 900}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if c := r.GetClassifications()[0]; c.GetModelVersion() != r.GetVersion() {
			t.Errorf("version %s in the answer of %s", c.GetModelVersion(), r.GetVersion())
		}
		versions[r.GetVersion()]++
	}
	if versions["1"] == 0 || versions["2"] == 0 {
		t.Errorf("ClassifierService answered %v", versions)
	}
	if text := d.get("/metrics"); !strings.Contains(text, `sonde_inference_planned_info{model="sonde",part="canary",version="2"} 1`) ||
		!strings.Contains(text, `sonde_inference_rows_total{model="sonde",version="2"}`) {
		t.Error("the metrics do not tell of the canary")
	}
	o.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "1"})
	for seed := range uint64(50) {
		if got := ask(seed); got != "1" {
			t.Errorf("without a canary %s answered", got)
		}
	}
}

// TestTheConfigurationComesFromEtcd takes the way of the flags: a URL, and the daemon's own certificate.
func TestTheConfigurationComesFromEtcd(t *testing.T) {
	certs := testenv.Certificates(t)
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", TLS: certs.Service, Log: testenv.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	store, err := etcd.Open(t.Context(), etcd.Options{
		Endpoints: []string{server.Addr().String()}, Root: config.DefaultRoot, Log: testenv.Log(t),
		TLS: testenv.Source(t, certs.Service).ClientConfig(mtls.Peer{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	o := configtest.NewServicesIn(t, config.RoleInference, store)
	d := start(t, func(c *inference.Config) {
		c.BuiltIn, c.TLS, c.ConfigStore, c.State = versions(t), certs.Service, "etcd://"+server.Addr().String(), t.TempDir()
		c.Model = "other"
	})
	d.certs = certs
	t.Cleanup(func() {
		d.stop()
		cancel()
		if err := errors.Join(store.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	if got := o.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "1"}); got.GetVersion() != "1.2.3" || got.GetLatency().AsDuration() <= 0 {
		t.Errorf("status %v", got)
	}
	o.MustFail(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "4"}, "model_version", "sonde/4")
	o.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "2"})
	r, err := kservev2.NewGRPCInferenceServiceClient(d.dial(certs.Service)).ModelInfer(t.Context(), request(t, 1, 1))
	if err != nil || r.GetModelVersion() != "2" {
		t.Errorf("answered by %q, %v", r.GetModelVersion(), err)
	}
}

// shadowRows reads a counter.
func (d *daemon) shadowRows(outcome string) int {
	d.t.Helper()
	line := regexp.MustCompile(fmt.Sprintf(`sonde_inference_shadow_rows_total\{outcome="%s"\} (\d+)`, outcome))
	found := line.FindStringSubmatch(d.get("/metrics"))
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

func TestTheShadowIsComparedAndNeverAnswers(t *testing.T) {
	d, o := configured(t)
	service := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Service))
	const requests, rows = 40, 5
	total := 0
	run := func(shadow string) {
		t.Helper()
		total += requests * rows
		o.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "2", ShadowVersion: shadow})
		for seed := range uint64(requests) {
			r, err := service.ModelInfer(t.Context(), request(t, rows, seed))
			if err != nil || r.GetModelVersion() != "2" {
				t.Fatalf("answered by %q, %v", r.GetModelVersion(), err)
			}
		}
		deadline := time.After(20 * time.Second)
		for d.shadowRows("agree")+d.shadowRows("differ") < total {
			select {
			case <-deadline:
				t.Fatalf("the shadow ran %d and %d rows, dropped %d", d.shadowRows("agree"), d.shadowRows("differ"), d.shadowRows("dropped"))
			default:
			}
		}
	}
	run("3") // the same file
	if agree := d.shadowRows("agree"); agree != requests*rows {
		t.Errorf("of %d rows %d agree", requests*rows, agree)
	}
	run("1")
	if d.shadowRows("differ") == 0 {
		t.Error("another model never differs")
	}
}

func TestWhatTheConfigurationLeavesOpenTheFlagsSay(t *testing.T) {
	o := configtest.NewServices(t, config.RoleInference)
	d := start(t, func(c *inference.Config) { c.BuiltIn, c.Store = versions(t), o.Store; c.Model = "other" })
	o.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "2"})
	client := inferencev1.NewClassifierServiceClient(d.dial(d.certs.Viewer))
	m, err := client.GetModel(t.Context(), &inferencev1.GetModelRequest{})
	if err != nil || m.GetModel() != "sonde" || m.GetVersion() != "2" {
		t.Errorf("serves %s %s, %v", m.GetModel(), m.GetVersion(), err)
	}
	o.MustApply(&configv1.ServiceConfig{}) // everything is inherited from the flags
	m, err = client.GetModel(t.Context(), &inferencev1.GetModelRequest{})
	if err != nil || m.GetModel() != "other" {
		t.Errorf("serves %s %s, %v", m.GetModel(), m.GetVersion(), err)
	}
}
