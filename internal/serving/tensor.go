package serving

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DataType is the type of a tensor's elements.
type DataType uint8

// The types, in no order that means anything.
const (
	Bool DataType = iota + 1
	Uint8
	Uint16
	Uint32
	Uint64
	Int8
	Int16
	Int32
	Int64
	FP16
	FP32
	FP64
	BF16
	// Bytes are strings. Each has its length before it, in 4 bytes, little-endian.
	Bytes
)

// Valid says whether the type is one of the constants.
func (d DataType) Valid() bool { return d >= Bool && d <= Bytes }

// String is the protocol's name of the type, such as FP32.
func (d DataType) String() string { name, _, _ := d.facts(); return name }

// Size is how many bytes an element takes; 0 for Bytes, whose elements differ, and
// for no valid type.
func (d DataType) Size() int { _, size, _ := d.facts(); return size }

// ONNX is the number of the type in the ONNX format (TensorProto.DataType); 0
// for no valid type.
func (d DataType) ONNX() int32 { _, _, number := d.facts(); return number }

func (d DataType) facts() (name string, size int, onnx int32) {
	switch d {
	case Bool:
		return "BOOL", 1, 9
	case Uint8:
		return "UINT8", 1, 2
	case Uint16:
		return "UINT16", 2, 4
	case Uint32:
		return "UINT32", 4, 12
	case Uint64:
		return "UINT64", 8, 13
	case Int8:
		return "INT8", 1, 3
	case Int16:
		return "INT16", 2, 5
	case Int32:
		return "INT32", 4, 6
	case Int64:
		return "INT64", 8, 7
	case FP16:
		return "FP16", 2, 10
	case FP32:
		return "FP32", 4, 1
	case FP64:
		return "FP64", 8, 11
	case BF16:
		return "BF16", 2, 16
	case Bytes:
		return "BYTES", 0, 8
	}
	return fmt.Sprintf("DataType(%d)", uint8(d)), 0, 0
}

// FromONNX is the type of a number of the ONNX format; false for complex numbers and
// what else there is no type for.
func FromONNX(number int32) (DataType, bool) {
	for d := Bool; d.Valid(); d++ {
		if d.ONNX() == number {
			return d, true
		}
	}
	return 0, false
}

// Tensor is the form of one input or output.
type Tensor struct {
	Name string
	Type DataType
	// Dims are the dimensions of one row, each at least 1; none means one
	// element a row. Only between Inspect and Open an output's may be -1, where
	// the file leaves it open.
	Dims []int64
}

// RowElements is how many elements a row has.
func (t *Tensor) RowElements() int {
	n := 1
	for _, d := range t.Dims {
		n *= int(d)
	}
	return n
}

// RowBytes is how many bytes a row has; 0 for Bytes.
func (t *Tensor) RowBytes() int { return t.RowElements() * t.Type.Size() }

// RowRoom is how many bytes a row takes in memory, about: of Bytes what an element
// takes beside its letters.
func (t *Tensor) RowRoom() int {
	if t.Type == Bytes {
		return t.RowElements() * stringRoom
	}
	return t.RowBytes()
}

// stringRoom is what a string takes in ONNX Runtime, short ones whole.
const stringRoom = 32

// Shape is the shape as the protocol writes it, with -1 for the rows.
func (t *Tensor) Shape() []int64 { return t.ShapeOf(-1) }

// ShapeOf is the shape of the given number of rows.
func (t *Tensor) ShapeOf(rows int) []int64 {
	shape := make([]int64, 1, 1+len(t.Dims))
	shape[0] = int64(rows)
	return append(shape, t.Dims...)
}

// Open says whether the file leaves a dimension of the row open.
func (t *Tensor) Open() bool {
	for _, d := range t.Dims {
		if d < 0 {
			return true
		}
	}
	return false
}

// Float32 reads element i of an FP32 tensor.
func Float32(data []byte, i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
}

// Integer64 reads element i of an INT64 tensor.
func Integer64(data []byte, i int) int64 { return int64(binary.LittleEndian.Uint64(data[8*i:])) }
