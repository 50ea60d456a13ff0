// Package onnx opens models with ONNX Runtime.
//
// The library is found at run time, once a process: at the path given, else as
// libonnxruntime.so beside the executable, else wherever the loader looks. Each
// model is one session with one thread and without spinning, since the batcher
// already has a worker a core; each runner has buffers in C's memory, made once,
// into which rows are copied (100 KB for 64 sessions: nothing beside the run), so
// that no pointer into Go's memory ever stays with C. A run never has more than
// serving.MaxRunRows rows, because the runtime keeps the memory of its biggest run.
//
// Without cgo the package compiles and Open says ErrNoRuntime.
package onnx

import "errors"

// ErrNoRuntime says that the ONNX Runtime library was not found, or is too old,
// or that the program was built without cgo.
var ErrNoRuntime = errors.New("no ONNX Runtime")
