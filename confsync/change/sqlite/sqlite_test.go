package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/confsync/change"
	"sonde.example/confsync/change/changetest"
	"sonde.example/confsync/change/sqlite"
)

// fixture is an open source and a hand on a file of the test's own.
func fixture(t *testing.T) (*sqlite.Source, hand, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.db")
	s := open(t, path)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, newHand(t, path), path
}

func snapshot(t *testing.T, s *sqlite.Source) ([]change.Row, change.Position) {
	t.Helper()
	var rows []change.Row
	at, err := s.Snapshot(t.Context(), func(r change.Row) error {
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows, at
}

func follow(t *testing.T, s *sqlite.Source) *changetest.Following {
	t.Helper()
	_, at := snapshot(t, s)
	return changetest.Follow(t, s, at)
}

func report(state configv1.ConfigState, revision uint64) *configv1.ConfigStatus {
	return &configv1.ConfigStatus{Role: "agent", Name: "a", State: state, WantedRevision: revision, StatusTime: timestamppb.Now()}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign, newer := filepath.Join(dir, "foreign.db"), filepath.Join(dir, "newer.db")
	newHand(t, foreign).Exec(t, "CREATE TABLE cats (name TEXT)")
	newHand(t, newer).Exec(t, "PRAGMA user_version = 99")
	for path, want := range map[string]string{
		text: "not a database", foreign: "another program", newer: "newer version", dir: "unable to open", "": "no path",
	} {
		s, err := sqlite.Open(t.Context(), path)
		if err == nil {
			t.Errorf("Open(%s) succeeded, want an error with %q", path, want)
			_ = s.Close()
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s) = %v; want the path and %q", path, err, want)
		}
	}
	if _, err := sqlite.OpenDB(t.Context(), filepath.Join(dir, "missing.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenDB of a missing file: %v", err)
	}
}

func TestReplaceTakesTheOldRowAway(t *testing.T) {
	for _, recursive := range []string{"OFF", "ON"} {
		t.Run("recursive triggers "+recursive, func(t *testing.T) {
			s, h, _ := fixture(t)
			if _, err := h.db.Exec("PRAGMA recursive_triggers = " + recursive); err != nil {
				t.Fatal(err)
			}
			h.Exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')",
				"INSERT INTO service_config (id, role, name) VALUES (1, 'collector', 'x'), (2, 'inference', 'x')")
			f := follow(t, s)
			h.Exec(t, "INSERT OR REPLACE INTO agent_config (name, filter) VALUES ('a', 'new')")
			f.Await(t, "insert or replace", func() bool { return f.Rows["agent_config/1"].Deleted && !f.Rows["agent_config/4"].Deleted })
			h.Exec(t, "UPDATE OR REPLACE agent_config SET name = 'b' WHERE name = 'c'")
			f.Await(t, "update or replace", func() bool {
				return f.Rows["agent_config/2"].Deleted && changetest.Text(f.Rows["agent_config/3"], "name") == "b"
			})
			h.Exec(t, "REPLACE INTO service_config (id, role, name) VALUES (7, 'collector', 'x')")
			f.Await(t, "a service replaced", func() bool { return f.Rows["service_config/1"].Deleted })
			if _, touched := f.Rows["service_config/2"]; touched {
				t.Error("the same name of another role went too")
			}
			h.Exec(t, "INSERT INTO agent_config (name, filter) VALUES ('a', 'up') ON CONFLICT (name) DO UPDATE SET filter = excluded.filter")
			f.Await(t, "insert or update", func() bool { return changetest.Text(f.Rows["agent_config/4"], "filter") == "up" })
			// A statement that ignores the conflict changes nothing, and what it noted does no harm.
			h.Exec(t, "INSERT OR IGNORE INTO agent_config (name, filter) VALUES ('a', 'ignored')", "UPDATE agent_config SET filter = 'end' WHERE id = 3")
			f.Await(t, "the end", func() bool { return changetest.Text(f.Rows["agent_config/3"], "filter") == "end" })
			rows, _ := snapshot(t, s)
			for _, r := range rows {
				if seen, ok := f.Rows[fmt.Sprintf("%s/%d", r.Table, r.ID)]; ok && (seen.Rev != r.Rev || seen.Deleted) {
					t.Errorf("followed %+v, but there is %+v", seen, r)
				}
			}
		})
	}
}

func TestAnotherProgramHoldsTheLock(t *testing.T) {
	s, h, path := fixture(t)
	h.Exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'a')")
	f := follow(t, s)
	h.Exec(t, "UPDATE agent_config SET filter = 'before'")
	tx := h.run(t, []string{"UPDATE agent_config SET filter = 'during'"})
	f.Await(t, "what was committed before", func() bool { return changetest.Text(f.Rows["agent_config/1"], "filter") == "before" })
	if rows, _ := snapshot(t, s); changetest.Text(rows[0], "filter") != "before" {
		t.Errorf("the snapshot has %v", rows)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.Report(ctx, report(configv1.ConfigState_CONFIG_STATE_APPLIED, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a report that cannot be written: %v", err)
	}
	if _, err := sqlite.Open(ctx, path); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("open: %v", err)
	}
	done := make(chan error)
	go func() { done <- s.Report(t.Context(), report(configv1.ConfigState_CONFIG_STATE_APPLIED, 2)) }()
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Await(t, "what came after", func() bool { return changetest.Text(f.Rows["agent_config/1"], "filter") == "during" })
	if err := <-done; err != nil {
		t.Errorf("report after the lock: %v", err)
	}
	if got := h.Query(t, "SELECT revision_wanted FROM agent_status"); len(got) != 1 || got[0][0] != "2" {
		t.Errorf("status %v", got)
	}
}

func TestReadersLockNobodyOut(t *testing.T) {
	s, h, _ := fixture(t)
	h.Exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'a'), (2, 'b')")
	at, err := s.Snapshot(t.Context(), func(change.Row) error {
		h.Exec(t, "UPDATE agent_config SET filter = 'meanwhile'") // fails at once if locked
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	stop := errors.New("enough")
	err = s.Follow(t.Context(), at, func(tx change.Transaction) error {
		if seen++; seen == 5 {
			return stop
		}
		h.Exec(t, "UPDATE agent_config SET filter = '"+strings.Repeat("x", seen)+"'")
		_, _ = snapshot(t, s) // also while Follow waits for apply
		return nil
	})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestFeedIsTrimmed(t *testing.T) {
	s, h, _ := fixture(t)
	h.Exec(t, "INSERT INTO agent_config (id, name) VALUES (1, 'a')")
	_, old := snapshot(t, s)
	const flood = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
		INSERT INTO config_change (tbl, id, op, at) SELECT 'agent_config', 1, 'update', '2026-01-01 00:00:00.000' FROM n`
	h.Exec(t, flood)
	if got := h.Query(t, "SELECT count(*), min(seq) FROM config_change"); got[0][0] != "100000" || got[0][1] != "2" {
		t.Errorf("count and first are %v", got)
	}
	f := changetest.Follow(t, s, old) // all of it is there yet
	f.Await(t, "the row", func() bool { return len(f.Rows) == 1 })
	f.Stop(t)
	h.Exec(t, "UPDATE agent_config SET filter = 'x'")
	for _, from := range []change.Position{old, f.Position + "0"} { // trimmed, ahead
		err := s.Follow(t.Context(), from, func(change.Transaction) error { return errors.New("a transaction came") })
		if !errors.Is(err, change.ErrPositionLost) {
			t.Errorf("from %s: %v", from, err)
		}
	}
	f = changetest.Follow(t, s, f.Position)
	f.Await(t, "the update", func() bool { return changetest.Text(f.Rows["agent_config/1"], "filter") == "x" })
}

func TestTablesMadeAnew(t *testing.T) {
	const insert = "INSERT INTO agent_config (id, name, filter) VALUES (1, 'a', 'old'), (2, 'b', 'old')"
	for name, statements := range map[string][]string{
		"dropped and made": {
			"DROP TABLE agent_config", "CREATE TABLE agent_config (id INTEGER PRIMARY KEY, name TEXT UNIQUE, filter TEXT)",
			"INSERT INTO agent_config (id, name, filter) VALUES (2, 'b', 'new')",
		},
		"renamed over": {
			"CREATE TABLE fresh (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, filter TEXT, rev INTEGER)",
			"INSERT INTO fresh SELECT id, name, 'new', rev FROM agent_config WHERE id = 2",
			"ALTER TABLE agent_config RENAME TO agent_config_old", "ALTER TABLE fresh RENAME TO agent_config",
		},
		"triggers dropped": {
			"DROP TRIGGER agent_config_after_update", "DROP TRIGGER agent_config_after_delete",
			"UPDATE agent_config SET filter = 'new' WHERE id = 2", "DELETE FROM agent_config WHERE id = 1",
		},
		"feed dropped": {
			"DROP TABLE config_change", "CREATE TABLE config_change (seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT, id INTEGER, op TEXT, at TEXT)",
			"UPDATE agent_config SET filter = 'new' WHERE id = 2", "DELETE FROM agent_config WHERE id = 1",
		},
		"all dropped": {
			"DROP TABLE config_change", "DROP TABLE config_meta", "DROP TABLE agent_config", "DROP TABLE agent_group", "DROP TABLE service_config",
			"DROP TABLE agent_status", "DROP TABLE agent_history",
			"CREATE TABLE agent_config (id INTEGER PRIMARY KEY, name TEXT UNIQUE, filter TEXT, rev INTEGER)",
			"INSERT INTO agent_config (id, name, filter) VALUES (2, 'b', 'new')",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, h, _ := fixture(t)
			h.Exec(t, insert)
			f := follow(t, s)
			h.Exec(t, "UPDATE agent_config SET filter = 'seen'")
			f.Await(t, "the first look", func() bool { return len(f.Rows) > 0 })
			h.Exec(t, statements...)
			f.Await(t, "to be told", func() bool { return f.Again > 0 })
			rows, at := snapshot(t, s)
			if len(rows) != 1 || rows[0].ID != 2 || changetest.Text(rows[0], "filter") != "new" {
				t.Errorf("the snapshot has %+v", rows)
			}
			h.Exec(t, "UPDATE agent_config SET filter = 'newer'", "INSERT INTO agent_config (id, name) VALUES (3, 'c')")
			f.Await(t, "changes after it", func() bool {
				_, third := f.Rows["agent_config/3"]
				return third && changetest.Text(f.Rows["agent_config/2"], "filter") == "newer"
			})
			if f.Rows["agent_config/2"].Rev <= rows[0].Rev {
				t.Errorf("rev went from %d to %d", rows[0].Rev, f.Rows["agent_config/2"].Rev)
			}
			if err := s.Report(t.Context(), report(configv1.ConfigState_CONFIG_STATE_APPLIED, 1)); err != nil {
				t.Error(err)
			}
			f.Stop(t)
			changetest.Follow(t, s, at).Stop(t)
		})
	}
}

func TestFileReplaced(t *testing.T) {
	s, h, path := fixture(t)
	h.Exec(t, "INSERT INTO agent_config (id, name, filter) VALUES (1, 'a', 'old')")
	f := follow(t, s)
	h.Exec(t, "UPDATE agent_config SET filter = 'seen'")
	f.Await(t, "the first look", func() bool { return len(f.Rows) > 0 })
	fresh := filepath.Join(filepath.Dir(path), "fresh.db")
	other := open(t, fresh)
	writer := newHand(t, fresh)
	writer.Exec(t, "INSERT INTO agent_config (id, name, filter) VALUES (8, 'a', 'new')")
	if err := errors.Join(writer.db.Close(), other.Close()); err != nil { // the last one leaves all in one file
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil {
			t.Fatal(err)
		}
	}
	// Whoever puts a file there in steps begins with an empty one.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if rows, _ := snapshot(t, s); len(rows) != 1 || rows[0].ID != 1 {
		t.Errorf("between two files the snapshot has %+v", rows)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 0 {
		t.Errorf("somebody has written to the empty file: %v, %v", info, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
	f.Await(t, "to be told", func() bool { return f.Again > 0 })
	rows, _ := snapshot(t, s)
	if len(rows) != 1 || rows[0].ID != 8 {
		t.Errorf("the snapshot has %+v", rows)
	}
	h = newHand(t, path)
	h.Exec(t, "UPDATE agent_config SET filter = 'newer'")
	f.Await(t, "changes in the new file", func() bool { return changetest.Text(f.Rows["agent_config/8"], "filter") == "newer" })
	if err := s.Report(t.Context(), report(configv1.ConfigState_CONFIG_STATE_APPLIED, 1)); err != nil {
		t.Error(err)
	}
	if got := h.Query(t, "SELECT name FROM agent_status"); len(got) != 1 {
		t.Errorf("status %v", got)
	}
}

func TestReportsFromEverywhere(t *testing.T) {
	s, h, _ := fixture(t)
	f := follow(t, s)
	done := make(chan error)
	const writers = 4
	for w := range writers {
		go func() {
			var errs []error
			for i := range 25 {
				r := report(configv1.ConfigState_CONFIG_STATE_APPLIED, uint64(i+1))
				r.Name = fmt.Sprint("agent", w)
				errs = append(errs, s.Report(t.Context(), r))
			}
			done <- errors.Join(errs...)
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := h.Query(t, "SELECT count(*), min(revision_wanted) FROM agent_status"); got[0][0] != "4" || got[0][1] != "25" {
		t.Errorf("status %v", got)
	}
	h.Exec(t, "INSERT INTO agent_config (name) VALUES ('a')")
	f.Await(t, "the change", func() bool { return len(f.Rows) > 0 })
}

// BenchmarkReport writes a hundred statuses at once: for so long operators are locked out.
func BenchmarkReport(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "config.db"))
	revision := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		revision++
		var statuses []*configv1.ConfigStatus
		for i := range 100 {
			r := report(configv1.ConfigState_CONFIG_STATE_APPLIED, revision)
			r.Name = fmt.Sprint("agent", i)
			statuses = append(statuses, r)
		}
		if err := s.Report(b.Context(), statuses...); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkCommitToFollow(b *testing.B) {
	path := filepath.Join(b.TempDir(), "config.db")
	s, h := open(b, path), newHand(b, path)
	h.Exec(b, "INSERT INTO agent_config (id, name) VALUES (1, 'a')")
	at, err := s.Snapshot(b.Context(), func(change.Row) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	f := changetest.Follow(b, s, at)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h.Exec(b, fmt.Sprintf("UPDATE agent_config SET filter = 'port %d'", i))
		f.Next(b)
	}
	f.Stop(b)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
