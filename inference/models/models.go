// Package models holds the model that ships with Sonde, in the layout of a model repository: MODEL/VERSION/model.onnx. Its
// card, with what it was trained on and what it is worth, lies beside it. Files that an operator gives win over it.
package models

import (
	"embed"
	"io/fs"
)

//go:embed sonde/1/model.onnx
var files embed.FS

// FS returns the repository. It never changes, and any number of goroutines may read it.
func FS() fs.FS { return files }
