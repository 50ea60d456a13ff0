package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sonde.example/internal/service"
	"sonde.example/internal/testenv"
)

// example is one command block of a page of docs. The first word after the fence's sh says what becomes of it:
//
//	setup  goes before every later one
//	start  is started, and runs until the test ends
//	run    has to end well
//	fails  has to end badly
//	live, live-fails
//	       the same, on a machine of its own on which sonde all runs
//
// and a further one names the tool that it needs besides. A block without a word is not run. The text block that follows
// one holds what its output must contain, line by line. A block of Python with the name of a file is saved under it (kind
// file).
type example struct {
	line                int // of the fence
	kind, tool, command string
	want                []string
}

// examplesOf reads the blocks of a page.
func examplesOf(t *testing.T, path string) []*example {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []*example
	fence, body := "", []string(nil) // of the block that is open
	for number, line := range strings.Split(string(page), "\n") {
		mark, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && fence == "":
			fence, body = mark, nil
			if words := strings.Fields(mark); len(words) > 0 && words[0] == "sh" {
				words = append(words, "", "")
				all = append(all, &example{line: number + 1, kind: words[1], tool: words[2]})
			} else if len(words) == 2 && words[0] == "python" {
				all = append(all, &example{line: number + 1, kind: "file", tool: words[1]})
			}
		case isFence && (strings.HasPrefix(fence, "sh") || strings.HasPrefix(fence, "python ")):
			all[len(all)-1].command, fence = strings.Join(body, "\n"), ""
		case isFence:
			all[len(all)-1].want, fence = body, ""
		case fence != "":
			body = append(body, line)
		}
	}
	return slices.DeleteFunc(all, func(e *example) bool { return e.kind == "" })
}

// shows tells whether an output has a line with all parts of want, which ... separates, in order. Runs of spaces count as
// one.
func shows(output, want string) bool {
	squeeze := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	for line := range strings.Lines(output) {
		line, found := squeeze(line), true
		for part := range strings.SplitSeq(want, "...") {
			_, rest, has := strings.Cut(line, squeeze(part))
			line, found = rest, found && has
		}
		if found {
			return true
		}
	}
	return false
}

// TestOperationsSaysWhatHappens runs the commands of docs/operations.md as a reader would, in a home and a folder of
// their own, with the addresses replaced by free ones.
func TestOperationsSaysWhatHappens(t *testing.T) {
	ran := newReader(t, testenv.Service(t, "grpcurl")).follow("../../docs/operations.md")
	if ran["start"] != 2 || ran["run"] < 20 || ran["fails"] < 5 {
		t.Errorf("ran %v, which is not the page", ran)
	}
}

// TestOwnModelSaysWhatHappens does so with docs/own-model.md, whose Python has PyTorch.
func TestOwnModelSaysWhatHappens(t *testing.T) {
	python := filepath.Join(t.TempDir(), "python3")
	script := "#!/bin/sh\nOMP_NUM_THREADS=1 exec " + testenv.Service(t, "torch") + " \"$@\"\n"
	if err := os.WriteFile(python, []byte(script), 0o700); err != nil { //nolint:gosec // it has to be executable
		t.Fatal(err)
	}
	ran := newReader(t, python).follow("../../docs/own-model.md")
	if ran["file"] != 1 || ran["run"] < 5 || ran["fails"] != 1 {
		t.Errorf("ran %v, which is not the page", ran)
	}
}

// reader is somebody who reads the page and types its commands.
type reader struct {
	*testing.T
	ctx       context.Context
	dir       string // where the commands are run
	addresses *strings.Replacer
	env       []string // beside this process's
}

// newReader returns one who has the folder of a tool in his path, beside sonde.
func newReader(t *testing.T, tool string) *reader {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience) // daemons end in cleanups
	t.Cleanup(cancel)
	r := &reader{T: t, ctx: ctx, dir: t.TempDir()}
	var replace []string
	for _, port := range []string{"7443", "8001", "9001", "9464", "9465", "9467"} {
		replace = append(replace, "127.0.0.1:"+port, freeAddress(t))
	}
	r.addresses = strings.NewReplacer(replace...)
	path, _ := service.Environment("PATH")
	r.env = []string{
		"HOME=" + r.dir, "XDG_STATE_HOME=", "PATH=" + filepath.Dir(buildSonde(t)) + ":" + filepath.Dir(tool) + ":" + path,
		"SONDE_COLLECTOR=" + r.addresses.Replace("127.0.0.1:7443"),
	}
	sample, err := os.ReadFile("sample/sample.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	proto, err := filepath.Abs("../../proto")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(r.dir, "web.pcapng"), sample, 0o600), os.Symlink(proto, filepath.Join(r.dir, "proto")),
	); err != nil {
		t.Fatal(err)
	}
	return r
}

// follow does what a page says, and counts what it did by kind.
func (r *reader) follow(path string) map[string]int {
	r.Helper()
	setup, ran := "", map[string]int{}
	for _, e := range examplesOf(r.T, path) {
		ran[e.kind]++
		command := setup + e.command
		switch e.kind {
		case "setup":
			setup = command + "\n"
		case "start":
			r.start(command)
		case "file":
			if err := os.WriteFile(filepath.Join(r.dir, e.tool), []byte(e.command+"\n"), 0o600); err != nil {
				r.Fatal(err)
			}
		case "run", "fails":
			r.Run(fmt.Sprintf("line %d", e.line), func(t *testing.T) { r.try(t, e, command) })
		case "live", "live-fails": // on a machine of their own
		default:
			r.Errorf("line %d: %q is nothing that can be done with a command", e.line, e.kind)
		}
	}
	return ran
}

// try types one command and looks at how it ends and what it says.
func (r *reader) try(t *testing.T, e *example, command string) {
	t.Helper()
	if e.tool != "" {
		testenv.Service(t, e.tool)
	}
	output, err := r.run(t, command)
	if _, failed := errors.AsType[*exec.ExitError](err); (err != nil) != failed || failed != (e.kind == "fails") {
		t.Errorf("ended with %v", err)
	}
	for _, want := range e.want {
		if !shows(output, want) {
			t.Errorf("does not say %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", e.command, output)
	}
}

// bash is a command in a process group of its own, so that what it started ends with it.
func (r *reader) bash(command string, output io.Writer) *exec.Cmd {
	cmd := exec.CommandContext(r.ctx, "bash", "-euo", "pipefail", "-c", r.addresses.Replace(command))
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, output, output
	cmd.Env = append(cmd.Environ(), r.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	return cmd
}

func (r *reader) run(t *testing.T, command string) (string, error) {
	t.Helper()
	var output bytes.Buffer
	err := r.bash(command, &output).Run()
	if r.ctx.Err() != nil {
		t.Fatalf("no end in time:\n%s\n%s", command, output.String())
	}
	return output.String(), err
}

// start leaves a daemon running until the test ends, and then it has to end well.
func (r *reader) start(command string) {
	r.Helper()
	log := &logBuffer{}
	cmd := r.bash(command, log)
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	r.Cleanup(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
			r.Error(err)
		}
		if err := <-ended; err != nil && !isTerminated(err) {
			r.Errorf("ended with %v: %s", err, command)
		}
		if r.Failed() {
			r.Logf("%s\n%s", command, tailOf(log.String()))
		}
	})
}

// isTerminated tells that bash, which was told to end as well, did not wait.
func isTerminated(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGTERM
}
