package model_test

import (
	"bytes"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sonde.example/inference/model"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/label"
	"sonde.example/internal/serving"
)

func TestInspectReadsWhatTheFileSays(t *testing.T) {
	info, err := model.Inspect(modeltest.File(t, "good/1"))
	if err != nil {
		t.Fatal(err)
	}
	got := struct {
		In, Out []serving.Tensor
		Labels  *label.Set
	}{info.Inputs, info.Outputs, info.Labels}
	want := got
	want.In = []serving.Tensor{
		{Name: "bytes", Type: serving.Uint8, Dims: []int64{784}},
		{Name: "series", Type: serving.FP32, Dims: []int64{4, 24}},
		{Name: "meta", Type: serving.FP32, Dims: []int64{96}},
	}
	want.Out = []serving.Tensor{
		{Name: "probs", Type: serving.FP32, Dims: []int64{3}},
		{Name: "energy", Type: serving.FP32, Dims: []int64{}},
		{Name: "label", Type: serving.Int64, Dims: []int64{}},
	}
	want.Labels = &label.Set{
		Labels:       []label.Label{{Name: "web", Category: "web"}, {Name: "mail", Category: "messages"}, {Name: "dns"}},
		SchemaSHA256: modeltest.SchemaSHA256, Temperature: 1, UnknownBelow: []float64{0.4},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := info.Inputs[1].RowBytes(); n != 4*24*4 {
		t.Errorf("a row of series has %d bytes", n)
	}
}

func TestInspectRefusesWhatCannotBeServed(t *testing.T) {
	for name, want := range map[string]string{
		"not-onnx/1":        "not an ONNX model",
		"external-data/1":   `weight "w" lies in another file: external data is not supported`,
		"custom-operator/1": `custom operators of domain "evil"`,
		"fixed-rows/1":      `"x" has shape [1 3]: the first dimension must be open`,
		"sequence/1":        `"y" is a sequence or a map`,
		"no-labels/1":       "metadata sonde.labels: ",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := model.Inspect(modeltest.File(t, name))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
	if _, err := model.Inspect(nil); err == nil {
		t.Error("an empty file passed")
	}
}

func FuzzInspect(f *testing.F) {
	err := fs.WalkDir(modeltest.Files(f), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			f.Add(modeltest.File(f, path.Dir(p)))
		}
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		info, err := model.Inspect(data)
		if !bytes.Equal(before, data) {
			t.Fatal("the file was changed")
		}
		if err != nil {
			return
		}
		for _, tensor := range append(info.Inputs, info.Outputs...) {
			if !tensor.Type.Valid() || tensor.RowElements() == 0 {
				t.Fatalf("tensor %+v passed", tensor)
			}
		}
		for i := range info.Inputs {
			if n := info.Inputs[i].RowRoom(); n <= 0 || n > 16<<20 {
				t.Fatalf("a row of %d bytes passed", n)
			}
		}
	})
}
