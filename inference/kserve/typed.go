package kserve

import (
	"encoding/binary"
	"math"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
)

// emptyContents tells whether no element came typed.
func emptyContents(c *kservev2.InferTensorContents) bool { return contentsLen(c) == 0 }

func contentsLen(c *kservev2.InferTensorContents) int {
	return len(c.GetBoolContents()) + len(c.GetIntContents()) + len(c.GetInt64Contents()) + len(c.GetUintContents()) +
		len(c.GetUint64Contents()) + len(c.GetFp32Contents()) + len(c.GetFp64Contents()) + len(c.GetBytesContents())
}

// typed writes typed contents as raw ones. The elements of small whole numbers
// ride in wider ones, so their range is checked.
func typed(form *serving.Tensor, c *kservev2.InferTensorContents, elements int, field string) ([]byte, error) {
	w := writer{form: form, elements: elements, field: field}
	switch form.Type {
	case serving.Bool:
		return fill(&w, c, "bool_contents", c.GetBoolContents(), func(b []byte, v bool) ([]byte, bool) {
			if v {
				return append(b, 1), true
			}
			return append(b, 0), true
		})
	case serving.Int8:
		return fill(&w, c, "int_contents", c.GetIntContents(), func(b []byte, v int32) ([]byte, bool) {
			return append(b, byte(v)), v >= math.MinInt8 && v <= math.MaxInt8
		})
	case serving.Int16:
		return fill(&w, c, "int_contents", c.GetIntContents(), func(b []byte, v int32) ([]byte, bool) {
			return binary.LittleEndian.AppendUint16(b, uint16(v)), v >= math.MinInt16 && v <= math.MaxInt16
		})
	case serving.Int32:
		return fill(&w, c, "int_contents", c.GetIntContents(), func(b []byte, v int32) ([]byte, bool) {
			return binary.LittleEndian.AppendUint32(b, uint32(v)), true
		})
	case serving.Int64:
		return fill(&w, c, "int64_contents", c.GetInt64Contents(), func(b []byte, v int64) ([]byte, bool) {
			return binary.LittleEndian.AppendUint64(b, uint64(v)), true
		})
	case serving.Uint8:
		return fill(&w, c, "uint_contents", c.GetUintContents(), func(b []byte, v uint32) ([]byte, bool) {
			return append(b, byte(v)), v <= math.MaxUint8
		})
	case serving.Uint16:
		return fill(&w, c, "uint_contents", c.GetUintContents(), func(b []byte, v uint32) ([]byte, bool) {
			return binary.LittleEndian.AppendUint16(b, uint16(v)), v <= math.MaxUint16
		})
	case serving.Uint32:
		return fill(&w, c, "uint_contents", c.GetUintContents(), func(b []byte, v uint32) ([]byte, bool) {
			return binary.LittleEndian.AppendUint32(b, v), true
		})
	case serving.Uint64:
		return fill(&w, c, "uint64_contents", c.GetUint64Contents(), func(b []byte, v uint64) ([]byte, bool) {
			return binary.LittleEndian.AppendUint64(b, v), true
		})
	case serving.FP32:
		return fill(&w, c, "fp32_contents", c.GetFp32Contents(), func(b []byte, v float32) ([]byte, bool) {
			return binary.LittleEndian.AppendUint32(b, math.Float32bits(v)), true
		})
	case serving.FP64:
		return fill(&w, c, "fp64_contents", c.GetFp64Contents(), func(b []byte, v float64) ([]byte, bool) {
			return binary.LittleEndian.AppendUint64(b, math.Float64bits(v)), true
		})
	case serving.Bytes:
		raw, err := fill(&w, c, "bytes_contents", c.GetBytesContents(), func(b []byte, v []byte) ([]byte, bool) {
			return serving.AppendBytes(b, string(v)), true
		})
		if err != nil {
			return nil, err
		}
		return raw, checkText(form, raw, func() string { return field })
	}
	return nil, rpc.InvalidArgument(field, "input %q of %s only comes in raw_input_contents", form.Name, form.Type)
}

type writer struct {
	form     *serving.Tensor
	elements int
	field    string
}

// fill writes elements one after the other; put says false for one that is out of
// range.
func fill[T any](w *writer, c *kservev2.InferTensorContents, name string, values []T, put func([]byte, T) ([]byte, bool)) ([]byte, error) {
	if contentsLen(c) != len(values) {
		return nil, rpc.InvalidArgument(w.field, "input %q of %s comes in %s only", w.form.Name, w.form.Type, name)
	}
	if len(values) != w.elements {
		return nil, rpc.InvalidArgument(w.field, "input %q needs %d elements in %s, %d came", w.form.Name, w.elements, name, len(values))
	}
	raw, ok := make([]byte, 0, w.elements*w.form.Type.Size()), false
	for n, v := range values {
		if raw, ok = put(raw, v); !ok {
			return nil, rpc.InvalidArgument(w.field, "input %q: element %d is %v, out of the range of %s", w.form.Name, n, v, w.form.Type)
		}
	}
	return raw, nil
}
