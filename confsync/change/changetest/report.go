package changetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/confsync/change"
)

func status(role, name string, state configv1.ConfigState, revision uint64) *configv1.ConfigStatus {
	return &configv1.ConfigStatus{
		Role: role, Name: name, State: state, WantedRevision: revision, RunningRevision: revision - 1, RunningHash: "hash",
		StatusTime: timestamppb.New(time.Date(2026, 7, 1, 12, 0, 0, 250_000_000, time.UTC)), BootId: "boot", Version: "1.0",
	}
}

const (
	applying = configv1.ConfigState_CONFIG_STATE_APPLYING
	applied  = configv1.ConfigState_CONFIG_STATE_APPLIED
	failed   = configv1.ConfigState_CONFIG_STATE_FAILED
)

func (w *world) report(t testing.TB, statuses ...*configv1.ConfigStatus) {
	t.Helper()
	if err := w.Source.Report(t.Context(), statuses...); err != nil {
		t.Fatalf("report: %v", err)
	}
}

func (w *world) expect(t testing.TB, query string, want ...[]string) {
	t.Helper()
	got := w.Writer.Query(t, query)
	if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("%s\ngot  %q\nwant %q", query, got, want)
	}
}

func testReports(t *testing.T, w *world) {
	_, at := w.snapshot(t)
	f := Follow(t, w.Source, at)
	wrong := status("agent", "a", failed, 5)
	wrong.Error, wrong.Field, wrong.Warning, wrong.FromCache = "no 'such' word", "filter", "old", true
	right := status("collector", "a", applied, 2)
	right.RunningRevision, right.Latency = 2, durationpb.New(42*time.Millisecond)
	w.report(t)
	w.report(t, status("agent", "a", applying, 5), wrong, right)
	const query = `SELECT role, name, state, revision_wanted, revision_running, hash, error, field, warning, latency_ms, from_cache,
		boot_id, version FROM agent_status ORDER BY role, name`
	w.expect(t, query,
		[]string{"agent", "a", "FAILED", "5", "4", "hash", "no 'such' word", "filter", "old", "NULL", "1", "boot", "1.0"},
		[]string{"collector", "a", "APPLIED", "2", "2", "hash", "", "", "", "42", "0", "boot", "1.0"})
	times := w.Writer.Query(t, "SELECT status_time FROM agent_status WHERE role = 'agent'")
	if len(times) != 1 || times[0][0] != "2026-07-01 12:00:00.250000" {
		t.Errorf("status_time is %q", times)
	}
	good := status("agent", "a", applied, 6)
	w.report(t, good)
	w.report(t, good)
	w.expect(t, "SELECT state, revision_wanted, error, field, from_cache FROM agent_status WHERE role = 'agent'",
		[]string{"APPLIED", "6", "", "", "0"})
	w.expect(t, "SELECT revision, state, error, field, latency_ms, hash FROM agent_history WHERE role = 'agent' ORDER BY id",
		[]string{"5", "APPLYING", "", "", "NULL", "hash"},
		[]string{"5", "FAILED", "no 'such' word", "filter", "NULL", "hash"},
		[]string{"6", "APPLIED", "", "", "NULL", "hash"})
	// None of it was a change of the configuration.
	w.exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'a')")
	f.Await(t, "the first change", func() bool { _, ok := f.row(change.AgentConfig, 1); return ok })
	if len(f.Rows) != 1 || f.Again > 0 {
		t.Errorf("reports were seen: %v, %d snapshots", f.Rows, f.Again)
	}
}

func testHistory(t *testing.T, w *world) {
	const kept = 1000
	var statuses []*configv1.ConfigStatus
	for revision := range uint64(kept + 20) {
		statuses = append(statuses, status("agent", "a", applied, revision+1))
	}
	w.report(t, status("agent", "b", applied, 1))
	for batch := range slices.Chunk(statuses, 100) {
		w.report(t, batch...)
	}
	w.expect(t, "SELECT name, count(*), min(revision), max(revision) FROM agent_history GROUP BY name ORDER BY name",
		[]string{"a", fmt.Sprint(kept), "21", fmt.Sprint(kept + 20)}, []string{"b", "1", "1", "1"})
}
