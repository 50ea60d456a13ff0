// Package model holds the models of the inference daemon: finding them in a
// repository, checking and warming them up, swapping a new one for an old one
// under load, and letting the old one go when the last request has left it.
//
// A file comes in and a Lease goes out. A Repository reads
// <model>/<version>/model.onnx, looks at the file without running it (Inspect),
// opens it with the one engine the process has (an Opener, in package onnx),
// checks the promises that classifiers make (see Contract), runs it at every size
// it will be asked for, and only then puts it in the place of the version that
// was there. A file that fails anywhere on this way changes nothing: the old
// version goes on and the error names the file and what is wrong with it.
// Whoever wants to run rows acquires a Lease; a version that was replaced closes
// when its last lease is released. Nothing here waits in a queue: that is the
// batcher's work.
//
// What a row looks like comes from the model's own file.
package model

import (
	"context"

	"sonde.example/internal/serving"
)

// Model is one opened version. Many goroutines may use it; a Runner belongs to
// one.
type Model interface {
	// Info tells what the model is. It never changes and is not to be changed.
	Info() *serving.Info
	// NewRunner makes a runner with buffers of its own, made once.
	NewRunner() (serving.Runner, error)
	// Close waits until every runner is closed and frees the model.
	Close() error
}

// Opener opens a model file; package onnx has the one that serves.
type Opener interface {
	// Open makes a model of a file that Inspect has passed. The bytes are only
	// read during the call. info is the opener's to complete (dimensions of
	// outputs that the file leaves open, MaxRows) and to keep.
	Open(ctx context.Context, file []byte, info *serving.Info) (Model, error)
}
