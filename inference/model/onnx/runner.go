//go:build cgo

package onnx

// #include <stdlib.h>
// #include <string.h>
import "C"

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"sonde.example/internal/serving"
)

// alignment of buffers: a cache line, and the widest vector there is.
const alignment = 64

// runner owns the memory that its rows are copied into and out of.
type runner struct {
	model   *onnxModel
	in, out []*buffer
	ins     []ort.Value // reused by every run
	outs    []ort.Value
}

// Run copies rows in, runs, and copies rows out, part by part.
func (r *runner) Run(ctx context.Context, in *serving.Inputs, out *serving.Outputs) error {
	if err := serving.Fit(r.model.info, in, out); err != nil {
		return err
	}
	for i, b := range r.out {
		if b.text() && out.Data[i] != nil {
			out.Data[i] = out.Data[i][:0] // each part adds its own
		}
	}
	for from := 0; from < in.Rows; from += r.model.info.MaxRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.run(in, out, from, min(r.model.info.MaxRows, in.Rows-from)); err != nil {
			return fmt.Errorf("run of model %s version %d: %w", r.model.info.Name, r.model.info.Version, err)
		}
	}
	return nil
}

func (r *runner) run(in *serving.Inputs, out *serving.Outputs, from, rows int) error {
	r.ins, r.outs = r.ins[:0], r.outs[:0]
	for i, b := range r.in {
		if b.text() {
			_, rest := b.tensor.Cut(in.Data[i], from)
			part, _ := b.tensor.Cut(rest, rows)
			if err := b.write(part, rows); err != nil {
				return err
			}
		} else {
			copy(b.memory, in.Data[i][from*b.row:(from+rows)*b.row])
		}
		v, err := b.value(rows)
		if err != nil {
			return err
		}
		r.ins = append(r.ins, v)
	}
	for _, b := range r.out {
		v, err := b.value(rows)
		if err != nil {
			return err
		}
		r.outs = append(r.outs, v)
	}
	if err := r.model.session.Run(r.ins, r.outs); err != nil {
		return err
	}
	for i, b := range r.out {
		switch {
		case out.Data[i] == nil:
		case b.text():
			var err error
			if out.Data[i], err = b.read(out.Data[i], rows); err != nil {
				return err
			}
		default:
			copy(out.Data[i][from*b.row:(from+rows)*b.row], b.memory)
		}
	}
	return nil
}

// Close frees the memory.
func (r *runner) Close() error {
	var all []error
	for _, b := range slices.Concat(r.in, r.out) {
		all = append(all, b.close())
	}
	r.in, r.out = nil, nil
	r.model.runners.Done()
	return errors.Join(all...)
}

// buffer is room for some rows of one tensor in C's memory, and a tensor of the
// runtime over it for every number of rows that was asked for. Strings have no room
// of ours: the runtime keeps them in the tensors.
type buffer struct {
	tensor serving.Tensor
	row    int // bytes
	memory []byte
	start  unsafe.Pointer
	values []ort.Value // by rows - 1; nil until asked for
}

// newBuffer makes room for the given rows, all zero. C ends the process when
// there is no memory, as Go does.
func newBuffer(t serving.Tensor, rows int) *buffer {
	if t.Type == serving.Bytes {
		return &buffer{tensor: t, values: make([]ort.Value, rows)}
	}
	size := (rows*t.RowBytes() + alignment - 1) / alignment * alignment
	start := C.aligned_alloc(alignment, C.size_t(size))
	if start == nil {
		panic("out of memory: C has no room for a tensor's buffer")
	}
	C.memset(start, 0, C.size_t(size))
	return &buffer{
		tensor: t, row: t.RowBytes(), start: start, memory: unsafe.Slice((*byte)(start), rows*t.RowBytes()),
		values: make([]ort.Value, rows),
	}
}

// value is the tensor over the first rows.
func (b *buffer) value(rows int) (ort.Value, error) {
	if v := b.values[rows-1]; v != nil {
		return v, nil
	}
	if b.text() {
		return b.strings(rows)
	}
	v, err := ort.NewCustomDataTensor(ort.NewShape(b.tensor.ShapeOf(rows)...), b.memory[:rows*b.row], ort.TensorElementDataType(b.tensor.Type.ONNX()))
	if err != nil {
		return nil, fmt.Errorf("tensor %q of %d rows: %w", b.tensor.Name, rows, err)
	}
	b.values[rows-1] = v
	return v, nil
}

func (b *buffer) text() bool { return b.tensor.Type == serving.Bytes }

// strings is the tensor of so many rows of strings.
func (b *buffer) strings(rows int) (*ort.StringTensor, error) {
	if v, ok := b.values[rows-1].(*ort.StringTensor); ok {
		return v, nil
	}
	v, err := ort.NewStringTensor(ort.NewShape(b.tensor.ShapeOf(rows)...))
	if err != nil {
		return nil, fmt.Errorf("tensor %q of %d rows: %w", b.tensor.Name, rows, err)
	}
	b.values[rows-1] = v
	return v, nil
}

// write puts the elements of BYTES into the tensor.
func (b *buffer) write(data []byte, rows int) error {
	v, err := b.strings(rows)
	if err != nil {
		return err
	}
	elements := make([]string, 0, rows*b.tensor.RowElements())
	for len(data) > 0 {
		var element []byte
		element, data, _ = serving.CutBytes(data)
		elements = append(elements, string(element))
	}
	return v.SetContents(elements)
}

// read appends the elements of the tensor.
func (b *buffer) read(to []byte, rows int) ([]byte, error) {
	v, err := b.strings(rows)
	if err != nil {
		return to, err
	}
	elements, err := v.GetContents()
	for _, element := range elements {
		to = serving.AppendBytes(to, element)
	}
	return to, err
}

func (b *buffer) close() error {
	var all []error
	for _, v := range b.values {
		if v != nil {
			all = append(all, v.Destroy())
		}
	}
	C.free(b.start)
	b.memory, b.values = nil, nil
	return errors.Join(all...)
}
