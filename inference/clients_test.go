package inference_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"sonde.example/inference"
	"sonde.example/internal/mtls"
	"sonde.example/internal/testenv"
)

// TestStockClients runs the Python clients of Triton and KServe, unmodified, against the daemon and the model that ships;
// their answers are compared with those of ONNX Runtime on the same file. `make inference-clients` installs them.
func TestStockClients(t *testing.T) {
	python := testenv.Service(t, "kserve_clients")
	for program, role := range map[string]func(mtls.Development) mtls.Files{
		"tritonclient_grpc.py": func(d mtls.Development) mtls.Files { return d.Operator },
		"tritonclient_aio.py":  func(d mtls.Development) mtls.Files { return d.Service },
		"kserve_grpc.py":       func(d mtls.Development) mtls.Files { return d.Service },
	} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			d := start(t, shipped)
			files := role(d.certs)
			cmd := exec.CommandContext(t.Context(), python, program, d.Addr().String(), files.CA, files.Certificate, files.Key, shippedFile(t))
			cmd.Dir = filepath.Join("kserve", "testdata", "clients")
			cmd.Env = append(cmd.Environ(), "PYTHONDONTWRITEBYTECODE=", "PYTHONPYCACHEPREFIX="+filepath.Join(filepath.Dir(python), "..", "pycache"), "OMP_NUM_THREADS=1")
			output, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			t.Logf("%s", output)
		})
	}
}

// shipped serves the model that ships.
func shipped(c *inference.Config) { c.BuiltIn = inference.DefaultConfig().BuiltIn }

func shippedFile(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("models", "sonde", "1", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}
