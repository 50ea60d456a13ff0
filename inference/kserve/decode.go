package kserve

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
)

// decode takes the inputs out of a request. Raw contents are not copied: the
// request must stay as it is until the rows were run.
func decode(info *serving.Info, r *kservev2.ModelInferRequest) (*serving.Inputs, error) {
	inputs, raw := r.GetInputs(), r.GetRawInputContents()
	for n, tensor := range inputs { // first, for such a tensor has no raw contents
		if _, ok := tensor.GetParameters()["shared_memory_region"]; ok {
			return nil, rpc.InvalidArgument(fmt.Sprintf("inputs[%d].parameters", n), "input %q: shared memory is not supported", tensor.GetName())
		}
	}
	if len(raw) > 0 && len(raw) != len(inputs) {
		return nil, rpc.InvalidArgument("raw_input_contents", "%d entries for %d inputs", len(raw), len(inputs))
	}
	in := &serving.Inputs{Data: make([][]byte, len(info.Inputs))}
	for n, tensor := range inputs {
		field := func(name string) string { return fmt.Sprintf("inputs[%d].%s", n, name) }
		i := info.Input(tensor.GetName())
		if i < 0 {
			return nil, rpc.InvalidArgument(field("name"), "model %q has no input %q", info.Name, tensor.GetName())
		}
		if in.Data[i] != nil {
			return nil, rpc.InvalidArgument(field("name"), "input %q comes twice", tensor.GetName())
		}
		form := &info.Inputs[i]
		rows, err := checkForm(form, tensor, field)
		if err != nil {
			return nil, err
		}
		if n > 0 && rows != in.Rows {
			return nil, rpc.InvalidArgument(field("shape"), "input %q has %d rows, the ones before have %d", form.Name, rows, in.Rows)
		}
		in.Rows = rows
		if len(raw) > 0 {
			in.Data[i], err = rawContents(form, tensor.GetContents(), raw[n], rows, n)
		} else {
			in.Data[i], err = typed(form, tensor.GetContents(), rows*form.RowElements(), field("contents"))
		}
		if err == nil {
			err = checkFinite(info, form, in.Data[i], func() string { return fmt.Sprintf("inputs[%d]", n) })
		}
		if err != nil {
			return nil, err
		}
	}
	if missing := slices.IndexFunc(in.Data, func(data []byte) bool { return data == nil }); missing >= 0 {
		return nil, rpc.InvalidArgument("inputs", "input %q is missing", info.Inputs[missing].Name)
	}
	return in, nil
}

// rawContents takes raw contents over as they are, if their length is right.
func rawContents(form *serving.Tensor, contents *kservev2.InferTensorContents, raw []byte, rows, n int) ([]byte, error) {
	if !emptyContents(contents) {
		return nil, rpc.InvalidArgument(fmt.Sprintf("inputs[%d].contents", n),
			"contents must not be specified for input %q when raw_input_contents is used", form.Name)
	}
	field := func() string { return fmt.Sprintf("raw_input_contents[%d]", n) }
	if form.Type == serving.Bytes {
		if !form.Fits(raw, rows) {
			return nil, rpc.InvalidArgument(field(), "input %q of BYTES %v needs %d elements, each after its length in 4 bytes, and nothing else",
				form.Name, form.ShapeOf(rows), rows*form.RowElements())
		}
		return raw, checkText(form, raw, field)
	}
	if want := rows * form.RowBytes(); len(raw) != want {
		return nil, rpc.InvalidArgument(field(), "input %q of %s %v needs %d bytes, %d came", form.Name, form.Type, form.ShapeOf(rows), want, len(raw))
	}
	if form.Type == serving.Bool {
		if at := slices.IndexFunc(raw, func(b byte) bool { return b > 1 }); at >= 0 {
			return nil, rpc.InvalidArgument(field(), "input %q: element %d is %d, a BOOL is 0 or 1", form.Name, at, raw[at])
		}
	}
	return raw, nil
}

// checkText refuses strings that ONNX Runtime would be given only the beginning of.
func checkText(form *serving.Tensor, data []byte, field func() string) error {
	for n := 0; len(data) > 0; n++ {
		var element []byte
		element, data, _ = serving.CutBytes(data)
		if bytes.IndexByte(element, 0) >= 0 {
			return rpc.InvalidArgument(field(), "input %q: element %d has a zero byte in it", form.Name, n)
		}
	}
	return nil
}

// checkForm compares type and shape with the model's, and returns the rows.
func checkForm(form *serving.Tensor, tensor *kservev2.ModelInferRequest_InferInputTensor, field func(string) string) (int, error) {
	if tensor.GetDatatype() != form.Type.String() {
		return 0, rpc.InvalidArgument(field("datatype"), "input %q is %s, %q came", form.Name, form.Type, tensor.GetDatatype())
	}
	shape := tensor.GetShape()
	if len(shape) != 1+len(form.Dims) || !slices.Equal(shape[1:], form.Dims) {
		if len(shape) > 8 {
			shape = shape[:8]
		}
		return 0, rpc.InvalidArgument(field("shape"), "input %q has shape %v, %v came", form.Name, form.Shape(), shape)
	}
	if shape[0] < 1 || shape[0] > serving.MaxRequestRows {
		return 0, rpc.InvalidArgument(field("shape"), "input %q: %d rows came, a request has 1 to %d", form.Name, shape[0], serving.MaxRequestRows)
	}
	return int(shape[0]), nil
}

// callOptions reads the request's parameters. Unknown ones are passed over;
// sequences would need a memory that no model here has.
func callOptions(parameters map[string]*kservev2.InferParameter) (serving.CallOptions, error) {
	var o serving.CallOptions
	for name, p := range parameters {
		field := "parameters[" + name + "]"
		switch name {
		case "sequence_id", "sequence_start", "sequence_end":
			return o, rpc.InvalidArgument(field, "sequences are not supported")
		case "priority":
			n, ok := whole(p)
			if !ok {
				return o, rpc.InvalidArgument(field, "must be a whole number")
			}
			o.Priority = n
		case "timeout":
			n, ok := whole(p)
			if !ok || n > math.MaxInt64/uint64(time.Microsecond) {
				return o, rpc.InvalidArgument(field, "must be a number of microseconds")
			}
			o.Timeout = time.Duration(n) * time.Microsecond
		}
	}
	return o, nil
}

// whole reads a whole number that is not negative, in either of the two types
// that clients send.
func whole(p *kservev2.InferParameter) (uint64, bool) {
	switch v := p.GetParameterChoice().(type) {
	case *kservev2.InferParameter_Int64Param:
		return uint64(max(v.Int64Param, 0)), v.Int64Param >= 0
	case *kservev2.InferParameter_Uint64Param:
		return v.Uint64Param, true
	}
	return 0, false
}
