package models

import (
	"bytes"
	"io/fs"
	"testing"

	"sonde.example/internal/feature"
)

// TestShippedModelFitsTheFeatures fails when features changed and the model was not trained again.
func TestShippedModelFitsTheFeatures(t *testing.T) {
	model, err := fs.ReadFile(FS(), "sonde/1/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(model, []byte(feature.SchemaSHA256())) || !bytes.Contains(model, feature.Schema()) {
		t.Errorf("the model was not trained on feature schema %s", feature.SchemaSHA256())
	}
	if len(model) > 5_000_000 {
		t.Errorf("the model has %d bytes", len(model))
	}
}
