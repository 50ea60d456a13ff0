package modeltest

import (
	"testing"

	"sonde.example/internal/service"
)

// Library is the path of ONNX Runtime's library for tests, from
// SONDE_ONNXRUNTIME. A test that needs it does not run without it, and fails.
func Library(tb testing.TB) string {
	tb.Helper()
	path, _ := service.Environment("SONDE_ONNXRUNTIME")
	if path == "" {
		tb.Fatal("this test needs ONNX Runtime: run `make deps`, or set SONDE_ONNXRUNTIME to the path of libonnxruntime.so")
	}
	return path
}
