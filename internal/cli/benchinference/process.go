//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// readyTimeout is how long a server may take to start: PyTorch takes its time.
const readyTimeout = 30 * time.Second

// process is a server that was started here.
type process struct {
	command *exec.Cmd
	ended   chan error
	stderr  *bytes.Buffer // read after ended only
}

// start starts a program in a process group of its own.
func start(ctx context.Context, dir string, env []string, name string, args ...string) (*process, error) {
	p := &process{command: exec.CommandContext(ctx, name, args...), ended: make(chan error, 1), stderr: &bytes.Buffer{}}
	p.command.Dir = dir
	p.command.Env = append(p.command.Environ(), env...)
	p.command.Stdout, p.command.Stderr = io.Discard, p.stderr
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p.command.Cancel = func() error { return syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL) }
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() { p.ended <- p.command.Wait() }()
	return p, nil
}

// await asks until the server answers.
func (p *process) await(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case ended := <-p.ended:
			p.ended <- ended
			return fmt.Errorf("%s has ended (%w): %s", p.command.Path, ended, last(p.stderr.String()))
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", p.command.Path, errors.Join(err, p.stop()))
		}
	}
}

// last returns the last line of a text.
func last(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// stop ends the server and waits for it.
func (p *process) stop() error {
	if err := syscall.Kill(-p.command.Process.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case err := <-p.ended:
		p.ended <- err
	case <-time.After(5 * time.Second):
		err := p.command.Cancel() // how it ends after that is no news
		p.ended <- <-p.ended
		return err
	}
	return nil
}

// members are the processes of the server: gunicorn has several.
func (p *process) members() ([]int, error) {
	all := []int{p.command.Process.Pid}
	for i := 0; i < len(all); i++ {
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		if err != nil {
			return nil, err
		}
		for _, list := range lists {
			text, err := os.ReadFile(list)
			if err != nil && !errors.Is(err, os.ErrNotExist) { // a thread may just have ended
				return nil, err
			}
			for _, child := range strings.Fields(string(text)) {
				pid, err := strconv.Atoi(child)
				if err != nil {
					return nil, err
				}
				all = append(all, pid)
			}
		}
	}
	return all, nil
}

// used is the CPU time that the server has taken.
func (p *process) used() (time.Duration, error) {
	members, err := p.members()
	var sum time.Duration
	for _, pid := range members {
		used, failed := processTime(pid)
		sum, err = sum+used, errors.Join(err, failed)
	}
	return sum, err
}

// resident is the memory that the server has, in bytes.
func (p *process) resident() (now int64, err error) {
	members, err := p.members()
	for _, pid := range members {
		text, failed := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		err = errors.Join(err, failed)
		for line := range strings.Lines(string(text)) {
			var kib int64
			if _, failed := fmt.Sscanf(line, "VmRSS: %d kB", &kib); failed == nil {
				now += kib << 10
			}
		}
	}
	return now, err
}

// processTime reads the CPU clock of a process (clock_getcpuclockid(3)), to the nanosecond; 0 is this one.
func processTime(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	return clock(int32(^pid<<3 | scheduled))
}

// threadTime reads that of the thread that calls.
func threadTime() (time.Duration, error) { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

func clock(id int32) (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(id, &t)
	return time.Duration(t.Nano()), err
}

// freeAddress returns an address that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
