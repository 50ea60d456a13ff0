package route

import (
	"bytes"
	"context"
	"sync/atomic"

	"sonde.example/internal/serving"
	"sonde.example/internal/telemetry"
)

// Outcome is what became of rows that the shadow was to run.
type Outcome string

// The outcomes. Agreement is about the label that a result would show, or that it shows none.
const (
	Agree   Outcome = "agree"
	Differ  Outcome = "differ"
	Dropped Outcome = "dropped" // it was behind
	Failed  Outcome = "failed"  // the run failed, or the shadow was gone
)

// Outcomes lists them.
func Outcomes() []Outcome { return []Outcome{Agree, Differ, Dropped, Failed} }

const (
	// maxShadowRows bounds the rows that wait for the shadow: two of the largest requests, some 13 MB.
	maxShadowRows = 2 * serving.MaxRequestRows
	// maxShadowRequests bounds the requests that they come in.
	maxShadowRequests = 256
)

// shadow is what waits to be compared.
type shadow struct {
	tasks chan task
	rows  atomic.Int64 // in tasks and under way
}

func newShadow() shadow { return shadow{tasks: make(chan task, maxShadowRequests)} }

// task is rows with the served version's answer, in memory of its own.
type task struct {
	model, version string
	served         *serving.Info
	in             *serving.Inputs
	probs, energy  []byte
}

// compare gives the shadow rows that the served version has answered, if it has room.
func (r *Router) compare(p *Plan, served *serving.Info, in *serving.Inputs, out *serving.Outputs) {
	probs, energy := out.Data[served.Output(serving.OutputProbs)], out.Data[served.Output(serving.OutputEnergy)]
	if probs == nil || energy == nil {
		return // nothing was answered that could be compared
	}
	if r.shadow.rows.Add(int64(in.Rows)) > maxShadowRows {
		r.done(Dropped, in.Rows)
		return
	}
	copied := &serving.Inputs{Rows: in.Rows, Data: make([][]byte, len(in.Data))}
	for i, data := range in.Data {
		copied.Data[i] = bytes.Clone(data)
	}
	select {
	case r.shadow.tasks <- task{p.Model, p.Shadow, served, copied, bytes.Clone(probs), bytes.Clone(energy)}:
	default:
		r.done(Dropped, in.Rows)
	}
}

// done counts rows that the shadow is done with.
func (r *Router) done(outcome Outcome, rows int) {
	r.shadow.rows.Add(-int64(rows))
	r.tell(outcome, rows)
}

func (r *Router) tell(outcome Outcome, rows int) {
	if r.opts.Compared != nil && rows > 0 {
		r.opts.Compared(outcome, rows)
	}
}

// Run runs the shadow until ctx ends, one request at a time: it takes at most one place in the queue.
func (r *Router) Run(ctx context.Context) error {
	for {
		select {
		case t := <-r.shadow.tasks:
			agree, err := r.run(ctx, &t)
			if err != nil {
				r.log.Debug("shadow", telemetry.KeyModelVersion, t.version, telemetry.KeyError, err)
				r.done(Failed, t.in.Rows)
				continue
			}
			r.shadow.rows.Add(-int64(t.in.Rows))
			r.tell(Agree, agree)
			r.tell(Differ, t.in.Rows-agree)
		case <-ctx.Done():
			return nil
		}
	}
}

// run counts the rows in which the shadow says what the served version said.
func (r *Router) run(ctx context.Context, t *task) (agree int, err error) {
	lease, err := r.opts.Models.Acquire(t.model, t.version)
	if err != nil {
		return 0, err
	}
	defer lease.Release()
	info := lease.Info()
	probs, energy := info.Output(serving.OutputProbs), info.Output(serving.OutputEnergy)
	out := &serving.Outputs{Data: make([][]byte, len(info.Outputs))}
	for _, i := range []int{probs, energy} {
		out.Data[i] = make([]byte, t.in.Rows*info.Outputs[i].RowBytes())
	}
	if err := r.opts.Predictor.Predict(ctx, lease, t.in, out, serving.CallOptions{Priority: serving.PriorityBulk}); err != nil {
		return 0, err
	}
	for row := range t.in.Rows {
		want, err := shown(t.served, t.probs, t.energy, row)
		if err != nil {
			return 0, err
		}
		got, err := shown(info, out.Data[probs], out.Data[energy], row)
		if err != nil {
			return 0, err
		}
		if got == want {
			agree++
		}
	}
	return agree, nil
}

// shown is the label that a result would show; empty when the model abstains.
func shown(info *serving.Info, probs, energy []byte, row int) (string, error) {
	values := make([]float32, len(info.Labels.Labels))
	for c := range values {
		values[c] = serving.Float32(probs, row*len(values)+c)
	}
	classification, err := info.Labels.Classify(values, serving.Float32(energy, row), 1)
	if err != nil || classification.GetUnknown() {
		return "", err
	}
	return classification.GetLabel(), nil
}
