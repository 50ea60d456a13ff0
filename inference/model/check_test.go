package model_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"sonde.example/inference/model"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/serving"
)

// tampered opens models whose answers are changed after each run.
type tampered struct {
	modeltest.Fake
	change func(info *serving.Info, in *serving.Inputs, out *serving.Outputs)
}

func (o *tampered) Open(ctx context.Context, file []byte, info *serving.Info) (model.Model, error) {
	m, err := o.Fake.Open(ctx, file, info)
	return &tamperedModel{Model: m, change: o.change}, err
}

type tamperedModel struct {
	model.Model
	change func(info *serving.Info, in *serving.Inputs, out *serving.Outputs)
}

func (m *tamperedModel) NewRunner() (serving.Runner, error) {
	r, err := m.Model.NewRunner()
	return &tamperedRunner{Runner: r, model: m}, err
}

type tamperedRunner struct {
	serving.Runner
	model *tamperedModel
}

func (r *tamperedRunner) Run(ctx context.Context, in *serving.Inputs, out *serving.Outputs) error {
	err := r.Runner.Run(ctx, in, out)
	if err == nil {
		r.model.change(r.model.Info(), in, out)
	}
	return err
}

func check(t *testing.T, file []byte, o model.CheckOptions) (*model.Checked, error) {
	t.Helper()
	o.Contract.SchemaSHA256 = modeltest.SchemaSHA256
	o.Sample = func(info *serving.Info, rows int) *serving.Inputs { return modeltest.Rows(info, rows, 1) }
	o.Rows = []int{1, 300}
	return model.Check(t.Context(), bytes.NewReader(file), o)
}

func TestCheckOfAGoodModel(t *testing.T) {
	c, err := check(t, modeltest.File(t, "good/2"), model.CheckOptions{Opener: &modeltest.Fake{}})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Info.Classifier() || c.Info.Outputs[c.Info.Output(serving.OutputProbs)].Dims[0] != 3 {
		t.Errorf("info is %+v, want a classifier of three labels", c.Info)
	}
	if len(c.Latencies) != 2 || c.Latencies[1].Rows != 300 || c.Latencies[1].PerRow <= 0 {
		t.Errorf("latencies are %v", c.Latencies)
	}
	if c.BatchDifference != 0 {
		t.Errorf("a fake's rows differ by %v", c.BatchDifference)
	}
}

func TestCheckRefuses(t *testing.T) {
	add := func(info *serving.Info, out *serving.Outputs, name string, d float32) {
		data := out.Data[info.Output(name)]
		putFloat(data, serving.Float32(data, 0)+d)
	}
	many := func(name string, d float32) func(*serving.Info, *serving.Inputs, *serving.Outputs) {
		return func(info *serving.Info, in *serving.Inputs, out *serving.Outputs) {
			if in.Rows == 64 {
				add(info, out, name, d)
			}
		}
	}
	for name, c := range map[string]struct {
		file   string
		change func(*serving.Info, *serving.Inputs, *serving.Outputs)
		want   string // empty: taken
	}{
		"probabilities depend on the batch":   {"good/1", many(serving.OutputProbs, 5e-6), `output "probs" of a row that is run alone differs by 5e-06`},
		"probabilities hardly do":             {"good/1", many(serving.OutputProbs, 3e-7), ""},
		"energy depends on the batch":         {"good/1", many(serving.OutputEnergy, 1e-3), `output "energy" of a row`},
		"energy hardly does":                  {"good/1", many(serving.OutputEnergy, 5e-6), ""},
		"no number in a batch only":           {"good/1", many(serving.OutputEnergy, float32(math.NaN())), "the energy is not a number"},
		"an absent feature makes no answer":   {"good/1", spread, `with NaN where a feature is absent: probability NaN`},
		"a file that is none":                 {"not-onnx/1", nil, "not an ONNX model"},
		"a file trained for another schema":   {"wrong-schema/1", nil, "was trained for feature schema abab"},
		"a file with an output missing":       {"missing-output/1", nil, `output "energy" is missing`},
		"a file whose labels are too few":     {"wrong-labels/1", nil, "3 columns, but there are 2 labels"},
		"a file that says nothing of labels":  {"no-labels/1", nil, "sonde.labels"},
		"a file with weights in another file": {"external-data/1", nil, `weight "w" lies in another file`},
	} {
		change := c.change
		if change == nil {
			change = func(*serving.Info, *serving.Inputs, *serving.Outputs) {}
		}
		checked, err := check(t, modeltest.File(t, c.file), model.CheckOptions{Opener: &tampered{change: change}})
		switch {
		case checked == nil:
			t.Errorf("%s: nothing is returned", name)
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, serving.ErrRefused) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// spread lets NaN of the inputs through, as a graph does that does not look for them.
func spread(info *serving.Info, in *serving.Inputs, out *serving.Outputs) {
	meta := in.Data[info.Input("meta")]
	for i := range len(meta) / 4 {
		if v := serving.Float32(meta, i); v != v {
			putFloat(out.Data[info.Output(serving.OutputProbs)], v)
		}
	}
}

func TestCheckEndsWhenItIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fake := &modeltest.Fake{Before: func(*serving.Info, int) error { cancel(); return nil }}
	_, err := model.Check(ctx, bytes.NewReader(modeltest.File(t, "good/1")), model.CheckOptions{
		Opener: fake, Contract: model.Contract{SchemaSHA256: modeltest.SchemaSHA256},
		Sample: func(info *serving.Info, rows int) *serving.Inputs { return modeltest.Rows(info, rows, 1) },
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, serving.ErrRefused) {
		t.Errorf("got %v, want that it was cancelled, which is not the model's fault", err)
	}
}

func putFloat(data []byte, v float32) {
	bits := math.Float32bits(v)
	data[0], data[1], data[2], data[3] = byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24)
}
