package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"sonde.example/internal/serving"
)

// Contract is what the program that serves demands of a classifier.
type Contract struct {
	// SchemaSHA256 is the hash of the features that this program computes,
	// hexadecimal.
	SchemaSHA256 string
	// Inputs are the tensors that this program fills. A classifier has each of
	// them, used or not, and no others, since clients send all.
	Inputs []serving.Tensor
}

// Check says whether a file that Inspect has read keeps the contract. A model
// that carries no metadata of Sonde's is somebody else's and keeps none: it is
// served as tensors, and never in the place of a classifier.
func (c *Contract) Check(info *serving.Info) error {
	if !info.Classifier() {
		return nil
	}
	if c.SchemaSHA256 != "" && info.Labels.SchemaSHA256 != c.SchemaSHA256 {
		return fmt.Errorf("the model was trained for feature schema %s, this program computes %s", info.Labels.SchemaSHA256, c.SchemaSHA256)
	}
	for _, want := range c.Inputs {
		i := info.Input(want.Name)
		if i < 0 {
			return fmt.Errorf("input %q is missing", want.Name)
		}
		if got := info.Inputs[i]; got.Type != want.Type || !slices.Equal(got.Dims, want.Dims) {
			return fmt.Errorf("input %q is %s %v, the feature schema has %s %v", got.Name, got.Type, got.Shape(), want.Type, want.Shape())
		}
	}
	if n := len(c.Inputs); n > 0 && len(info.Inputs) != n {
		return fmt.Errorf("there are %d inputs, the feature schema has %d", len(info.Inputs), n)
	}
	classes := int64(len(info.Labels.Labels))
	for _, want := range []serving.Tensor{
		{Name: serving.OutputProbs, Type: serving.FP32, Dims: []int64{classes}},
		{Name: serving.OutputEnergy, Type: serving.FP32},
		{Name: serving.OutputLabel, Type: serving.Int64},
	} {
		i := info.Output(want.Name)
		if i < 0 {
			return fmt.Errorf("output %q is missing", want.Name)
		}
		got := info.Outputs[i]
		switch {
		case got.Type != want.Type || len(got.Dims) != len(want.Dims):
			return fmt.Errorf("output %q is %s %v, it must be %s %v", got.Name, got.Type, got.Shape(), want.Type, want.Shape())
		case len(want.Dims) == 1 && got.Dims[0] >= 0 && got.Dims[0] != classes:
			return fmt.Errorf("output %q has %d columns, but there are %d labels", got.Name, got.Dims[0], classes)
		}
	}
	return nil
}

// warmUp runs the model at every size that it will be asked for, so that no
// caller pays for the engine's first allocations, and looks at what comes out.
// The rows are all zeros: a session without packets.
func warmUp(ctx context.Context, info *serving.Info, r serving.Runner) error {
	for _, rows := range []int{1, 16, 64, serving.MaxRunRows} {
		in := &serving.Inputs{Rows: rows, Data: make([][]byte, len(info.Inputs))}
		for i := range info.Inputs {
			in.Data[i] = info.Inputs[i].Zero(rows)
		}
		out := serving.NewOutputs(info, rows)
		if err := r.Run(ctx, in, out); err != nil {
			return fmt.Errorf("warm-up of %d rows: %w", rows, err)
		}
		if !info.Classifier() {
			continue
		}
		for row := range rows {
			if err := plausible(info, out, row); err != nil {
				return fmt.Errorf("warm-up of %d rows: row %d: %w", rows, row, err)
			}
		}
	}
	return nil
}

// plausible looks at one row of a classifier's answer.
func plausible(info *serving.Info, out *serving.Outputs, row int) error {
	sum := 0.0
	for c := range info.Labels.Labels {
		p := float64(serving.Float32(out.Data[info.Output(serving.OutputProbs)], row*len(info.Labels.Labels)+c))
		if !(p >= -1e-6 && p <= 1+1e-3) {
			return fmt.Errorf("probability %v of label %q is not between 0 and 1", p, info.Labels.Labels[c].Name)
		}
		sum += p
	}
	if math.Abs(sum-1) > 1e-2 {
		return fmt.Errorf("the probabilities add up to %v, not to 1", sum)
	}
	if e := float64(serving.Float32(out.Data[info.Output(serving.OutputEnergy)], row)); math.IsNaN(e) || math.IsInf(e, 0) {
		return errors.New("the energy is not a number")
	}
	if l := serving.Integer64(out.Data[info.Output(serving.OutputLabel)], row); l < 0 || l >= int64(len(info.Labels.Labels)) {
		return fmt.Errorf("label %d is none of the %d", l, len(info.Labels.Labels))
	}
	return nil
}
