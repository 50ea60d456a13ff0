package feature

import (
	"encoding/json"
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
