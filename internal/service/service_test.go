package service_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sonde.example/internal/service"
)

// helperVariable makes the test binary a process that hears signals and would otherwise never end.
const helperVariable = "SONDE_TEST_SIGNAL_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) != "" {
		ctx, stop := service.Signals(context.Background())
		defer stop()
		tell("ready")
		<-ctx.Done()
		tell("told")
		<-make(chan struct{}) // a drain that hangs
	}
	goleak.VerifyTestMain(m)
}

func tell(line string) {
	if _, err := os.Stdout.WriteString(line + "\n"); err != nil {
		panic(err)
	}
}

var errBroken = errors.New("broken")

// until is a service that waits for its context.
func until(after func()) service.Service {
	return service.Func(func(ctx context.Context) error {
		<-ctx.Done()
		if after != nil {
			after()
		}
		return ctx.Err()
	})
}

func TestRunEndsAllWhenOneFails(t *testing.T) {
	ended := 0
	failing := service.Func(func(context.Context) error { return errBroken })
	if err := service.Run(t.Context(), until(func() { ended++ }), failing); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
	if ended != 1 {
		t.Error("returned before the other service had ended")
	}
}

func TestRunIsCleanWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		finite := service.Func(func(context.Context) error { return nil })
		if err := service.Run(ctx, until(nil), finite, until(nil)); err != nil {
			t.Error(err)
		}
		if got := time.Since(begun); got != time.Minute {
			t.Errorf("ran for %s: a service that was done ended the others", got)
		}
	})
}

func TestRunReturnsAFaultOfShutdown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fails := service.Func(func(ctx context.Context) error {
		<-ctx.Done()
		return errBroken
	})
	if err := service.Run(ctx, fails, until(nil)); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
	cancelled := service.Func(func(context.Context) error { return context.Canceled })
	if err := service.Run(t.Context(), cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("a service that was cancelled by something else: %v", err)
	}
}

// TestInOrderDrainsFromTheHead lets each stage take a second to end and writes down who ended when.
func TestInOrderDrainsFromTheHead(t *testing.T) {
	for _, test := range []struct {
		name   string
		finite int // the stage that ends by itself, at once; -1: none
		want   []string
	}{
		{"all wait", -1, []string{"0 1m1s", "1 1m2s", "2 1m3s"}},
		{"finite head", 0, []string{"0 0s", "1 1s", "2 2s"}},
		{"finite middle", 1, []string{"1 0s", "0 1m1s", "2 1m2s"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				begun := time.Now()
				var mu sync.Mutex
				var ended []string
				stage := func(n int) service.Service {
					return service.Func(func(ctx context.Context) error {
						if n != test.finite {
							<-ctx.Done()
							<-time.After(time.Second)
						}
						mu.Lock()
						defer mu.Unlock()
						ended = append(ended, string(rune('0'+n))+" "+time.Since(begun).String())
						return nil
					})
				}
				if err := service.InOrder(stage(0), stage(1), stage(2)).Run(ctx); err != nil {
					t.Error(err)
				}
				if !slices.Equal(ended, test.want) {
					t.Errorf("got %q, want %q", ended, test.want)
				}
			})
		})
	}
}

func TestInOrderEndsAllWhenOneFails(t *testing.T) {
	for failing := range 3 {
		stages := []service.Service{until(nil), until(nil), until(nil)}
		stages[failing] = service.Func(func(context.Context) error { return errBroken })
		if err := service.InOrder(stages...).Run(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("stage %d: got %v, want %v", failing, err, errBroken)
		}
	}
}

func TestSecondSignalKills(t *testing.T) {
	helper := exec.CommandContext(t.Context(), os.Args[0])
	helper.Env = append(os.Environ(), helperVariable+"=1")
	output, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	for _, want := range []string{"ready", "told"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
		if err := helper.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- helper.Wait() }()
	again := time.NewTicker(100 * time.Millisecond) // the second may have come while the first was still being heard
	defer again.Stop()
	for {
		select {
		case err := <-ended:
			status, ok := helper.ProcessState.Sys().(syscall.WaitStatus)
			if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
				t.Errorf("ended with %v, want death by SIGTERM", err)
			}
			return
		case <-again.C:
			if err := helper.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
		}
	}
}

func TestSignalsEndTheContext(t *testing.T) {
	ctx, stop := service.Signals(t.Context())
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
}
