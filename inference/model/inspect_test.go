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
)

func TestInspectReadsWhatTheFileSays(t *testing.T) {
	info, err := model.Inspect(modeltest.File(t, "good/1"))
	if err != nil {
		t.Fatal(err)
	}
	got := struct {
		In, Out []model.Tensor
		Labels  []model.Label
		Cal     model.Calibration
		Schema  string
	}{info.Inputs, info.Outputs, info.Labels, info.Calibration, info.SchemaSHA256}
	want := got
	want.In = []model.Tensor{
		{Name: "bytes", Type: model.Uint8, Dims: []int64{784}},
		{Name: "series", Type: model.FP32, Dims: []int64{4, 24}},
		{Name: "meta", Type: model.FP32, Dims: []int64{96}},
	}
	want.Out = []model.Tensor{
		{Name: "probs", Type: model.FP32, Dims: []int64{3}},
		{Name: "energy", Type: model.FP32, Dims: []int64{}},
		{Name: "label", Type: model.Int64, Dims: []int64{}},
	}
	want.Labels = []model.Label{{"web", "web"}, {"mail", "messages"}, {"dns", ""}}
	want.Cal = model.Calibration{Temperature: 1, UnknownBelow: []float64{0.4}}
	want.Schema = modeltest.SchemaSHA256
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
		"strings/1":         `"x" has elements of ONNX type 8`,
		"sequence/1":        `"y" is a sequence or a map`,
		"no-labels/1":       "metadata sonde.labels: missing",
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

func TestCalibrationSaysUnknown(t *testing.T) {
	energy := -1.0
	for name, c := range map[string]struct {
		calibration model.Calibration
		label       int
		p, energy   float64
		want        bool
	}{
		"nothing known":      {model.Calibration{}, 1, 0, 9, false},
		"one threshold":      {model.Calibration{UnknownBelow: []float64{0.5}}, 7, 0.4, 0, true},
		"likely enough":      {model.Calibration{UnknownBelow: []float64{0.5}}, 7, 0.5, 0, false},
		"one for each":       {model.Calibration{UnknownBelow: []float64{0.1, 0.9}}, 1, 0.8, 0, true},
		"another one's":      {model.Calibration{UnknownBelow: []float64{0.1, 0.9}}, 0, 0.8, 0, false},
		"too foreign":        {model.Calibration{UnknownAbove: &energy}, 0, 1, -0.5, true},
		"foreign and likely": {model.Calibration{UnknownBelow: []float64{0.5}, UnknownAbove: &energy}, 0, 0.9, -2, false},
	} {
		if got := c.calibration.Unknown(c.label, c.p, c.energy); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
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
			if n := info.Inputs[i].RowBytes(); n <= 0 || n > 16<<20 {
				t.Fatalf("a row of %d bytes passed", n)
			}
		}
	})
}
