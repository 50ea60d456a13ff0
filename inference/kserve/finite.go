package kserve

import (
	"encoding/binary"
	"math"

	"sonde.example/internal/feature"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
)

// exponent are the bits of an FP32 that are all set in NaN and the infinities, and in
// nothing else.
const exponent = 0x7f800000

// checkFinite refuses numbers that no session has. NaN says that a feature is absent,
// and only one of a classifier's inputs knows that; an infinite number means nothing
// in any. A model that is no classifier of Sonde's gets what was sent.
func checkFinite(info *serving.Info, form *serving.Tensor, data []byte, field func() string) error {
	if !info.Classifier() || form.Type != serving.FP32 {
		return nil
	}
	absent := form.Name == feature.TensorMeta // most of it is, in most rows
	for i := 0; i+4 <= len(data); i += 4 {
		bits := binary.LittleEndian.Uint32(data[i:])
		if bits&exponent != exponent || absent && bits&^(1<<31) != exponent {
			continue
		}
		allowed := "must be a finite number"
		if absent {
			allowed = "must be a finite number, or NaN where the feature is absent"
		}
		element := i / 4
		return rpc.InvalidArgument(field(), "input %q: element %d of row %d is %v, it %s",
			form.Name, element%form.RowElements(), element/form.RowElements(), math.Float32frombits(bits), allowed)
	}
	return nil
}
