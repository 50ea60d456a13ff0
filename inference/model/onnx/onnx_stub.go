//go:build !cgo

package onnx

import (
	"context"
	"fmt"

	"sonde.example/inference/model"
	"sonde.example/internal/serving"
)

// Runtime opens nothing in a program built without cgo.
type Runtime struct{}

var _ model.Opener = (*Runtime)(nil)

// Open returns ErrNoRuntime.
func Open(string) (*Runtime, error) {
	return nil, fmt.Errorf("%w: this program was built without cgo", ErrNoRuntime)
}

// Version is empty.
func (*Runtime) Version() string { return "" }

// Open returns ErrNoRuntime.
func (*Runtime) Open(context.Context, []byte, *serving.Info) (model.Model, error) {
	return nil, ErrNoRuntime
}
