// Package training holds no Go but this test of the Python beside it.
package training

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestPython runs the tests of the training programme: that its graphs say what was trained, in batches and alone, and that a
// second run makes the same file. SONDE_TEST_TRAINING is the Python that has requirements.txt.
func TestPython(t *testing.T) {
	python := os.Getenv("SONDE_TEST_TRAINING")
	if python == "" {
		t.Skip("SONDE_TEST_TRAINING is not set")
	}
	python, err := filepath.Abs(python)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), python, "-m", "unittest", "discover")
	c.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "PYTHONDONTWRITEBYTECODE=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !regexp.MustCompile(`(?m)^Ran [1-9]\d* tests`).Match(out) {
		t.Fatalf("no test was run:\n%s", out)
	}
	t.Logf("%s", out)
}
