package inference_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sonde.example/inference"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/feature"
	"sonde.example/internal/serving"
)

// repository writes a folder of models: two versions that are good, one of a plain model, and one that is none.
func repository(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "models [of mine]")
	write := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(dir, name, "model.onnx")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for path, file := range modeltest.Trained(t, "sonde", feature.SchemaSHA256()) {
		write(filepath.Dir(path), file.Data)
	}
	write("types/1", modeltest.File(t, "types/1"))
	write("broken/1", []byte("nothing"))
	return dir
}

func TestCheckModels(t *testing.T) {
	dir := repository(t)
	for path, want := range map[string][]string{
		"":                   {"broken/1/model.onnx refused", "sonde/1/model.onnx classifies", "sonde/2/model.onnx classifies", "types/1/model.onnx has tensors"},
		"sonde":              {"sonde/1/model.onnx classifies", "sonde/2/model.onnx classifies"},
		"sonde/2":            {"sonde/2/model.onnx classifies"},
		"sonde/1/model.onnx": {"sonde/1/model.onnx classifies"},
	} {
		files, err := inference.CheckModels(t.Context(), filepath.Join(dir, path), modeltest.Library(t), []int{1, 64, 256})
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		var got []string
		for _, f := range files {
			name, err := filepath.Rel(dir, f.Path)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case errors.Is(f.Err, serving.ErrRefused):
				name += " refused"
			case f.Err != nil || len(f.Latencies) != 3:
				t.Errorf("%s: %v, latencies %v", name, f.Err, f.Latencies)
			case f.Info.Classifier():
				name += " classifies"
			default:
				name += " has tensors"
			}
			got = append(got, name)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}

func TestCheckModelsFindsNothing(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{dir: "no model.onnx in it", filepath.Join(dir, "nowhere"): "no such file"} {
		if _, err := inference.CheckModels(t.Context(), path, modeltest.Library(t), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckModels(%s) = %v, want %q", path, err, want)
		}
	}
}

// The model that ships is served, and its rows do not influence each other.
func TestTheShippedModelPasses(t *testing.T) {
	files, err := inference.CheckModels(t.Context(), "models", modeltest.Library(t), []int{1})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Err != nil || !f.Info.Classifier() {
			t.Errorf("%s: %v", f.Path, f.Err)
		}
		t.Logf("%s: rows alone differ by %.2g from rows in a batch", f.Path, f.BatchDifference)
	}
}
