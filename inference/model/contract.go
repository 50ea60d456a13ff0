package model

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Names of the outputs that every classifier of Sonde's has.
const (
	OutputProbs  = "probs"  // FP32, one column a label: calibrated probabilities
	OutputEnergy = "energy" // FP32, one element: how foreign the row is to the model
	OutputLabel  = "label"  // INT64, one element: position of the most probable label
)

// Contract is what the program that serves demands of a classifier.
type Contract struct {
	// SchemaSHA256 is the hash of the features that this program computes,
	// hexadecimal.
	SchemaSHA256 string
	// Inputs are the tensors that this program can fill; a classifier may do
	// without some of them.
	Inputs []Tensor
}

// Check says whether a file that Inspect has read keeps the contract. A model
// that carries no metadata of Sonde's is somebody else's and keeps none: it is
// served as tensors, and never in the place of a classifier.
func (c *Contract) Check(info *Info) error {
	if !info.Classifier() {
		return nil
	}
	if c.SchemaSHA256 != "" && info.SchemaSHA256 != c.SchemaSHA256 {
		return fmt.Errorf("the model was trained for feature schema %s, this program computes %s", info.SchemaSHA256, c.SchemaSHA256)
	}
	for _, in := range info.Inputs {
		if c.Inputs == nil {
			break
		}
		i := index(c.Inputs, in.Name)
		if i < 0 {
			return fmt.Errorf("input %q is no part of the feature schema", in.Name)
		}
		if want := c.Inputs[i]; in.Type != want.Type || fmt.Sprint(in.Dims) != fmt.Sprint(want.Dims) {
			return fmt.Errorf("input %q is %s %v, the feature schema has %s %v", in.Name, in.Type, in.Shape(), want.Type, want.Shape())
		}
	}
	classes := int64(len(info.Labels))
	for _, want := range []Tensor{
		{Name: OutputProbs, Type: FP32, Dims: []int64{classes}},
		{Name: OutputEnergy, Type: FP32},
		{Name: OutputLabel, Type: Int64},
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
func warmUp(ctx context.Context, info *Info, r Runner) error {
	for _, rows := range []int{1, 16, 64, MaxRunRows} {
		in := &Inputs{Rows: rows, Data: make([][]byte, len(info.Inputs))}
		for i := range info.Inputs {
			in.Data[i] = make([]byte, rows*info.Inputs[i].RowBytes())
		}
		out := NewOutputs(info, rows)
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
func plausible(info *Info, out *Outputs, row int) error {
	sum := 0.0
	for c := range info.Labels {
		p := float64(Float32(out.Data[info.Output(OutputProbs)], row*len(info.Labels)+c))
		if !(p >= -1e-6 && p <= 1+1e-3) {
			return fmt.Errorf("probability %v of label %q is not between 0 and 1", p, info.Labels[c].Name)
		}
		sum += p
	}
	if math.Abs(sum-1) > 1e-2 {
		return fmt.Errorf("the probabilities add up to %v, not to 1", sum)
	}
	if e := float64(Float32(out.Data[info.Output(OutputEnergy)], row)); math.IsNaN(e) || math.IsInf(e, 0) {
		return errors.New("the energy is not a number")
	}
	if l := Integer64(out.Data[info.Output(OutputLabel)], row); l < 0 || l >= int64(len(info.Labels)) {
		return fmt.Errorf("label %d is none of the %d", l, len(info.Labels))
	}
	return nil
}

// Float32 reads element i of an FP32 tensor.
func Float32(data []byte, i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
}

// Integer64 reads element i of an INT64 tensor.
func Integer64(data []byte, i int) int64 { return int64(binary.LittleEndian.Uint64(data[8*i:])) }
