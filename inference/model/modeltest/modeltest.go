// Package modeltest holds the suite that defines model.Model, a model in Go that
// passes it, and the files that tests load. The files are made by
// make_models.py; Fake is the same classifier as their good ones, so that a test
// that needs no ONNX Runtime can compare with one that does.
package modeltest

import (
	"bytes"
	"context"
	"embed"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"sonde.example/inference/model"
	"sonde.example/internal/label"
	"sonde.example/internal/serving"
)

//go:embed testdata
var files embed.FS

// SchemaSHA256 is the hash of the schema that the good files name.
const SchemaSHA256 = "48ebcffff93bc9ee7ba5eabd77309b63d4c5d8a9173efe3509b8eb7eca6a20e5"

// Files is the folder of models: good (versions 1 and 2), types and halves, which
// give their inputs back, and those that must be refused, each named after its fault.
func Files(tb testing.TB) fs.FS {
	tb.Helper()
	sub, err := fs.Sub(files, "testdata")
	if err != nil {
		tb.Fatal(err)
	}
	return sub
}

// File is one model's file.
func File(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := fs.ReadFile(Files(tb), name+"/model.onnx")
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// Rows makes rows of inputs for a classifier, the same for the same seed: some
// NaN in meta, as absent features are.
func Rows(info *serving.Info, rows int, seed uint64) *serving.Inputs {
	r := rand.New(rand.NewPCG(seed, 0))
	in := &serving.Inputs{Rows: rows}
	for i := range info.Inputs {
		t := &info.Inputs[i]
		data := make([]byte, rows*t.RowBytes())
		for e := range rows * t.RowElements() {
			if t.Type == serving.FP32 {
				v := float32(r.NormFloat64())
				if t.Name == "meta" && r.IntN(5) == 0 {
					v = float32(math.NaN())
				}
				binary.LittleEndian.PutUint32(data[4*e:], math.Float32bits(v))
			} else {
				data[e] = byte(r.IntN(4))
			}
		}
		in.Data = append(in.Data, data)
	}
	return in
}

// Run is the suite: what every model promises. open gives a fresh classifier of
// the form of testdata/good.
func Run(t *testing.T, open func(t *testing.T) model.Model) {
	t.Run("rows alone equal rows in a batch", func(t *testing.T) {
		m, r := opened(t, open)
		in := Rows(m.Info(), 40, 1)
		all := run(t, r, m.Info(), in)
		for row := range in.Rows {
			Near(t, m.Info(), run(t, r, m.Info(), cut(m.Info(), in, row, 1)), cutOut(m.Info(), all, row, 1))
		}
	})
	t.Run("more rows than a run takes", func(t *testing.T) {
		m, r := opened(t, open)
		in := Rows(m.Info(), 2*m.Info().MaxRows+3, 2)
		all := run(t, r, m.Info(), in)
		last := in.Rows - 5
		Near(t, m.Info(), run(t, r, m.Info(), cut(m.Info(), in, last, 5)), cutOut(m.Info(), all, last, 5))
	})
	t.Run("unwanted outputs are left alone", func(t *testing.T) {
		m, r := opened(t, open)
		in, probs := Rows(m.Info(), 3, 3), m.Info().Output(serving.OutputProbs)
		want := run(t, r, m.Info(), in)
		out := &serving.Outputs{Data: make([][]byte, len(m.Info().Outputs))}
		out.Data[probs] = make([]byte, len(want.Data[probs]))
		if err := r.Run(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out.Data[probs], want.Data[probs]) {
			t.Error("the one output wanted differs")
		}
	})
	t.Run("wrong lengths are errors", func(t *testing.T) {
		m, r := opened(t, open)
		in := Rows(m.Info(), 3, 4)
		in.Data[1] = in.Data[1][:len(in.Data[1])-1]
		if err := r.Run(t.Context(), in, serving.NewOutputs(m.Info(), 3)); err == nil {
			t.Error("a short input was run")
		}
		in = Rows(m.Info(), 3, 4)
		if err := r.Run(t.Context(), in, serving.NewOutputs(m.Info(), 2)); err == nil {
			t.Error("rows were written into too little room")
		}
		if err := r.Run(t.Context(), &serving.Inputs{Data: in.Data}, serving.NewOutputs(m.Info(), 3)); err == nil {
			t.Error("no rows were run")
		}
		run(t, r, m.Info(), in) // it goes on being good
	})
	t.Run("a cancelled run", func(t *testing.T) {
		m, r := opened(t, open)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		in := Rows(m.Info(), 1, 5)
		if err := r.Run(ctx, in, serving.NewOutputs(m.Info(), 1)); !errors.Is(err, ctx.Err()) {
			t.Errorf("got %v, want the context's error", err)
		}
		run(t, r, m.Info(), in)
	})
	t.Run("inputs are not kept", func(t *testing.T) {
		m, r := opened(t, open)
		in := Rows(m.Info(), 2, 6)
		first := run(t, r, m.Info(), in)
		want := slices.Clone(first.Data[0])
		clear(in.Data[0])
		clear(in.Data[1])
		run(t, r, m.Info(), in)
		if !slices.Equal(first.Data[0], want) {
			t.Error("an answer changed afterwards")
		}
	})
	t.Run("a runner a goroutine", func(t *testing.T) {
		m, r := opened(t, open)
		in := Rows(m.Info(), 20, 7)
		want := run(t, r, m.Info(), in)
		var wg sync.WaitGroup
		for range 4 {
			r, err := m.NewRunner()
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for range 20 {
					out := serving.NewOutputs(m.Info(), in.Rows)
					if err := r.Run(t.Context(), in, out); err != nil {
						t.Error(err)
					}
					Near(t, m.Info(), out, want)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("close waits for the runners", func(t *testing.T) {
		m := open(t)
		r, err := m.NewRunner()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- m.Close() }()
		run(t, r, m.Info(), Rows(m.Info(), 1, 8))
		select {
		case err := <-done:
			t.Errorf("closed under a runner: %v", err)
		default:
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("never closed")
		}
	})
}

func opened(t *testing.T, open func(t *testing.T) model.Model) (model.Model, serving.Runner) {
	t.Helper()
	m := open(t)
	r, err := m.NewRunner()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	})
	return m, r
}

func run(t *testing.T, r serving.Runner, info *serving.Info, in *serving.Inputs) *serving.Outputs {
	t.Helper()
	out := serving.NewOutputs(info, in.Rows)
	if err := r.Run(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func cut(info *serving.Info, in *serving.Inputs, from, rows int) *serving.Inputs {
	part := &serving.Inputs{Rows: rows}
	for i := range info.Inputs {
		n := info.Inputs[i].RowBytes()
		part.Data = append(part.Data, in.Data[i][from*n:(from+rows)*n])
	}
	return part
}

func cutOut(info *serving.Info, out *serving.Outputs, from, rows int) *serving.Outputs {
	part := &serving.Outputs{}
	for i := range info.Outputs {
		n := info.Outputs[i].RowBytes()
		part.Data = append(part.Data, out.Data[i][from*n:(from+rows)*n])
	}
	return part
}

// Near compares answers: numbers to 1e-5, since engines add up in another order
// for another number of rows.
func Near(t *testing.T, info *serving.Info, got, want *serving.Outputs) {
	t.Helper()
	for i := range info.Outputs {
		o := &info.Outputs[i]
		if o.Type != serving.FP32 {
			if !slices.Equal(got.Data[i], want.Data[i]) {
				t.Errorf("output %s: got %x, want %x", o.Name, got.Data[i], want.Data[i])
			}
			continue
		}
		for e := range len(want.Data[i]) / 4 {
			g, w := serving.Float32(got.Data[i], e), serving.Float32(want.Data[i], e)
			if !(math.Abs(float64(g-w)) <= 1e-5) {
				t.Errorf("output %s, element %d: got %v, want %v", o.Name, e, g, w)
				return
			}
		}
	}
}

// Trained is a folder with the good models' versions 1 and 2 under a name, as if
// trained for another feature schema: programs that check theirs can load them.
// Version 2 has a card, a label of the weak tier (dns), and Reference besides.
func Trained(tb testing.TB, name, schemaSHA256 string) fstest.MapFS {
	tb.Helper()
	folder := fstest.MapFS{}
	for _, version := range []string{"1", "2"} {
		file := bytes.ReplaceAll(File(tb, "good/"+version), []byte(SchemaSHA256), []byte(schemaSHA256))
		if version == "2" {
			file = WithProperty(file, serving.PropertyReference, Reference)
			file = WithProperty(file, "sonde.card", "# A model of tests\n")
			file = WithProperty(file, label.PropertyLabels,
				`[{"name":"web","category":"web"},{"name":"mail","category":"messages"},{"name":"dns","weak":true}]`)
		}
		folder[name+"/"+version+"/model.onnx"] = &fstest.MapFile{Data: file}
	}
	return folder
}

// Reference is what the good models may have been trained on.
const Reference = `{
	"features": [
		{"name": "meta: packets", "tensor": "meta", "index": 8, "edges": [2, 6, 12], "shares": [0.25, 0.25, 0.25, 0.25, 0]},
		{"name": "series: first payload size", "tensor": "series", "index": 0, "edges": [1, 100], "shares": [0.5, 0.25, 0.25, 0]}
	],
	"confidence": {"edges": [0.4, 0.6, 0.9], "shares": [0.1, 0.2, 0.3, 0.4]},
	"energy": {"edges": [-2, -1], "shares": [0.5, 0.25, 0.25]},
	"classes": [0.5, 0.25, 0.25], "unknown_rate": 0.05}`

// WithProperty is a model's file with an entry added to its metadata; of two with
// one key the last counts. (Messages of protobuf that are joined are merged.)
func WithProperty(file []byte, key, value string) []byte {
	entry := protowire.AppendTag(nil, 1, protowire.BytesType)
	entry = protowire.AppendString(entry, key)
	entry = protowire.AppendTag(entry, 2, protowire.BytesType)
	entry = protowire.AppendString(entry, value)
	file = protowire.AppendTag(slices.Clone(file), 14, protowire.BytesType) // metadata_props
	return protowire.AppendBytes(file, entry)
}
