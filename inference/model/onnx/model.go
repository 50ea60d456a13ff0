//go:build cgo

package onnx

import (
	"context"
	"errors"
	"fmt"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"sonde.example/internal/serving"
)

// onnxModel is one session; sessions may be run by many goroutines.
type onnxModel struct {
	info    *serving.Info
	session *ort.DynamicAdvancedSession
	runners sync.WaitGroup
}

func (m *onnxModel) Info() *serving.Info { return m.info }

// Close waits for the runners and frees the session.
func (m *onnxModel) Close() error {
	m.runners.Wait()
	defer giveBack()
	return m.session.Destroy()
}

// NewRunner makes a runner.
func (m *onnxModel) NewRunner() (serving.Runner, error) {
	r := &runner{model: m}
	for i := range m.info.Inputs {
		r.in = append(r.in, newBuffer(m.info.Inputs[i], m.info.MaxRows))
	}
	for i := range m.info.Outputs {
		r.out = append(r.out, newBuffer(m.info.Outputs[i], m.info.MaxRows))
	}
	m.runners.Add(1)
	return r, nil
}

// measure completes the info: it lets the session make the outputs of one row
// and of two, takes over the dimensions that the file left open, and sees to it
// that the rows come back one for one.
func (m *onnxModel) measure(ctx context.Context) error {
	m.info.MaxRows = serving.MaxRunRows
	for i := range m.info.Inputs {
		m.info.MaxRows = min(m.info.MaxRows, max(1, maxBufferBytes/m.info.Inputs[i].RowRoom()))
	}
	for i := range m.info.Outputs {
		// The Go binding cannot take over 16-bit floats that the runtime made.
		if o := &m.info.Outputs[i]; o.Open() && (o.Type == serving.FP16 || o.Type == serving.BF16) {
			return fmt.Errorf("output %q of %s has shape %v: only the first dimension may be open", o.Name, o.Type, o.Shape())
		}
	}
	for rows := 1; rows <= 2 && rows <= m.info.MaxRows; rows++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.probe(rows); err != nil {
			return err
		}
	}
	for i := range m.info.Outputs {
		m.info.MaxRows = min(m.info.MaxRows, max(1, maxBufferBytes/m.info.Outputs[i].RowRoom()))
	}
	return nil
}

func (m *onnxModel) probe(rows int) (err error) {
	var buffers []*buffer
	var made []ort.Value
	defer func() {
		for _, b := range buffers {
			err = errors.Join(err, b.close())
		}
		for _, v := range made {
			err = errors.Join(err, v.Destroy())
		}
	}()
	values := func(tensors []serving.Tensor) ([]ort.Value, error) {
		all := make([]ort.Value, len(tensors))
		for i := range tensors {
			if tensors[i].Open() { // left to the runtime to make
				continue
			}
			b := newBuffer(tensors[i], rows)
			buffers = append(buffers, b)
			var err error
			if all[i], err = b.value(rows); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
	in, err := values(m.info.Inputs)
	if err != nil {
		return err
	}
	out, err := values(m.info.Outputs)
	if err != nil {
		return err
	}
	if err := m.session.Run(in, out); err != nil {
		return fmt.Errorf("a run of %d rows: %w", rows, err)
	}
	for i := range m.info.Outputs {
		if m.info.Outputs[i].Open() {
			made = append(made, out[i])
		}
		if err := settle(&m.info.Outputs[i], out[i].GetShape(), rows); err != nil {
			return err
		}
	}
	return nil
}

// settle compares the shape that came with the one the file promises.
func settle(t *serving.Tensor, shape ort.Shape, rows int) error {
	if len(shape) != 1+len(t.Dims) || shape[0] != int64(rows) {
		return fmt.Errorf("output %q has shape %v for %d rows, the file says %v", t.Name, shape, rows, t.Shape())
	}
	for i, d := range shape[1:] {
		switch {
		case t.Dims[i] < 0 && d > 0:
			t.Dims[i] = d
		case t.Dims[i] != d:
			return fmt.Errorf("output %q has shape %v for %d rows, %v was expected", t.Name, shape, rows, t.ShapeOf(rows))
		}
	}
	return nil
}
