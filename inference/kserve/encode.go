package kserve

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
)

// wanted is one output that a request asks for.
type wanted struct {
	output  int // in Info.Outputs
	classes int // how many of the largest, as text; 0: the values
}

// wantedOutputs reads which outputs a request asks for; none means all.
func wantedOutputs(info *serving.Info, outputs []*kservev2.ModelInferRequest_InferRequestedOutputTensor) ([]wanted, error) {
	if len(outputs) == 0 {
		all := make([]wanted, len(info.Outputs))
		for i := range all {
			all[i].output = i
		}
		return all, nil
	}
	if len(outputs) > len(info.Outputs) {
		return nil, rpc.InvalidArgument("outputs", "model %q has %d outputs, %d are asked for", info.Name, len(info.Outputs), len(outputs))
	}
	var all []wanted
	for n, o := range outputs {
		field := func(name string) string { return fmt.Sprintf("outputs[%d].%s", n, name) }
		w := wanted{output: info.Output(o.GetName())}
		if w.output < 0 {
			return nil, rpc.InvalidArgument(field("name"), "model %q has no output %q", info.Name, o.GetName())
		}
		if slices.ContainsFunc(all, func(other wanted) bool { return other.output == w.output }) {
			return nil, rpc.InvalidArgument(field("name"), "output %q is asked for twice", o.GetName())
		}
		if _, ok := o.GetParameters()["shared_memory_region"]; ok {
			return nil, rpc.InvalidArgument(field("parameters"), "output %q: shared memory is not supported", o.GetName())
		}
		if p, ok := o.GetParameters()["classification"]; ok {
			k, ok := whole(p)
			if !ok || k < 1 {
				return nil, rpc.InvalidArgument(field("parameters[classification]"), "must be a whole number, at least 1")
			}
			form := &info.Outputs[w.output]
			if _, ok := number(form.Type, make([]byte, 8), 0); !ok {
				return nil, rpc.InvalidArgument(field("parameters[classification]"), "output %q of %s cannot be classified", form.Name, form.Type)
			}
			w.classes = int(min(k, uint64(form.RowElements())))
		}
		all = append(all, w)
	}
	return all, nil
}

// room makes room for the outputs wanted.
func room(info *serving.Info, all []wanted, rows int) *serving.Outputs {
	total := 0
	for _, w := range all {
		total += rows * info.Outputs[w.output].RowBytes()
	}
	memory, out := make([]byte, total), &serving.Outputs{Data: make([][]byte, len(info.Outputs))}
	for _, w := range all {
		n := rows * info.Outputs[w.output].RowBytes()
		out.Data[w.output], memory = memory[:n:n], memory[n:]
	}
	return out
}

// encode writes the answer.
func encode(info *serving.Info, id string, all []wanted, rows int, out *serving.Outputs) (*kservev2.ModelInferResponse, error) {
	r := &kservev2.ModelInferResponse{
		ModelName: info.Name, ModelVersion: info.VersionString(), Id: id,
		Outputs:           make([]*kservev2.ModelInferResponse_InferOutputTensor, len(all)),
		RawOutputContents: make([][]byte, len(all)),
	}
	for n, w := range all {
		form := &info.Outputs[w.output]
		r.Outputs[n] = &kservev2.ModelInferResponse_InferOutputTensor{Name: form.Name, Datatype: form.Type.String(), Shape: form.ShapeOf(rows)}
		r.RawOutputContents[n] = out.Data[w.output]
		if w.classes > 0 {
			r.Outputs[n].Datatype, r.Outputs[n].Shape = "BYTES", []int64{int64(rows), int64(w.classes)}
			r.RawOutputContents[n] = classify(info, w, rows, out.Data[w.output])
		}
	}
	return r, nil
}

// classify writes the largest elements of each row, the largest first, as BYTES
// "value:index:label"; without the label where there is none.
func classify(info *serving.Info, w wanted, rows int, data []byte) []byte {
	form := &info.Outputs[w.output]
	elements := form.RowElements()
	labelled := form.Name == serving.OutputProbs && info.Classifier() && elements == len(info.Labels.Labels)
	order, values := make([]int, elements), make([]float64, elements)
	var text, all []byte
	for row := range rows {
		for i := range elements {
			order[i] = i
			values[i], _ = number(form.Type, data, row*elements+i)
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(values[b], values[a]), cmp.Compare(a, b)) })
		for _, i := range order[:w.classes] {
			text = appendNumber(text[:0], form.Type, data, row*elements+i)
			text = append(text, ':')
			text = strconv.AppendInt(text, int64(i), 10)
			if labelled {
				text = append(text, ':')
				text = append(text, info.Labels.Labels[i].Name...)
			}
			all = binary.LittleEndian.AppendUint32(all, uint32(len(text)))
			all = append(all, text...)
		}
	}
	return all
}

// number reads an element as a number to compare by; false for types that have no
// order here. NaN counts as the least.
func number(t serving.DataType, data []byte, i int) (float64, bool) {
	switch t {
	case serving.FP32:
		return float64(serving.Float32(data, i)), true
	case serving.FP64:
		return math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:])), true
	}
	n, ok := integer(t, data, i)
	return float64(n), ok
}

func integer(t serving.DataType, data []byte, i int) (int64, bool) {
	switch t {
	case serving.Int8:
		return int64(int8(data[i])), true
	case serving.Uint8:
		return int64(data[i]), true
	case serving.Int16:
		return int64(int16(binary.LittleEndian.Uint16(data[2*i:]))), true
	case serving.Uint16:
		return int64(binary.LittleEndian.Uint16(data[2*i:])), true
	case serving.Int32:
		return int64(int32(binary.LittleEndian.Uint32(data[4*i:]))), true
	case serving.Uint32:
		return int64(binary.LittleEndian.Uint32(data[4*i:])), true
	case serving.Int64:
		return serving.Integer64(data, i), true
	}
	return 0, false
}

// appendNumber writes an element as Triton does: six digits after the point.
func appendNumber(text []byte, t serving.DataType, data []byte, i int) []byte {
	if n, ok := integer(t, data, i); ok {
		return strconv.AppendInt(text, n, 10)
	}
	v, _ := number(t, data, i)
	return strconv.AppendFloat(text, v, 'f', 6, 64)
}
