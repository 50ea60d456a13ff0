package cli_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	kservev2 "sonde.example/gen/go/inference"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/testenv"
)

// TestCollectorMovesToTriton has the sample capture classified twice: by a collector whose --inference is Sonde's own
// service, and by one where it is a Triton with the model that ships. Nothing else differs, and neither do the results.
// `make inference-clients` installs a Triton.
func TestCollectorMovesToTriton(t *testing.T) {
	python, binary := testenv.Service(t, "triton"), buildSonde(t)
	ours, theirs := newSite(t, binary), newSite(t, binary)
	ours.startInference()
	theirs.startTriton(python)
	want, got := ours.classifySample(), theirs.classifySample()
	if len(want) < 10 || len(got) != len(want) {
		t.Errorf("%d sessions are classified by Sonde's own service, %d by Triton", len(want), len(got))
	}
	for session, want := range want {
		got := got[session]
		if got.GetLabel() != want.GetLabel() || got.GetCategory() != want.GetCategory() || got.GetUnknown() != want.GetUnknown() ||
			got.GetModel() != want.GetModel() || got.GetModelVersion() != want.GetModelVersion() ||
			!(math.Abs(float64(got.GetProbability()-want.GetProbability())) <= 1e-5) {
			t.Errorf("session %s is %v, by Triton %v", session, want, got)
		}
	}
}

// startTriton serves the model that ships at the address of inference. It asks for certificates, as Sonde's own does.
func (s *site) startTriton(python string) {
	s.Helper()
	scripts, folder := filepath.Join("..", "..", "deploy", "triton"), filepath.Join(s.dir, "triton")
	repository := exec.CommandContext(s.ctx, python, filepath.Join(scripts, "repository.py"), "--backend", "python",
		filepath.Join("..", "..", "inference", "models", "sonde", "1", "model.onnx"), folder)
	if output, err := repository.CombinedOutput(); err != nil {
		s.Fatalf("%v\n%s", err, output)
	}
	files := s.certs.Service
	cmd := exec.Command(python, filepath.Join(scripts, "serve.py"), folder, "--listen", s.inference,
		"--tls-ca", files.CA, "--tls-certificate", files.Certificate, "--tls-key", files.Key)
	p := s.startCommand(cmd)
	s.Cleanup(func() { // sooner than it would be killed, for it has a child that nobody else ends
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			s.Error(err)
		}
		select {
		case <-p.done:
			if p.err != nil {
				s.Errorf("Triton ended with %v", p.err)
			}
		case <-time.After(patience):
			s.Error("Triton does not end")
		}
	})
	client := kservev2.NewGRPCInferenceServiceClient(s.dial(s.certs.Service, s.inference))
	defer s.refusesStrangers()
	s.eventually("Triton has the model", func() bool {
		select {
		case <-p.done:
			s.Fatalf("Triton ended: %v\n%s", p.err, p.log)
		default:
		}
		ready, err := client.ModelReady(s.ctx, &kservev2.ModelReadyRequest{Name: "sonde"}, grpc.WaitForReady(true))
		return err == nil && ready.GetReady()
	})
}

// refusesStrangers wants Triton to turn down who has no certificate.
func (s *site) refusesStrangers() {
	s.Helper()
	authority, err := os.ReadFile(s.certs.Service.CA)
	if err != nil {
		s.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	conn, err := grpc.NewClient(s.inference, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})))
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	_, err = kservev2.NewGRPCInferenceServiceClient(conn).ServerLive(s.ctx, &kservev2.ServerLiveRequest{})
	if status.Code(err) != codes.Unavailable {
		s.Errorf("who has no certificate gets %v", err)
	}
}

// classifySample sends the sample through a collector, and returns what it has stored by what names a session in every run.
func (s *site) classifySample() map[string]*flowv1.Classification {
	s.Helper()
	s.startCollector()
	if err := s.startAgent("sample/sample.pcapng").wait(); err != nil { // it ends when everything is stored
		s.Fatalf("agent: %v", err)
	}
	s.atRest()
	all := map[string]*flowv1.Classification{}
	for _, r := range s.results() {
		all[fmt.Sprint(r.GetStartTime().AsTime(), r.GetCommunityId())] = r.GetClassification()
	}
	return all
}

// TestInferencePageSaysWhatHappens runs the commands of docs/inference.md as a reader would in a checkout.
func TestInferencePageSaysWhatHappens(t *testing.T) {
	r := newReader(t, testenv.Service(t, "grpcurl"))
	python := testenv.Service(t, "kserve_clients")
	testenv.Service(t, "triton")
	cache := filepath.Join(r.dir, ".cache")
	errs := []error{os.Mkdir(cache, 0o700), os.Symlink(filepath.Dir(filepath.Dir(python)), filepath.Join(cache, "clients"))}
	for _, folder := range []string{"deploy", "inference"} {
		path, err := filepath.Abs(filepath.Join("..", "..", folder))
		errs = append(errs, err, os.Symlink(path, filepath.Join(r.dir, folder)))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	setup, ran := "", map[string]int{}
	for _, e := range examplesOf(t, "../../docs/inference.md") {
		ran[e.kind]++
		switch e.kind {
		case "setup":
			setup += e.command + "\n"
		case "start":
			r.start(setup + "exec " + e.command) // Triton ends its own children
		default:
			output, err := r.run(t, setup+e.command)
			if err != nil {
				t.Fatalf("line %d: %v\n%s\n%s", e.line, err, e.command, output)
			}
			for _, want := range e.want {
				if !shows(output, want) {
					t.Errorf("line %d does not say %q:\n%s\n%s", e.line, want, e.command, output)
				}
			}
		}
	}
	if ran["start"] != 3 || ran["run"] < 6 {
		t.Errorf("ran %v, which is not the page", ran)
	}
}
