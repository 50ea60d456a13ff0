package feature

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sync"
)

// Sizes of one Row's tensors.
const (
	ByteColumns   = 784 // UINT8 [784]
	SeriesRows    = 4
	SeriesColumns = SeriesRows * MaxPackets // FP32 [4,24], row-major
	MetaColumns   = 96                      // FP32 [96]

	clientBytes = 512 // of ByteColumns, the rest is the server's
)

// SchemaVersion counts the schemas that models were shipped for.
const SchemaVersion = 2

// Names of the tensors.
const (
	TensorBytes  = "bytes"
	TensorSeries = "series"
	TensorMeta   = "meta"
)

type schema struct {
	Version int      `json:"version"`
	Code    int      `json:"code"` // raised when a value is computed in another way though its column stays
	Tensors []tensor `json:"tensors"`
	Tokens  []string `json:"tokens"`
	// Families are what the numbers of the families mean.
	Families []string `json:"families"`
	// Blocks are all columns by name.
	Blocks []Block `json:"blocks"`
}

type tensor struct {
	Name    string   `json:"name"`
	Type    string   `json:"datatype"`
	Shape   []int    `json:"shape"`
	Layout  string   `json:"layout"`
	Columns []string `json:"columns,omitempty"`
}

// code is schema.Code.
const code = 2

// Schema returns the description of a Row as canonical JSON: the names, types, shapes and columns of the tensors, in order.
// It is what SchemaSHA256 is the hash of, and what a model carries as sonde.schema.
func Schema() []byte { return []byte(describe().text) }

// SchemaSHA256 returns the SHA-256 of Schema in hexadecimal. A model trained on another one must not be used.
func SchemaSHA256() string { return describe().sum }

type description struct{ text, sum string }

var describe = sync.OnceValue(func() description { //nolint:gochecknoglobals // a constant table; Go has no constants of this type
	text, err := json.Marshal(schema{
		Version: SchemaVersion,
		Code:    code,
		Tensors: []tensor{
			{TensorBytes, "UINT8", []int{ByteColumns}, "payload only, names and random bytes zeroed; the client's first 512 bytes, " +
				"then the server's first 272, each padded with zeros", nil},
			{TensorSeries, "FP32", []int{SeriesRows, MaxPackets}, "one column a packet in the order of the capture, padded with zeros",
				[]string{"payload size in bytes", "direction: 1 client, -1 server", "log1p of microseconds since the packet before", "mask: 1 packet, 0 padding"}},
			{TensorMeta, "FP32", []int{MetaColumns}, "NaN is absent", columnNames[:]},
		},
		Tokens: tokenNames[:], Families: familyNames[:], Blocks: Blocks(),
	})
	if err != nil {
		panic("feature: the schema is made of strings and numbers only: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return description{string(text), hex.EncodeToString(sum[:])}
})
