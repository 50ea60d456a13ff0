//go:build cgo

package onnx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"sonde.example/inference/model"
	"sonde.example/internal/serving"
)

// libraryName is what the library is called beside the executable and for the
// loader.
const libraryName = "libonnxruntime.so"

// maxBufferBytes bounds the buffers of one tensor of one runner; models with
// large rows get fewer of them a run.
const maxBufferBytes = 32 << 20

// Runtime is the library, loaded. All of a process share it.
type Runtime struct{}

var _ model.Opener = (*Runtime)(nil)

// environment is the one that ONNX Runtime allows a process. It is never
// destroyed: sessions of two Runtimes may live at the same time.
var environment struct { //nolint:gochecknoglobals // ONNX Runtime allows one a process
	sync.Mutex
	library string // what it was opened from; empty before
}

// Open loads the library: from the path given; if that is empty, from beside the
// executable, else by the loader's own search. A process can have only one: a
// second call with another path fails. The error is ErrNoRuntime and says what to
// do.
func Open(library string) (*Runtime, error) {
	environment.Lock()
	defer environment.Unlock()
	if environment.library != "" {
		if library != "" && library != environment.library {
			return nil, fmt.Errorf("%w: %s is wanted, but the process has already loaded %s", ErrNoRuntime, library, environment.library)
		}
		return &Runtime{}, nil
	}
	if library == "" {
		library = search()
	}
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return nil, fmt.Errorf("%w: %w (version 1.24 or newer is needed; --onnxruntime or SONDE_ONNXRUNTIME names the file, `make deps` fetches it)", ErrNoRuntime, err)
	}
	environment.library = library
	return &Runtime{}, nil
}

func search() string {
	if exe, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(exe), libraryName)
		if _, err := os.Stat(beside); err == nil {
			return beside
		}
	}
	return libraryName
}

// Version is the library's, such as 1.24.4.
func (*Runtime) Version() string { return ort.GetVersion() }

// Open makes a session of the file. The dimensions of outputs that the file
// leaves open are found out by running one row.
func (*Runtime) Open(ctx context.Context, file []byte, info *serving.Info) (_ model.Model, err error) {
	options, err := sessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, options.Destroy()) }()
	inputs, outputs := names(info.Inputs), names(info.Outputs)
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(file, inputs, outputs, options)
	if err != nil {
		return nil, fmt.Errorf("ONNX Runtime %s: %w", ort.GetVersion(), err)
	}
	m := &onnxModel{info: info, session: session}
	if err := m.measure(ctx); err != nil {
		return nil, errors.Join(err, session.Destroy())
	}
	return m, nil
}

func names(tensors []serving.Tensor) []string {
	all := make([]string, len(tensors))
	for i := range tensors {
		all[i] = tensors[i].Name
	}
	return all
}

// sessionOptions: one thread that does not spin, for parallel runs come from
// several workers.
func sessionOptions() (*ort.SessionOptions, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		o.SetIntraOpNumThreads(1),
		o.SetInterOpNumThreads(1),
		o.SetExecutionMode(ort.ExecutionModeSequential),
		o.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		o.AddSessionConfigEntry("session.inter_op.allow_spinning", "0"),
	)
	if err != nil {
		return nil, errors.Join(err, o.Destroy())
	}
	return o, nil
}
