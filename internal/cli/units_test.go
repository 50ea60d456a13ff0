package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sonde.example/internal/testenv"
)

// TestUnitsAreSound has systemd itself read the units of deploy, with programs in place of those that are not installed.
func TestUnitsAreSound(t *testing.T) {
	analyze := testenv.Service(t, "systemd")
	units, err := filepath.Glob("../../deploy/systemd/*.service")
	if err != nil || len(units) < 6 {
		t.Fatalf("found %d units, %v", len(units), err)
	}
	dir := t.TempDir()
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("ExecStart=/usr/local/bin/"), []byte("ExecStart=/bin/true "))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(unit)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, unit := range units {
		verify := exec.Command(analyze, "verify", "--man=no", filepath.Join(dir, filepath.Base(unit)))
		out, err := verify.CombinedOutput()
		var ours []byte
		for line := range bytes.Lines(out) {
			if !bytes.HasPrefix(line, []byte("/lib/systemd/")) && !bytes.HasPrefix(line, []byte("/usr/lib/systemd/")) { // it reads the machine's units, too
				ours = append(ours, line...)
			}
		}
		if err != nil || len(ours) != 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(unit), err, out)
		}
	}
}
