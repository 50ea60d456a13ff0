//go:build linux

// Command benchinference measures what a classification costs. It sends the sample capture's sessions, as many clients
// would, to a gRPC server that runs nothing (the floor of the transport), to ONNX Runtime in its own process (the floor
// of the computation), to `sonde inference`, and to Flask with PyTorch, each with the same model; sees that all give the
// same answers; raises the rate until a hundredth of the requests take longer than 20 ms; and prints what each could do
// and what it took. Load is an open loop: requests leave when they are due, whatever became of the ones before.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

// modelName is the model's folder in the repository.
const modelName = "sonde"

// flaskFolder holds the Python server.
const flaskFolder = "internal/cli/benchinference/flask"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, log.New(os.Stderr, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "benchinference:", err)
		stop()
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	sonde, against, admin            string
	python, models, capture, library string
	step, window                     time.Duration
	runs                             int
	only                             string
	commonBatch, commonSingle        float64
}

func run(ctx context.Context, args []string, out io.Writer, progress *log.Logger) error {
	if len(args) > 0 && args[0] == "echo" {
		return serveEcho(ctx, args[1:])
	}
	var c config
	flags := pflag.NewFlagSet("benchinference", pflag.ContinueOnError)
	flags.StringVar(&c.sonde, "sonde", "bin/sonde", "the program that is measured")
	flags.StringVar(&c.against, "against", "", "another build of it: measure both in turns, and nothing else")
	flags.StringVar(&c.admin, "sonde-admin", "", "address for its admin HTTP, to take profiles from; empty: none")
	flags.StringVar(&c.python, "python", ".cache/bench/venv/bin/python", "interpreter with Flask, gunicorn, onnx and PyTorch")
	flags.StringVar(&c.models, "models", "inference/models", "repository with the model sonde, version 1")
	flags.StringVar(&c.capture, "capture", "internal/cli/sample/sample.pcapng", "capture whose sessions are sent")
	flags.StringVar(&c.library, "onnxruntime", "bin/libonnxruntime.so", "path of libonnxruntime.so")
	flags.DurationVar(&c.step, "step", 500*time.Millisecond, "how long each rate is tried while the highest is sought")
	flags.DurationVar(&c.window, "window", 1200*time.Millisecond, "how long each run is")
	flags.IntVar(&c.runs, "runs", 3, "runs of which the median is printed")
	flags.StringVar(&c.only, "only", "", "part of the names of the rows to measure; empty: all")
	flags.Float64Var(&c.commonBatch, "rate", 10_000, "sessions a second at which CPU is compared, 64 a request")
	flags.Float64Var(&c.commonSingle, "rate-single", 1_500, "the same with one session a request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b, err := openBench(ctx, c, progress)
	if err != nil {
		return err
	}
	if c.against != "" {
		return errors.Join(b.against(ctx, out), b.close())
	}
	return errors.Join(b.measure(ctx, out), b.close())
}
