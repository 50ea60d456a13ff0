package onnx_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"sonde.example/inference/model"
	"sonde.example/inference/model/modeltest"
	"sonde.example/inference/model/onnx"
	"sonde.example/internal/serving"
)

func runtime(tb testing.TB) *onnx.Runtime {
	tb.Helper()
	r, err := onnx.Open(modeltest.Library(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func open(tb testing.TB, o model.Opener, name string) model.Model {
	tb.Helper()
	file := modeltest.File(tb, name)
	info, err := model.Inspect(file)
	if err != nil {
		tb.Fatal(err)
	}
	info.Name, info.Version = name[:strings.Index(name, "/")], int64(name[len(name)-1]-'0')
	m, err := o.Open(tb.Context(), file, info)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func TestModel(t *testing.T) {
	modeltest.Run(t, func(t *testing.T) model.Model { return open(t, runtime(t), "good/1") })
}

func TestFakeModel(t *testing.T) {
	modeltest.Run(t, func(t *testing.T) model.Model { return open(t, &modeltest.Fake{}, "good/1") })
}

func TestRuntimeAndFakeAgree(t *testing.T) {
	for _, name := range []string{"good/1", "good/2"} {
		real, fake := open(t, runtime(t), name), open(t, &modeltest.Fake{}, name)
		in := modeltest.Rows(real.Info(), 300, 42)
		modeltest.Near(t, real.Info(), answer(t, real, in), answer(t, fake, in))
	}
}

func answer(t *testing.T, m model.Model, in *serving.Inputs) *serving.Outputs {
	t.Helper()
	r, err := m.NewRunner()
	if err != nil {
		t.Fatal(err)
	}
	out := serving.NewOutputs(m.Info(), in.Rows)
	if err := r.Run(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOpenDimensionsAreMeasured(t *testing.T) {
	m := open(t, runtime(t), "types/1")
	for i := range m.Info().Outputs {
		if o := &m.Info().Outputs[i]; o.RowElements() != 2 {
			t.Errorf("output %s has shape %v", o.Name, o.Shape())
		}
	}
	in := &serving.Inputs{Rows: 3}
	for i := range m.Info().Inputs {
		row := make([]byte, 3*m.Info().Inputs[i].RowBytes())
		for n := range row {
			row[n] = byte(n % 2) // good for every type, truth values too
		}
		in.Data = append(in.Data, row)
	}
	out := answer(t, m, in)
	for i := range out.Data {
		if string(out.Data[i]) != string(in.Data[i]) {
			t.Errorf("output %s: got %x, want %x", m.Info().Outputs[i].Name, out.Data[i], in.Data[i])
		}
	}
}

func TestRepositoryRefuses(t *testing.T) {
	r := model.New(model.Options{
		Folders: []model.Folder{{FS: modeltest.Files(t), Origin: "testdata"}}, Opener: runtime(t), Workers: 2,
		Contract: model.Contract{SchemaSHA256: modeltest.SchemaSHA256},
	}, slog.New(slog.DiscardHandler))
	for name, want := range map[string]string{
		"not-onnx":          "not an ONNX model",
		"wrong-schema":      "this program computes " + modeltest.SchemaSHA256,
		"missing-output":    `output "energy" is missing`,
		"wrong-labels":      "3 columns, but there are 2 labels",
		"wrong-labels-open": "3 columns, but there are 2 labels",
		"nonsense":          `probability NaN of label "web"`,
		"halves-open":       `output "out_FP16" of FP16 has shape [-1 -1]`,
		"lost-rows":         "a run of 2 rows: ",
	} {
		err := r.Load(t.Context(), name, serving.VersionPolicy{})
		if !errors.Is(err, serving.ErrRefused) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "testdata/"+name+"/1/model.onnx: ") {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	for _, name := range []string{"good", "types", "halves"} {
		if err := r.Load(t.Context(), name, serving.VersionPolicy{All: true}); err != nil {
			t.Error(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestAFileThatOnlyLooksLikeOne(t *testing.T) {
	file := modeltest.File(t, "good/1")
	file = []byte(strings.ReplaceAll(string(file), "MatMul", "MatMal"))
	info, err := model.Inspect(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runtime(t).Open(t.Context(), file, info); err == nil || !strings.Contains(err.Error(), "MatMal") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyOneLibraryAProcess(t *testing.T) {
	if v := runtime(t).Version(); !strings.HasPrefix(v, "1.") {
		t.Errorf("version %q", v)
	}
	if _, err := onnx.Open("/nowhere/libonnxruntime.so"); !errors.Is(err, onnx.ErrNoRuntime) {
		t.Errorf("got %v", err)
	}
}
