package feature

import (
	"encoding/json"
	"testing"
)

// schemaSHA256 is what shipped models carry. When this test fails, raise schema.Code (or SchemaVersion) if values changed
// under the same columns, train again, and write the new hash here.
const schemaSHA256 = "1a6f1d1900165c8977dabe9e1f4b0f8b2f37a04da611b4bf9d3c3406e38b027d"

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
