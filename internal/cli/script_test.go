package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sonde.example/internal/cli"
	"sonde.example/internal/service"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sonde": func() { os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the command line as people type it.
func TestScripts(t *testing.T) {
	sample, err := filepath.Abs(filepath.Join("sample", "sample.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	inference, err := filepath.Abs(filepath.Join("..", "..", "inference"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("SAMPLE", sample)
			env.Setenv("MODELS", filepath.Join(inference, "models"))
			env.Setenv("TESTMODELS", filepath.Join(inference, "model", "modeltest", "testdata"))
			library, _ := service.Environment("SONDE_ONNXRUNTIME")
			env.Setenv("SONDE_ONNXRUNTIME", library)
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			return nil
		},
	})
}
