// Package serving is what the stages of the inference daemon say to each other: the
// forms of tensors, rows on their way through a model, what a model is, the lease
// that keeps one loaded, what it has done, and how far what it sees has moved from
// what it was trained on. Package model makes leases, the batcher uses their
// runners, and both services only know these words.
//
// Tensors are bytes, little-endian and row-major, as they travel in the Open
// Inference Protocol's raw contents, and their first dimension is always the row.
package serving

import (
	"context"
	"errors"
	"time"
)

// MaxRunRows is the most rows that one run of an engine ever sees. ONNX Runtime
// keeps the memory of its biggest run for ever (one of 4,096 rows held 140 MB),
// and a run whose memory does not fit into a core's cache is slower: of the model
// that ships, 128 rows take 7 us each, 64 take 9, and 256 take 10.
const MaxRunRows = 128

// MaxRequestRows is the most rows of one request. A request of more rows than a
// run takes is split; this bounds what one caller can put into the queue at once.
const MaxRequestRows = 4096

// What can go wrong on the way of a request. Each is wrapped with what was being
// asked for.
var (
	// ErrNotFound says that no such model, or no such version of it, is loaded
	// or lies in the repository.
	ErrNotFound = errors.New("model not found")
	// ErrRefused says that a file was read and must not be served.
	ErrRefused = errors.New("model refused")
	// ErrFull says that the rows of a request do not fit into the queue. Nothing
	// was run.
	ErrFull = errors.New("exceeds maximum queue size")
	// ErrTimeout says that a request waited in the queue for longer than it
	// wanted to. Nothing was run.
	ErrTimeout = errors.New("request timeout expired")
	// ErrClosed says that the repository or the batcher takes no more work.
	ErrClosed = errors.New("inference is shutting down")
)

// Runner runs rows through a model. One goroutine uses it at a time.
type Runner interface {
	// Run fills one row of out for each row of in, and keeps neither. More rows
	// than Info.MaxRows are run in several parts; ctx is looked at before each.
	// After an error the contents of out mean nothing and the runner goes on
	// being good.
	Run(ctx context.Context, in *Inputs, out *Outputs) error
	// Close frees the buffers. The runner must not be used any more.
	Close() error
}

// Lease keeps one loaded version of a model alive. Whoever acquired it releases
// it, once. Many goroutines may use one.
type Lease interface {
	// Info tells what the model is.
	Info() *Info
	// Runner is the runner that belongs to one of the workers, from 0. Only that
	// worker uses it, one run at a time, and only while there is a lease.
	Runner(worker int) Runner
	// Stats counts what the version has done; two leases are of the same loaded
	// version, whose rows can run together, when their Stats are the same.
	Stats() *Stats
	// Drift counts what the version sees, to be compared with what it was trained on;
	// nil when the file has no reference.
	Drift() *Drift
	// Release gives the lease back. The last one of a version that was replaced or
	// unloaded closes it.
	Release()
}

// CallOptions say how a request wants to be run. The zero value is sound.
type CallOptions struct {
	// Priority is PriorityInteractive or PriorityBulk; any other number, 0 among
	// them, counts as bulk.
	Priority uint64
	// Timeout is how long the request may wait in the queue; 0 means as long as
	// its context lets it.
	Timeout time.Duration
	// MadeUp rows are no traffic: they are not counted as it, nor compared by a shadow.
	MadeUp bool
}

// Priorities: what is interactive is run before what is bulk.
const (
	PriorityInteractive = 1
	PriorityBulk        = 2
	PriorityLevels      = 2
)

// Inputs are rows on their way in.
type Inputs struct {
	// Rows counts them, at least 1.
	Rows int
	// Data has an entry for each of Info.Inputs, in that order: Rows times
	// RowBytes bytes. The caller owns them and leaves them alone during a run.
	Data [][]byte
}

// Outputs are rows on their way out.
type Outputs struct {
	// Data has an entry for each of Info.Outputs, in that order: rows times
	// RowBytes bytes, made and owned by the caller. A nil entry is an output that
	// nobody wants. One of Bytes that is wanted may be of any length, if it is not
	// nil: a run puts its own there.
	Data [][]byte
}

// NewOutputs makes room for the given rows of every output.
func NewOutputs(info *Info, rows int) *Outputs {
	total := 0
	for i := range info.Outputs {
		total += rows * info.Outputs[i].RowBytes()
	}
	room, data := make([]byte, total), make([][]byte, len(info.Outputs))
	for i := range info.Outputs {
		n := rows * info.Outputs[i].RowBytes()
		data[i], room = room[:n:n], room[n:]
	}
	return &Outputs{Data: data}
}

// Fit says whether in and out have the forms that info asks for; engines call it
// first, so that a wrong length can never become a wrong read in C.
func Fit(info *Info, in *Inputs, out *Outputs) error {
	if in.Rows < 1 || len(in.Data) != len(info.Inputs) || len(out.Data) != len(info.Outputs) {
		return errors.New("rows and tensors do not fit the model")
	}
	for i := range in.Data {
		if !info.Inputs[i].Fits(in.Data[i], in.Rows) {
			return errors.New("input " + info.Inputs[i].Name + " has a wrong length")
		}
	}
	for i := range out.Data {
		if out.Data[i] != nil && info.Outputs[i].Type != Bytes && len(out.Data[i]) != in.Rows*info.Outputs[i].RowBytes() {
			return errors.New("output " + info.Outputs[i].Name + " has a wrong length")
		}
	}
	return nil
}
