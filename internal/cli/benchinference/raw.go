//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sonde.example/inference/model"
	"sonde.example/inference/model/onnx"
	"sonde.example/internal/serving"
)

// rawTarget is ONNX Runtime in this process, a runner a core and nothing around it: the least that running the model
// costs, and the answers that all others are compared with.
type rawTarget struct {
	info  *serving.Info
	model model.Model
	jobs  chan rawJob
	cpu   atomic.Int64 // of the threads that run, while they run
	rows  atomic.Uint64
	times atomic.Uint64
	ended sync.WaitGroup
}

type rawJob struct {
	in   *serving.Inputs
	out  *serving.Outputs
	done chan error
}

func openRaw(ctx context.Context, library, path string) (*rawTarget, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := model.Inspect(file)
	if err != nil {
		return nil, err
	}
	if info.Labels == nil {
		return nil, errors.New("the model does not classify sessions")
	}
	info.Name, info.Version = modelName, 1
	engine, err := onnx.Open(library)
	if err != nil {
		return nil, err
	}
	r := &rawTarget{info: info, jobs: make(chan rawJob)}
	if r.model, err = engine.Open(ctx, file, info); err != nil {
		return nil, err
	}
	for range runtime.NumCPU() {
		runner, err := r.model.NewRunner()
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.ended.Go(func() { r.work(ctx, runner) })
	}
	return r, nil
}

// work keeps to one thread, whose clock tells what the runs cost.
func (r *rawTarget) work(ctx context.Context, runner serving.Runner) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for j := range r.jobs {
		before, err := threadTime()
		if err == nil {
			err = runner.Run(ctx, j.in, j.out)
		}
		after, failed := threadTime()
		r.cpu.Add(int64(after - before))
		r.rows.Add(uint64(j.in.Rows))
		r.times.Add(1)
		j.done <- errors.Join(err, failed)
	}
	runner.Close() //nolint:errcheck,gosec // the process ends with it
}

func (r *rawTarget) run(in *serving.Inputs) (*serving.Outputs, error) {
	j := rawJob{in, serving.NewOutputs(r.info, in.Rows), make(chan error, 1)}
	r.jobs <- j
	return j.out, <-j.done
}

// answer fills in what the batches are compared with.
func (r *rawTarget) answer(batches []*batch) error {
	for _, b := range batches {
		out, err := r.run(b.in)
		if err != nil {
			return err
		}
		raw := out.Data[r.info.Output(serving.OutputProbs)]
		b.probs = make([]float32, len(raw)/4)
		for i := range b.probs {
			b.probs[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	}
	return nil
}

func (r *rawTarget) call(_ context.Context, b *batch, check bool) error {
	out, err := r.run(b.in)
	if err != nil || !check {
		return err
	}
	return b.checkRaw(out.Data[r.info.Output(serving.OutputProbs)])
}

func (r *rawTarget) used() (time.Duration, error) { return time.Duration(r.cpu.Load()), nil }

func (r *rawTarget) runs(context.Context) (rows, runs uint64, err error) {
	return r.rows.Load(), r.times.Load(), nil
}

func (r *rawTarget) close() error {
	close(r.jobs)
	r.ended.Wait()
	return r.model.Close()
}
