package collector_test

import (
	"bytes"
	"errors"
	"testing"

	kservev2 "sonde.example/gen/go/inference"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/feature"
)

// Sessions over which a model stumbles get failed results; the next version has them classified, and the ledger does not
// notice.
func TestFailedSessionsAreClassifiedByTheNextModel(t *testing.T) {
	w := newWorld(t)
	w.models.refuse = func(version string, r *kservev2.ModelInferRequest) error {
		if version == "1" && bytes.Contains(r.GetRawInputContents()[0], []byte("poison")) {
			return errors.New("a bug of version 1")
		}
		return nil
	}
	const failed = 3
	for i := range 2 * failed {
		question := "question"
		if i%2 == 0 {
			question = "poison"
		}
		w.agent.UDP("10.0.0.1:100"+string(rune('0'+i)), "10.0.0.2:53").Up(question).Down("answer").End(flowv1.EndReason_END_REASON_IDLE)
	}
	w.send()
	w.durable()
	results := func(filter string) []*queryv1.Result {
		t.Helper()
		list, err := w.operator.ListResults(t.Context(), &queryv1.ListResultsRequest{Filter: filter})
		if err != nil {
			t.Fatal(err)
		}
		return list.GetResults()
	}
	before := results("state = failed")
	if len(before) != failed || before[0].GetFailure() == "" {
		t.Fatalf("failed results: %v", before)
	}
	watching, err := w.operator.WatchResults(t.Context(), &queryv1.WatchResultsRequest{Filter: "state = classified"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watching.Recv(); err != nil { // it is in place
		t.Fatal(err)
	}
	w.models.set("2", feature.SchemaSHA256())
	w.table.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "2"})
	for range failed {
		r, err := watching.Recv()
		if err != nil {
			t.Fatal(err)
		}
		c := r.GetResult().GetClassification()
		if c.GetModelVersion() != "2" || c.GetLabel() != "dns" || c.GetPackets() != 2 || r.GetResult().GetFailure() != "" || !r.GetResult().GetEnded() {
			t.Errorf("classified later: %v", r)
		}
	}
	if after := results("state = failed"); len(after) != 0 {
		t.Errorf("still failed: %v", after)
	}
	if all := results("state = classified"); len(all) != 2*failed {
		t.Errorf("%d are classified, want %d", len(all), 2*failed)
	}
	operator := w.dial(t, w.certs.Operator)
	ledger, err := fleetv1.NewFleetServiceClient(operator).GetLedger(t.Context(), &fleetv1.GetLedgerRequest{})
	if err = errors.Join(err, operator.Close()); err != nil {
		t.Fatal(err)
	}
	if total := ledger.GetTotal(); total.GetResidual() != 0 || total.GetStoredSessions() != 2*failed || total.GetStoredPackets() != 4*failed {
		t.Errorf("ledger %v", total)
	}
}
