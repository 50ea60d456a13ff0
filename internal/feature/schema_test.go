package feature

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// schemaSHA256 is what shipped models carry. When this test fails, raise schema.Code (or SchemaVersion) if values changed
// under the same columns, train again, and write the new hash here.
const schemaSHA256 = "89e956a77f63335aff81960b5f57f533df5745239db38a9c6d84d4f27d83d21f"

func TestSchemaIsTheOneThatShips(t *testing.T) {
	if got := SchemaSHA256(); got != schemaSHA256 {
		t.Errorf("the schema's hash is %s", got)
	}
	if !json.Valid(Schema()) {
		t.Error("the schema is no JSON")
	}
}

func TestEveryColumnAndTokenHasItsOwnName(t *testing.T) {
	if columnsUsed != MetaColumns {
		t.Errorf("%d columns of meta are used, there are %d", columnsUsed, MetaColumns)
	}
	for what, names := range map[string][]string{"column": columnNames[:], "token": tokenNames[:]} {
		seen := map[string]bool{}
		for i, name := range names {
			if name == "" || seen[name] {
				t.Errorf("%s %d has the name %q", what, i, name)
			}
			seen[name] = true
		}
	}
}

// TestSchemaHashFollowsTheTable changes each part of the description that values go by.
func TestSchemaHashFollowsTheTable(t *testing.T) {
	if got, want := describe().sum, fmt.Sprintf("%x", sha256.Sum256(Schema())); got != want {
		t.Fatalf("the hash is %s, not %s", got, want)
	}
	changes := map[string]func(*schema){
		"version":        func(s *schema) { s.Version++ },
		"code":           func(s *schema) { s.Code++ },
		"a column":       func(s *schema) { s.Tensors[2].Columns[7] += "?" },
		"two columns":    func(s *schema) { c := s.Tensors[2].Columns; c[0], c[1] = c[1], c[0] },
		"a shape":        func(s *schema) { s.Tensors[0].Shape[0]-- },
		"a token's name": func(s *schema) { s.Tokens[1] = "other" },
	}
	for name, change := range changes {
		var s schema
		if err := json.Unmarshal(Schema(), &s); err != nil {
			t.Fatal(err)
		}
		change(&s)
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%x", sha256.Sum256(text)) == SchemaSHA256() {
			t.Errorf("%s changes nothing", name)
		}
	}
	for i := range MetaColumns {
		if !bytes.Contains(Schema(), []byte(columnNames[i])) {
			t.Errorf("column %d is not in it", i)
		}
	}
}

func TestEveryColumnIsInOneBlock(t *testing.T) {
	sizes := map[string]int{TensorBytes: ByteColumns, TensorSeries: SeriesColumns, TensorMeta: MetaColumns}
	of := map[string]map[int]string{TensorBytes: {}, TensorSeries: {}, TensorMeta: {}}
	for _, b := range Blocks() {
		if len(b.Columns) == 0 || !slices.IsSorted(b.Columns) {
			t.Errorf("block %s has columns %v", b.Name, b.Columns)
		}
		for _, c := range b.Columns {
			if other := of[b.Tensor][c]; other != "" || c < 0 || c >= sizes[b.Tensor] {
				t.Errorf("column %d of %s is in %q and %q", c, b.Tensor, other, b.Name)
			}
			of[b.Tensor][c] = b.Name
		}
	}
	for name, size := range sizes {
		if len(of[name]) != size {
			t.Errorf("%d of %d columns of %s are in a block", len(of[name]), size, name)
		}
	}
	for column, want := range map[int]string{
		columnProtocol: BlockTransport, columnGapForward: BlockTimes, columnReverse + columnSize2: BlockSizes, columnForward + columnEntropy: BlockPayload,
		columnReverse + columnToken: BlockOpening, columnForward + columnLength24: BlockLengths, columnForward + columnDNSKind: BlockDNS,
		columnReverse + columnDNSLocal: BlockNames, columnTLSName: BlockNames, columnDTLS: BlockTLS, columnQUIC: BlockQUIC,
	} {
		if got := of[TensorMeta][column]; got != want {
			t.Errorf("%q is in block %s, want %s", columnNames[column], got, want)
		}
	}
}
