package confsync_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/confsync"
	"sonde.example/confsync/change"
	"sonde.example/confsync/change/sqlite"
	"sonde.example/internal/config"
)

// tables opens new tables, and a source on them.
func tables(t *testing.T) (*confsync.Tables, *sqlite.Source) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.db")
	source, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	all, err := confsync.OpenTables(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(all.Close(), source.Close()); err != nil {
			t.Error(err)
		}
	})
	return all, source
}

// columns reads "column=value" and "column" for NULL.
func columns(assignments ...string) map[string]*string {
	set := map[string]*string{}
	for _, a := range assignments {
		name, value, found := strings.Cut(a, "=")
		if set[name] = nil; found {
			set[name] = &value
		}
	}
	return set
}

func set(t *testing.T, all *confsync.Tables, table change.Table, name string, assignments ...string) {
	t.Helper()
	if err := all.Set(t.Context(), table, name, columns(assignments...)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, all *confsync.Tables, table change.Table, name string) confsync.Record {
	t.Helper()
	r, err := all.Get(t.Context(), table, name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSetMakesAndChangesRows(t *testing.T) {
	all, _ := tables(t)
	set(t, all, change.AgentConfig, "b", "filter=tcp port 443", "group_name=edge", "enabled=1")
	set(t, all, change.AgentConfig, "a")
	before := get(t, all, change.AgentConfig, "b")
	set(t, all, change.AgentConfig, "b", "filter=", "group_name")
	after := get(t, all, change.AgentConfig, "b")
	if after.Get("enabled") != "1" || before.Get("filter") != "tcp port 443" || before.Get("rev") >= after.Get("rev") {
		t.Errorf("before %v\nafter %v", before, after)
	}
	for _, f := range after {
		if f.Name == "filter" && (f.Value == nil || *f.Value != "") || f.Name == "group_name" && f.Value != nil {
			t.Errorf("%s is %v", f.Name, f.Value)
		}
	}
	set(t, all, change.AgentConfig, "b") // changes nothing
	if got := get(t, all, change.AgentConfig, "b").Get("rev"); got != after.Get("rev") {
		t.Errorf("rev went from %s to %s", after.Get("rev"), got)
	}
	rows, err := all.List(t.Context(), change.AgentConfig)
	if err != nil || len(rows) != 2 || rows[0].Get("name") != "a" || rows[1].Get("name") != "b" {
		t.Errorf("list %v, %v", rows, err)
	}
	if err := all.Delete(t.Context(), change.AgentConfig, "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := all.Get(t.Context(), change.AgentConfig, "b"); !errors.Is(err, confsync.ErrNotFound) {
		t.Errorf("get what was deleted: %v", err)
	}
	if err := all.Delete(t.Context(), change.AgentConfig, "b"); !errors.Is(err, confsync.ErrNotFound) {
		t.Errorf("delete it again: %v", err)
	}
}

func TestServicesAreNamedByRole(t *testing.T) {
	all, _ := tables(t)
	set(t, all, change.ServiceConfig, "collector", "hand_over_deadline_ms=500")
	set(t, all, change.ServiceConfig, "collector/two", "hand_over_deadline_ms=600")
	set(t, all, change.ServiceConfig, "inference", "model=m")
	set(t, all, change.ServiceConfig, "collector/default", "session_bytes=7")
	r := get(t, all, change.ServiceConfig, "collector")
	if r.Get("hand_over_deadline_ms") != "500" || r.Get("session_bytes") != "7" || r.Get("name") != "default" {
		t.Errorf("collector is %v", r)
	}
	rows, err := all.List(t.Context(), change.ServiceConfig)
	if err != nil || len(rows) != 3 || rows[2].Get("role") != "inference" {
		t.Errorf("list %v, %v", rows, err)
	}
}

func TestSetRefusesWhatCannotBeSet(t *testing.T) {
	all, _ := tables(t)
	for _, test := range []struct {
		table       change.Table
		name, field string
		columns     []string
	}{
		{change.AgentConfig, "a", "fliter", []string{"fliter=tcp"}},
		{change.AgentConfig, "a", "rev", []string{"rev=1"}},
		{change.AgentConfig, "a", "id", []string{"id=1"}},
		{change.AgentConfig, "a", "updated_at", []string{"updated_at"}},
		{change.AgentConfig, "a", "name", []string{"name=b"}},
		{change.AgentGroup, "a", "group_name", []string{"group_name=b"}},
		{change.AgentConfig, "a/b", "name", nil},
		{change.AgentConfig, "", "name", nil},
		{change.ServiceConfig, "collector/", "name", nil},
		{change.ServiceConfig, "router", "role", nil},
	} {
		err := all.Set(t.Context(), test.table, test.name, columns(test.columns...))
		if config.FieldOf(err) != test.field {
			t.Errorf("set %s %q %v: %v", test.table, test.name, test.columns, err)
		}
		if test.columns != nil && (err == nil || !strings.Contains(err.Error(), "filter, ")) {
			t.Errorf("no known column in %v", err)
		}
		if rows, err := all.List(t.Context(), test.table); err != nil || len(rows) > 0 {
			t.Errorf("after set %q: %v, %v", test.name, rows, err)
		}
	}
	if err := all.Set(t.Context(), "agent_status", "a", nil); err == nil || !strings.Contains(err.Error(), "service_config") {
		t.Errorf("set a status: %v", err)
	}
	known, err := all.Columns(t.Context(), change.ServiceConfig)
	if err != nil || known[0] != "hand_over_deadline_ms" || slices.Contains(known, "rev") {
		t.Errorf("columns %v, %v", known, err)
	}
}

func TestOpenTablesThatAreNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "typo.db")
	if _, err := confsync.OpenTables(t.Context(), "sqlite:"+path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := confsync.OpenTables(t.Context(), "mysql://me:secret@host/db"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("another scheme: %v", err)
	}
}

func TestStatusAndHistory(t *testing.T) {
	all, source := tables(t)
	for revision := range uint64(3) {
		for _, name := range []string{"a", "b"} {
			err := source.Report(t.Context(), &configv1.ConfigStatus{
				Role: config.RoleAgent, Name: name, State: configv1.ConfigState_CONFIG_STATE_APPLIED, WantedRevision: revision + 1,
				RunningRevision: revision + 1, StatusTime: timestamppb.New(time.Unix(1_800_000_000, 0)),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	one, err := all.Status(t.Context(), config.RoleAgent, "a")
	if err != nil || len(one) != 1 || one[0].Get("state") != "APPLIED" || one[0].Get("revision_running") != "3" {
		t.Errorf("status %v, %v", one, err)
	}
	for _, test := range []struct {
		role, name string
		want       int
	}{{"", "", 2}, {"agent", "", 2}, {"collector", "", 0}, {"", "b", 1}} {
		if rows, err := all.Status(t.Context(), test.role, test.name); err != nil || len(rows) != test.want {
			t.Errorf("status of %q %q: %v, %v", test.role, test.name, rows, err)
		}
	}
	past, err := all.History(t.Context(), config.RoleAgent, "b", 2)
	if err != nil || len(past) != 2 || past[0].Get("revision") != "3" || past[1].Get("revision") != "2" || past[0].Get("name") != "b" {
		t.Errorf("history %v, %v", past, err)
	}
}
