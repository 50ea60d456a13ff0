package model

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"sonde.example/internal/label"
	"sonde.example/internal/serving"
)

// maxRowBytes bounds a row of one tensor. The biggest inputs that people feed
// to models row by row, uncompressed pictures, take a few MiB.
const maxRowBytes = 16 << 20

// maxDepth bounds how deep graphs may lie in graphs.
const maxDepth = 16

// Inspect reads what an ONNX file says about itself, without an engine: inputs,
// outputs and metadata. It refuses what must never reach an engine or could not
// be served row by row: weights in other files, operators that the engine does
// not bring along, a fixed number of rows, sequences and maps. The
// errors name what is wrong, but not the file.
//
// The numbers are those of onnx/onnx.proto (https://onnx.ai/onnx/repo-docs/IR.html).
func Inspect(file []byte) (*serving.Info, error) {
	v := &inspector{info: &serving.Info{Properties: map[string]string{}}, weights: map[string]bool{}, domains: map[string]bool{}, local: map[string]bool{}}
	if err := v.model(file); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(file)
	v.info.SHA256 = hex.EncodeToString(sum[:])
	if !v.graphSeen || len(v.info.Outputs) == 0 {
		return nil, errors.New("not an ONNX model: no graph with outputs")
	}
	v.info.Inputs = slices.DeleteFunc(v.info.Inputs, func(t serving.Tensor) bool { return v.weights[t.Name] })
	if len(v.info.Inputs) == 0 {
		return nil, errors.New("the model has no inputs")
	}
	for i := range v.info.Inputs {
		if v.info.Inputs[i].Open() {
			return nil, fmt.Errorf("input %q has shape %v: only the first dimension may be open", v.info.Inputs[i].Name, v.info.Inputs[i].Shape())
		}
	}
	for name := range v.domains {
		if !builtIn(name) && !v.local[name] {
			return nil, fmt.Errorf("custom operators of domain %q are not supported", name)
		}
	}
	for key := range v.info.Properties {
		if !strings.HasPrefix(key, "sonde.") {
			continue
		}
		var err error
		if v.info.Labels, err = label.Read(v.info.Properties); err != nil {
			return nil, err
		}
		if v.info.Reference, err = serving.ReadReference(v.info); err != nil {
			return nil, err
		}
		break
	}
	return v.info, nil
}

type inspector struct {
	info      *serving.Info
	graphSeen bool
	weights   map[string]bool // names of initializers: old files list them as inputs too
	domains   map[string]bool // sets of operators that nodes are of
	local     map[string]bool // sets of operators that the file defines itself, as functions
}

// eachField calls do for every field of a message. Fields that are not
// length-delimited come with their number only.
func eachField(message []byte, do func(number protowire.Number, value uint64, bytes []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errors.New("not an ONNX model: damaged")
		}
		message = message[n:]
		var value uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return errors.New("not an ONNX model: damaged")
		}
		message = message[n:]
		if err := do(number, value, bytes); err != nil {
			return err
		}
	}
	return nil
}

func (v *inspector) model(file []byte) error {
	return eachField(file, func(number protowire.Number, _ uint64, b []byte) error {
		switch number {
		case 7: // graph
			v.graphSeen = true
			return v.graph(b, 0)
		case 14: // metadata_props
			var key, value string
			err := eachField(b, func(number protowire.Number, _ uint64, b []byte) error {
				switch number {
				case 1:
					key = string(b)
				case 2:
					value = string(b)
				}
				return nil
			})
			v.info.Properties[key] = value
			return err
		case 25: // functions: their nodes are number 7, their own set number 10
			return eachField(b, func(number protowire.Number, _ uint64, b []byte) error {
				switch number {
				case 7:
					return v.node(b, 1)
				case 10:
					v.local[string(b)] = true
				}
				return nil
			})
		}
		return nil
	})
}

// builtIn names the sets of operators that ONNX Runtime brings along.
func builtIn(domain string) bool {
	switch domain {
	case "", "ai.onnx", "ai.onnx.ml", "com.microsoft":
		return true
	}
	return false
}

func (v *inspector) graph(b []byte, depth int) error {
	if depth > maxDepth {
		return errors.New("graphs lie too deep in graphs")
	}
	return eachField(b, func(number protowire.Number, _ uint64, b []byte) error {
		switch number {
		case 1:
			return v.node(b, depth)
		case 5: // initializer
			return v.tensor(b, depth == 0)
		case 11, 12: // input, output
			if depth > 0 {
				return nil
			}
			tensor, err := valueInfo(b)
			if err != nil {
				return err
			}
			if number == 11 {
				v.info.Inputs = append(v.info.Inputs, tensor)
			} else {
				v.info.Outputs = append(v.info.Outputs, tensor)
			}
		case 15: // sparse_initializer: values are number 1, indices number 2
			return eachField(b, func(number protowire.Number, _ uint64, b []byte) error {
				if number == 1 || number == 2 {
					return v.tensor(b, depth == 0)
				}
				return nil
			})
		}
		return nil
	})
}

func (v *inspector) node(b []byte, depth int) error {
	return eachField(b, func(number protowire.Number, _ uint64, b []byte) error {
		switch number {
		case 7:
			v.domains[string(b)] = true
		case 5: // attribute
			return eachField(b, func(number protowire.Number, _ uint64, b []byte) error {
				switch number {
				case 5, 10: // t, tensors
					return v.tensor(b, false)
				case 6, 11: // g, graphs
					return v.graph(b, depth+1)
				}
				return nil
			})
		}
		return nil
	})
}

// tensor looks at a constant or a weight: it must lie in this file, for the
// engine would read any path that the file names.
func (v *inspector) tensor(b []byte, weight bool) error {
	var name string
	external := false
	err := eachField(b, func(number protowire.Number, value uint64, b []byte) error {
		switch number {
		case 8:
			name = string(b)
		case 13: // external_data
			external = true
		case 14: // data_location
			external = external || value == 1
		}
		return nil
	})
	if err != nil {
		return err
	}
	if external {
		return fmt.Errorf("weight %q lies in another file: external data is not supported", name)
	}
	if weight {
		v.weights[name] = true
	}
	return nil
}

// valueInfo reads the name, type and shape of an input or output.
func valueInfo(b []byte) (serving.Tensor, error) {
	var t serving.Tensor
	var dims []int64
	kind, elements := protowire.Number(0), int32(0)
	err := eachField(b, func(number protowire.Number, _ uint64, b []byte) error {
		switch number {
		case 1:
			t.Name = string(b)
		case 2:
			return eachField(b, func(number protowire.Number, _ uint64, b []byte) error {
				if number == 6 { // denotation
					return nil
				}
				kind = number
				if number != 1 { // tensor_type
					return nil
				}
				var err error
				elements, dims, err = tensorType(b)
				return err
			})
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	if kind != 1 {
		return t, fmt.Errorf("%q is a sequence or a map: only tensors are supported (export without ZipMap)", t.Name)
	}
	var ok bool
	if t.Type, ok = serving.FromONNX(elements); !ok {
		return t, fmt.Errorf("%q has elements of ONNX type %d, which is not supported", t.Name, elements)
	}
	if len(dims) == 0 || dims[0] >= 0 {
		return t, fmt.Errorf("%q has shape %v: the first dimension must be open, it counts the rows", t.Name, dims)
	}
	t.Dims = dims[1:]
	row := int64((&serving.Tensor{Type: t.Type}).RowRoom()) // of one element
	for _, d := range t.Dims {
		if d == 0 || d > maxRowBytes {
			return t, fmt.Errorf("%q has shape %v: a dimension is out of range", t.Name, dims)
		}
		row *= max(d, 1)
		if row > maxRowBytes {
			return t, fmt.Errorf("%q has shape %v: a row is larger than %d bytes", t.Name, dims, maxRowBytes)
		}
	}
	return t, nil
}

// tensorType reads the type of the elements and the dimensions; -1 is open.
func tensorType(b []byte) (elements int32, dims []int64, err error) {
	err = eachField(b, func(number protowire.Number, value uint64, b []byte) error {
		switch number {
		case 1:
			elements = int32(value)
		case 2: // shape: a list of dim, number 1
			return eachField(b, func(number protowire.Number, _ uint64, b []byte) error {
				if number != 1 {
					return nil
				}
				dim := int64(-1)
				err := eachField(b, func(number protowire.Number, value uint64, _ []byte) error {
					if number == 1 { // dim_value; a name (number 2) or nothing is open
						dim = max(int64(value), -1)
					}
					return nil
				})
				dims = append(dims, dim)
				return err
			})
		}
		return nil
	})
	return elements, dims, err
}
