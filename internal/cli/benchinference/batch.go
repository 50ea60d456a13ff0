//go:build linux

package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	kservev2 "sonde.example/gen/go/inference"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/serving"
)

// tolerance is how far a probability may be from ONNX Runtime's.
const tolerance = 1e-5

// batch is one request in every form that a server here takes, made before anything is measured, and what ONNX Runtime
// answers to it.
type batch struct {
	rows     int
	in       *serving.Inputs // in the order of the model's inputs
	infer    *kservev2.ModelInferRequest
	classify *inferencev1.ClassifyRequest
	json     []byte // as people write to Flask
	binary   []byte // bytes, series and meta of all rows, raw

	probs  []float32 // [rows, labels], by ONNX Runtime
	labels []string
}

// makeBatches draws sessions at random into requests of so many rows.
func makeBatches(random *rand.Rand, info *serving.Info, sessions []*inferencev1.Session, count, rows int) ([]*batch, error) {
	all := make([]*batch, count)
	for n := range all {
		picked := make([]*inferencev1.Session, rows)
		for i := range picked {
			picked[i] = sessions[random.IntN(len(sessions))]
		}
		var err error
		if all[n], err = makeBatch(info, picked); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func makeBatch(info *serving.Info, sessions []*inferencev1.Session) (*batch, error) {
	var (
		work                feature.Session
		row                 feature.Row
		bytes, series, meta []byte
		text                = []byte(`{"instances":[`)
	)
	for i, session := range sessions {
		if err := work.FromNative(session); err != nil {
			return nil, err
		}
		work.Extract(&row)
		bytes = append(bytes, row.Bytes[:]...)
		series, meta = appendFloats(series, row.Series[:]), appendFloats(meta, row.Meta[:])
		if i > 0 {
			text = append(text, ',')
		}
		text = appendJSON(text, &row)
	}
	b := &batch{rows: len(sessions), json: append(text, "]}"...), binary: slices.Concat(bytes, series, meta)}
	b.in = &serving.Inputs{Rows: b.rows, Data: make([][]byte, len(info.Inputs))}
	tensors := map[string][]byte{feature.TensorBytes: bytes, feature.TensorSeries: series, feature.TensorMeta: meta}
	b.infer = &kservev2.ModelInferRequest{
		ModelName: info.Name,
		Outputs:   []*kservev2.ModelInferRequest_InferRequestedOutputTensor{{Name: serving.OutputProbs}, {Name: serving.OutputEnergy}},
	}
	for i := range info.Inputs {
		form := &info.Inputs[i]
		b.in.Data[i] = tensors[form.Name]
		b.infer.Inputs = append(b.infer.Inputs, &kservev2.ModelInferRequest_InferInputTensor{
			Name: form.Name, Datatype: form.Type.String(), Shape: form.ShapeOf(b.rows),
		})
		b.infer.RawInputContents = append(b.infer.RawInputContents, b.in.Data[i])
	}
	b.classify = &inferencev1.ClassifyRequest{Sessions: sessions}
	for _, l := range info.Labels.Labels {
		b.labels = append(b.labels, l.Name)
	}
	return b, nil
}

func appendFloats(to []byte, values []float32) []byte {
	for _, v := range values {
		to = binary.LittleEndian.AppendUint32(to, math.Float32bits(v))
	}
	return to
}

// appendJSON writes a row as {"bytes": [...], "series": [[...], ...], "meta": [...]}. NaN stands as NaN, which Python
// writes and reads.
func appendJSON(text []byte, row *feature.Row) []byte {
	text = append(text, `{"bytes":[`...)
	for i, v := range row.Bytes {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendUint(text, uint64(v), 10)
	}
	text = append(text, `],"series":[`...)
	for i := range feature.SeriesRows {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendNumbers(text, row.Series[i*feature.MaxPackets:(i+1)*feature.MaxPackets])
	}
	text = append(text, `],"meta":`...)
	return append(appendNumbers(text, row.Meta[:]), '}')
}

func appendNumbers(text []byte, values []float32) []byte {
	for i, v := range values {
		separator := byte(',')
		if i == 0 {
			separator = '['
		}
		text = strconv.AppendFloat(append(text, separator), float64(v), 'g', -1, 32)
	}
	return append(text, ']')
}

// checkRaw compares raw probabilities with ONNX Runtime's.
func (b *batch) checkRaw(probs []byte) error {
	if len(probs) != 4*len(b.probs) {
		return fmt.Errorf("%d bytes of probabilities came, %d were expected", len(probs), 4*len(b.probs))
	}
	values := make([]float32, len(b.probs))
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(probs[4*i:]))
	}
	return b.check(values)
}

func (b *batch) check(values []float32) error {
	if len(values) != len(b.probs) {
		return fmt.Errorf("%d probabilities came, %d were expected", len(values), len(b.probs))
	}
	for i, got := range values {
		if !(math.Abs(float64(got-b.probs[i])) <= tolerance) {
			return fmt.Errorf("row %d: probability of %s is %v, ONNX Runtime says %v", i/len(b.labels), b.labels[i%len(b.labels)], got, b.probs[i])
		}
	}
	for row := range b.rows {
		from, to := row*len(b.labels), (row+1)*len(b.labels)
		if got, want := largest(values[from:to]), largest(b.probs[from:to]); got != want {
			return fmt.Errorf("row %d: the most probable label is %s, ONNX Runtime says %s", row, b.labels[got], b.labels[want])
		}
	}
	return nil
}

// checkLabels compares what the classifier service says.
func (b *batch) checkLabels(classifications []*flowv1.Classification) error {
	if len(classifications) != b.rows {
		return fmt.Errorf("%d classifications came for %d sessions", len(classifications), b.rows)
	}
	for row, c := range classifications {
		want := b.probs[row*len(b.labels) : (row+1)*len(b.labels)]
		if got := c.GetLabel(); got != b.labels[largest(want)] {
			return fmt.Errorf("session %d is said to be %s, ONNX Runtime says %s", row, got, b.labels[largest(want)])
		}
		for _, l := range c.GetTop() {
			i := slices.Index(b.labels, l.GetName())
			if i < 0 || math.Abs(float64(l.GetProbability()-want[i])) > tolerance {
				return fmt.Errorf("session %d: label %s has probability %v, ONNX Runtime says otherwise", row, l.GetName(), l.GetProbability())
			}
		}
	}
	return nil
}

// checkJSON compares what Flask says.
func (b *batch) checkJSON(body []byte) error {
	var answer struct{ Probs [][]float32 }
	if err := json.Unmarshal(body, &answer); err != nil {
		return errors.Join(errors.New("the answer is no JSON"), err)
	}
	return b.check(slices.Concat(answer.Probs...))
}

func largest(values []float32) int {
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return best
}
