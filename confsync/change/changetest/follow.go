package changetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sonde.example/confsync/change"
)

func testSnapshot(t *testing.T, w *world) {
	rows, empty := w.snapshot(t)
	if len(rows) != 0 || empty == "" {
		t.Fatalf("an empty database has %v at %q", rows, empty)
	}
	w.exec(t,
		"INSERT INTO agent_config (id, name, group_name, filter, device, head_packets) VALUES (7, 'b', 'edge', '', NULL, 24)",
		"INSERT INTO agent_config (id, name, filter) VALUES (3, 'a', 'host \U0001f9c0')",
		"INSERT INTO agent_group (id, name, device) VALUES (9, 'edge', 'eth0,eth1')",
		"INSERT INTO service_config (id, role, name, hand_over_deadline_ms) VALUES (1, 'collector', 'default', 2500)",
	)
	rows, at := w.snapshot(t)
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%s/%d", r.Table, r.ID))
		if r.Deleted || r.Rev == 0 || time.Since(r.CommitTime).Abs() > time.Hour {
			t.Errorf("row %+v", r)
		}
	}
	if want := "agent_config/3 agent_config/7 agent_group/9 service_config/1"; strings.Join(got, " ") != want {
		t.Fatalf("got %v, want %s", got, want)
	}
	for i, want := range []map[string]string{
		{"name": "a", "filter": "host \U0001f9c0", "group_name": "NULL"},
		{"name": "b", "filter": "", "device": "NULL", "head_packets": "24", "group_name": "edge"},
		{"name": "edge", "device": "eth0,eth1", "group_name": "-"},
		{"role": "collector", "name": "default", "hand_over_deadline_ms": "2500", "model": "NULL"},
	} {
		for column, value := range want {
			if got := Text(rows[i], column); got != value {
				t.Errorf("%s/%d: %s is %q, want %q", rows[i].Table, rows[i].ID, column, got, value)
			}
		}
	}
	stop := errors.New("enough")
	if _, err := w.Source.Snapshot(t.Context(), func(change.Row) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("take's error is lost: %v", err)
	}
	// What was there before the position does not come again; what comes after it does.
	f := Follow(t, w.Source, at)
	w.exec(t, "UPDATE agent_config SET filter = 'tcp' WHERE id = 7")
	f.Await(t, "the update", func() bool { r, ok := f.row(change.AgentConfig, 7); return ok && Text(r, "filter") == "tcp" })
	if len(f.Rows) != 1 {
		t.Errorf("rows from before the snapshot: %v", f.Rows)
	}
}

func testChanges(t *testing.T, w *world) {
	_, at := w.snapshot(t)
	f := Follow(t, w.Source, at)
	for _, table := range []change.Table{change.AgentConfig, change.AgentGroup, change.ServiceConfig} {
		column, insert := "filter", fmt.Sprintf("INSERT INTO %s (id, name) VALUES (5, 'x')", table)
		if table == change.ServiceConfig {
			column, insert = "model", "INSERT INTO service_config (id, role, name) VALUES (5, 'inference', 'x')"
		}
		w.exec(t, insert)
		f.Await(t, "the insert", func() bool { r, ok := f.row(table, 5); return ok && Text(r, "name") == "x" })
		for _, value := range []string{"'a'", "''", "NULL", "'b'"} {
			w.exec(t, fmt.Sprintf("UPDATE %s SET %s = %s WHERE name = 'x'", table, column, value))
			want := strings.Trim(value, "'")
			f.Await(t, "the update to "+value, func() bool { r, ok := f.row(table, 5); return ok && Text(r, column) == want })
		}
		w.exec(t, fmt.Sprintf("DELETE FROM %s WHERE name = 'x'", table))
		f.Await(t, "the delete", func() bool { return f.gone(table, 5) })
	}
	if f.Again > 0 {
		t.Errorf("%d snapshots asked for", f.Again)
	}
}

func testRevs(t *testing.T, w *world) {
	_, at := w.snapshot(t)
	f := Follow(t, w.Source, at)
	last := uint64(0)
	for range 3 {
		for _, statement := range []string{
			"INSERT INTO agent_config (id, name) VALUES (1, 'x')", "UPDATE agent_config SET filter = 'udp'",
			"UPDATE agent_config SET filter = 'udp', rev = 1", "UPDATE agent_config SET rev = 99999",
			"DELETE FROM agent_config",
		} {
			w.exec(t, statement)
			f.Await(t, statement, func() bool {
				r := f.Rows["agent_config/1"]
				return r.Rev > last && r.Deleted == strings.HasPrefix(statement, "DELETE")
			})
			r := f.Rows["agent_config/1"]
			if strings.Contains(statement, "99999") && r.Rev >= 99999 {
				t.Fatalf("an operator wrote rev, and it is %d", r.Rev)
			}
			if time.Since(r.CommitTime).Abs() > time.Hour {
				t.Errorf("%s at %v", statement, r.CommitTime)
			}
			last = r.Rev
		}
	}
	w.exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'x')")
	rows, _ := w.snapshot(t)
	if len(rows) != 1 || rows[0].Rev <= last {
		t.Errorf("the snapshot has %+v after rev %d", rows, last)
	}
}

func testWhole(t *testing.T, w *world) {
	const agents = 50
	var insert []string
	for id := range agents {
		insert = append(insert, fmt.Sprintf("INSERT INTO agent_config (id, name) VALUES (%d, 'a%d')", id+1, id+1))
	}
	_, at := w.snapshot(t)
	f := Follow(t, w.Source, at)
	w.exec(t, insert...)
	f.Next(t)
	if len(f.Rows) != agents {
		t.Fatalf("%d rows of %d", len(f.Rows), agents)
	}
	for round := range 20 {
		filter := fmt.Sprintf("port %d", round+1)
		w.exec(t, "UPDATE agent_config SET filter = '"+filter+"' WHERE id <= 25", "UPDATE agent_config SET filter = '"+filter+"' WHERE id > 25")
	}
	for done := false; !done; {
		tx := f.Next(t)
		seen := map[string]int{}
		for _, r := range tx.Rows {
			seen[Text(r, "filter")]++
		}
		if len(seen) != 1 || len(tx.Rows) != agents {
			t.Fatalf("half a transaction: %v", seen)
		}
		done = seen["port 20"] > 0
	}
}

func testRollback(t *testing.T, w *world) {
	_, at := w.snapshot(t)
	f := Follow(t, w.Source, at)
	w.Writer.Rollback(t, "INSERT INTO agent_config (id, name) VALUES (1, 'never')")
	w.exec(t, "INSERT INTO agent_config (id, name) VALUES (2, 'x')")
	f.Await(t, "what was committed", func() bool { _, ok := f.row(change.AgentConfig, 2); return ok })
	if len(f.Rows) != 1 {
		t.Errorf("rows %v", f.Rows)
	}
}

func testRenamed(t *testing.T, w *world) {
	w.exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'a')", "INSERT INTO agent_config (id, name) VALUES (2, 'b')")
	_, at := w.snapshot(t)
	f := Follow(t, w.Source, at)
	w.exec(t, "UPDATE agent_config SET name = 't' WHERE id = 1", "UPDATE agent_config SET name = 'a' WHERE id = 2",
		"UPDATE agent_config SET name = 'b' WHERE id = 1")
	f.Next(t)
	one, _ := f.row(change.AgentConfig, 1)
	two, _ := f.row(change.AgentConfig, 2)
	if Text(one, "name") != "b" || Text(two, "name") != "a" {
		t.Errorf("after the swap: %v", f.Rows)
	}
	w.exec(t, "UPDATE agent_config SET id = 9 WHERE id = 1")
	f.Await(t, "another id", func() bool { _, ok := f.row(change.AgentConfig, 9); return ok && f.gone(change.AgentConfig, 1) })
}

func testAllDeleted(t *testing.T, w *world) {
	const agents = 40
	for id := range agents {
		w.exec(t, fmt.Sprintf("INSERT INTO agent_config (id, name) VALUES (%d, 'a%d')", id+1, id+1))
	}
	_, at := w.snapshot(t)
	f := Follow(t, w.Source, at)
	w.exec(t, "DELETE FROM agent_config")
	f.Next(t)
	for id := range agents {
		if !f.gone(change.AgentConfig, int64(id+1)) {
			t.Errorf("row %d is not deleted", id+1)
		}
	}
}

func testPosition(t *testing.T, w *world) {
	_, at := w.snapshot(t)
	f := Follow(t, w.Source, at)
	w.exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'a')")
	f.Await(t, "the first", func() bool { return len(f.Rows) == 1 })
	f.Stop(t)
	if err := w.Source.Close(); err != nil {
		t.Fatal(err)
	}
	w.exec(t, "INSERT INTO agent_config (id, name) VALUES (2, 'b')", "INSERT INTO agent_config (id, name) VALUES (3, 'c')")
	w.exec(t, "DELETE FROM agent_config WHERE id = 1", "DELETE FROM agent_config WHERE id = 3")
	w.Source = w.Reopen(t)
	for _, from := range []change.Position{f.Position, at, f.Position} {
		again := Follow(t, w.Source, from)
		again.Await(t, "all since", func() bool {
			_, second := again.row(change.AgentConfig, 2)
			return second && again.gone(change.AgentConfig, 1) && again.gone(change.AgentConfig, 3)
		})
		again.Stop(t)
	}
}

func testLost(t *testing.T, w *world) {
	other := w.open(t)
	t.Cleanup(func() {
		if err := other.Source.Close(); err != nil {
			t.Error(err)
		}
	})
	other.Writer.Exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'a')")
	elsewhere, err := other.Source.Snapshot(t.Context(), func(change.Row) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []change.Position{"", "nowhere", elsewhere} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := w.Source.Follow(ctx, from, func(change.Transaction) error { return errors.New("a transaction came") })
		cancel()
		if !errors.Is(err, change.ErrPositionLost) {
			t.Errorf("from %q: %v", from, err)
		}
	}
}

func testNewColumns(t *testing.T, w *world) {
	w.exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'a')")
	_, at := w.snapshot(t)
	f := Follow(t, w.Source, at)
	w.exec(t, "ALTER TABLE agent_config ADD COLUMN Remark VARCHAR(20)")
	w.exec(t, "UPDATE agent_config SET remark = 'rack 7'")
	f.Await(t, "the new column", func() bool { r, ok := f.row(change.AgentConfig, 1); return ok && Text(r, "remark") == "rack 7" })
}

func testLostColumns(t *testing.T, w *world) {
	w.exec(t, "INSERT INTO agent_config (id, name, filter) VALUES (1, 'a', 'tcp')")
	_, at := w.snapshot(t)
	f := Follow(t, w.Source, at)
	w.exec(t, "ALTER TABLE agent_config RENAME COLUMN filter TO sieve")
	w.exec(t, "UPDATE agent_config SET sieve = 'udp'")
	f.Await(t, "a row without filter", func() bool {
		r, ok := f.row(change.AgentConfig, 1)
		return ok && Text(r, "filter") == "-" && Text(r, "sieve") == "udp"
	})
	w.exec(t, "ALTER TABLE agent_config RENAME COLUMN sieve TO filter")
	w.exec(t, "UPDATE agent_config SET filter = 'icmp'")
	f.Await(t, "a row with it", func() bool { r, ok := f.row(change.AgentConfig, 1); return ok && Text(r, "filter") == "icmp" })
}

func testApplyEnds(t *testing.T, w *world) {
	_, at := w.snapshot(t)
	w.exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'a')")
	stop := errors.New("cannot publish")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.Source.Follow(ctx, at, func(change.Transaction) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Follow ended with %v", err)
	}
	// It comes again, for it was not taken.
	f := Follow(t, w.Source, at)
	f.Await(t, "the same again", func() bool { _, ok := f.row(change.AgentConfig, 1); return ok })
}
