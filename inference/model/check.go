package model

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"sonde.example/internal/serving"
)

const (
	// checkedRows is how many rows Check compares alone and in a batch.
	checkedRows = 64
	// MaxProbabilityDifference is the most by which a probability of a row that is run alone may differ from the same row's
	// in a batch.
	MaxProbabilityDifference = 1e-6
	// MaxBatchDifference is that of any other number, relative to those greater than 1: engines add up in another order for
	// another number of rows.
	MaxBatchDifference = 1e-5
	// timedRuns and timedFor bound a measurement of latency: at least the one, and at least the other.
	timedRuns = 5
	timedFor  = 50 * time.Millisecond
)

// Checked is what Check has found out about a file.
type Checked struct {
	// Info is what the file says of itself, once opened with what it leaves open filled in; nil when it could not be read.
	Info *serving.Info
	// BatchDifference is by how much the numbers of rows run alone and in a batch differ at most, relative to those greater
	// than 1; of a classifier its probabilities only.
	BatchDifference float64
	// Latencies of runs by one worker with one thread, by rising number of rows.
	Latencies []Latency
}

// Latency is how long rows take.
type Latency struct {
	// Rows of a request. More than a run takes are run in parts.
	Rows int
	// PerRow is that of the fastest of several runs, divided by the rows: others tell more of the machine than of the model.
	PerRow time.Duration
}

// CheckOptions say what Check does.
type CheckOptions struct {
	// Opener opens the file.
	Opener Opener
	// Contract is what a classifier must keep.
	Contract Contract
	// Sample makes rows that a model may meet when it serves.
	Sample func(info *serving.Info, rows int) *serving.Inputs
	// Rows are the sizes of requests to measure.
	Rows []int
}

// Check does with a file what a repository does before it lets it serve, and more that needs no deadline: rows as they
// come in service instead of zeros, alone and in a batch; and measures how long they take. The error wraps ErrRefused when
// the file must not be served or answers are not what they have to be; what was found out until then is returned with it.
func Check(ctx context.Context, file io.Reader, o CheckOptions) (_ *Checked, err error) {
	c := &Checked{}
	data, err := readAll(file)
	if err != nil {
		return c, err
	}
	refused := func(err error) error {
		if err == nil || ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("%w: %w", serving.ErrRefused, err)
	}
	if c.Info, err = Inspect(data); err != nil {
		return c, refused(err)
	}
	c.Info.Name, c.Info.Version = "checked", 1
	if err := o.Contract.Check(c.Info); err != nil {
		return c, refused(err)
	}
	m, err := o.Opener.Open(ctx, data, c.Info)
	if err != nil {
		return c, refused(err)
	}
	v, err := newVersion(ctx, m, &Options{Contract: o.Contract, Workers: 1})
	if err != nil {
		return c, refused(err)
	}
	defer func() { err = errors.Join(err, v.close()) }()
	c.Info = v.Info()
	if err := c.compare(ctx, v.Runner(0), o.Sample(c.Info, checkedRows)); err != nil {
		return c, refused(err)
	}
	for _, rows := range o.Rows {
		l, err := measure(ctx, c.Info, v.Runner(0), o.Sample(c.Info, rows))
		if err != nil {
			return c, refused(err)
		}
		c.Latencies = append(c.Latencies, l)
	}
	return c, nil
}

// compare runs rows together and one by one.
func (c *Checked) compare(ctx context.Context, r serving.Runner, in *serving.Inputs) error {
	together := serving.NewOutputs(c.Info, in.Rows)
	if err := r.Run(ctx, in, together); err != nil {
		return err
	}
	for row := range in.Rows {
		if c.Info.Classifier() {
			if err := plausible(c.Info, together, row); err != nil {
				return fmt.Errorf("a row as it comes in service, with NaN where a feature is absent: %w", err)
			}
		}
		one := &serving.Inputs{Rows: 1, Data: cutRow(in.Data, c.Info.Inputs, row)}
		alone := serving.NewOutputs(c.Info, 1)
		if err := r.Run(ctx, one, alone); err != nil {
			return err
		}
		for i, values := range cutRow(together.Data, c.Info.Outputs, row) {
			o, most := c.Info.Outputs[i], MaxBatchDifference
			if c.Info.Classifier() && o.Name == serving.OutputProbs {
				most = MaxProbabilityDifference
			}
			d := difference(o.Type, alone.Data[i], values)
			if d > most {
				return fmt.Errorf("output %q of a row that is run alone differs by %.2g from the same row's in a batch of %d, at most %.0e is right: "+
					"rows must not influence each other", o.Name, d, in.Rows, most)
			}
			if !c.Info.Classifier() || o.Name == serving.OutputProbs {
				c.BatchDifference = max(c.BatchDifference, d)
			}
		}
	}
	return nil
}

func cutRow(data [][]byte, tensors []serving.Tensor, row int) [][]byte {
	cut := make([][]byte, len(data))
	for i := range data {
		_, rest := tensors[i].Cut(data[i], row)
		cut[i], _ = tensors[i].Cut(rest, 1)
	}
	return cut
}

// difference is the greatest between the elements of two rows; +Inf when what is not compared as a number differs.
func difference(t serving.DataType, a, b []byte) float64 {
	greatest := 0.0
	switch t {
	case serving.FP32:
		for i := range len(a) / 4 {
			greatest = max(greatest, apart(float64(serving.Float32(a, i)), float64(serving.Float32(b, i))))
		}
	case serving.FP64:
		for i := range len(a) / 8 {
			x, y := uint64(serving.Integer64(a, i)), uint64(serving.Integer64(b, i))
			greatest = max(greatest, apart(math.Float64frombits(x), math.Float64frombits(y)))
		}
	default:
		if !slices.Equal(a, b) {
			return math.Inf(1)
		}
	}
	return greatest
}

func apart(a, b float64) float64 {
	if a == b || math.IsNaN(a) && math.IsNaN(b) {
		return 0
	}
	d := math.Abs(a-b) / max(1, math.Abs(a), math.Abs(b))
	if math.IsNaN(d) { // one of them only
		return math.Inf(1)
	}
	return d
}

// measure runs rows again and again.
func measure(ctx context.Context, info *serving.Info, r serving.Runner, in *serving.Inputs) (Latency, error) {
	out := serving.NewOutputs(info, in.Rows)
	fastest := time.Duration(math.MaxInt64)
	began := time.Now()
	for runs := 0; runs < timedRuns || time.Since(began) < timedFor; runs++ {
		start := time.Now()
		if err := r.Run(ctx, in, out); err != nil {
			return Latency{}, err
		}
		fastest = min(fastest, time.Since(start))
	}
	return Latency{Rows: in.Rows, PerRow: fastest / time.Duration(in.Rows)}, nil
}
