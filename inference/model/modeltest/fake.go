package modeltest

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"sync"

	"sonde.example/inference/model"
	"sonde.example/internal/serving"
)

// Fake opens the good files of testdata without ONNX Runtime: it reads their
// inputs and outputs and works the classifier out in Go.
type Fake struct {
	// Before, if set, is called before each run with its rows; an error becomes
	// the run's.
	Before func(info *serving.Info, rows int) error
}

var _ model.Opener = (*Fake)(nil)

// Open returns a fake of the model.
func (f *Fake) Open(_ context.Context, _ []byte, info *serving.Info) (model.Model, error) {
	if info.Input("bytes") < 0 || info.Input("series") < 0 || info.Input("meta") < 0 {
		return nil, errors.New("the fake has only the classifiers")
	}
	info.MaxRows = serving.MaxRunRows
	for i := range info.Outputs {
		if len(info.Outputs[i].Dims) == 1 {
			info.Outputs[i].Dims[0] = max(info.Outputs[i].Dims[0], int64(len(weights()[0])))
		}
	}
	return &fakeModel{fake: f, info: info}, nil
}

type fakeModel struct {
	fake    *Fake
	info    *serving.Info
	runners sync.WaitGroup
}

func (m *fakeModel) Info() *serving.Info { return m.info }

func (m *fakeModel) NewRunner() (serving.Runner, error) {
	m.runners.Add(1)
	return &fakeRunner{m}, nil
}

func (m *fakeModel) Close() error {
	m.runners.Wait()
	return nil
}

type fakeRunner struct{ model *fakeModel }

func (r *fakeRunner) Close() error {
	r.model.runners.Done()
	return nil
}

func (r *fakeRunner) Run(ctx context.Context, in *serving.Inputs, out *serving.Outputs) error {
	info := r.model.info
	if err := serving.Fit(info, in, out); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if before := r.model.fake.Before; before != nil {
		if err := before(info, in.Rows); err != nil {
			return err
		}
	}
	for row := range in.Rows {
		classify(info, in, out, row)
	}
	return nil
}

func weights() [4][3]float64 {
	return [...][3]float64{{0.5, -0.25, 0.125}, {1.0, 0.5, -1.0}, {-0.5, 0.25, 0.75}, {0.25, 1.0, -0.5}}
}

func bias(version int64) [3]float64 {
	if version == 2 {
		return [3]float64{-0.1, 0.3, 0.1}
	}
	return [3]float64{0.1, 0, -0.1}
}

// classify is make_models.py's graph.
func classify(info *serving.Info, in *serving.Inputs, out *serving.Outputs, row int) {
	var f [4]float64
	for _, b := range in.Data[info.Input("bytes")][row*784 : (row+1)*784] {
		f[0] += float64(b) / 784
	}
	series := in.Data[info.Input("series")]
	for p := range 24 {
		f[1] += float64(serving.Float32(series, row*96+p)) / 24
		f[2] += float64(serving.Float32(series, row*96+24+p)) / 24
	}
	for i := range 96 {
		if v := float64(serving.Float32(in.Data[info.Input("meta")], row*96+i)); !math.IsNaN(v) {
			f[3] += v / 96
		}
	}
	logits, sum, best := bias(info.Version), 0.0, 0
	for c := range logits {
		for i, w := range weights() {
			logits[c] += f[i] * w[c]
		}
		if logits[c] > logits[best] {
			best = c
		}
	}
	for _, l := range logits {
		sum += math.Exp(l - logits[best])
	}
	put32 := func(name string, at int, v float64) {
		if data := out.Data[info.Output(name)]; data != nil {
			binary.LittleEndian.PutUint32(data[4*at:], math.Float32bits(float32(v)))
		}
	}
	for c, l := range logits {
		put32(serving.OutputProbs, row*3+c, math.Exp(l-logits[best])/sum)
	}
	put32(serving.OutputEnergy, row, -(math.Log(sum) + logits[best]))
	if data := out.Data[info.Output(serving.OutputLabel)]; data != nil {
		binary.LittleEndian.PutUint64(data[8*row:], uint64(best))
	}
}
