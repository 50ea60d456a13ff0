package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sonde.example/internal/service"
)

// stateFolder is where everything is kept that must outlive a process: $XDG_STATE_HOME/sonde.
func stateFolder() string {
	if dir, ok := service.Environment("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "sonde")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "sonde-state" // no home: beside whoever started us
	}
	return filepath.Join(home, ".local", "state", "sonde")
}

// lockName is the file in the state folder of sonde all that says who uses it.
const lockName = "lock"

// takeState makes a state folder, if it is missing, and keeps it for this process until release is called, or the process
// ends.
func takeState(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--state: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--state: %w", err)
	}
	if err := lock(file); err != nil {
		const longest = 32 // a process's number
		text, _ := io.ReadAll(io.LimitReader(file, longest))
		owner := "another sonde all"
		if pid, ok := strings.CutSuffix(string(text), "\n"); ok {
			owner += ", process " + printable(pid) + ","
		}
		return nil, errors.Join(fmt.Errorf("--state: %s runs on %s already: end it, or give this one another folder", owner, dir), file.Close())
	}
	if err := errors.Join(file.Truncate(0), writeAt(file, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("--state: %w", err), file.Close())
	}
	return file.Close, nil
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}
