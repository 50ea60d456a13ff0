package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3" // the driver by name, to make a foreign database

	"sonde.example/collector/result/resulttest"
	"sonde.example/collector/result/sqlite"
)

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	resulttest.Run(t, func(t *testing.T) resulttest.Backend {
		return open(t, filepath.Join(t.TempDir(), "new folder", "results 100%.db"))
	})
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign.db")
	newer := filepath.Join(dir, "newer.db")
	for path, statement := range map[string]string{
		foreign: "CREATE TABLE cats (name TEXT)",
		newer:   "PRAGMA user_version = 99",
	} {
		db, err := sql.Open("sqlite3", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		text:    "not a database",
		foreign: "another program",
		newer:   "newer version",
		dir:     "unable to open",
		"":      "no path",
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
}

// Failed results are looked for among millions each hour.
func TestFailedResultsAreFoundByTheirIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var plan string
	row := db.QueryRow(`EXPLAIN QUERY PLAN SELECT body FROM results WHERE (state = 3) AND session_id < ? ORDER BY session_id DESC LIMIT ?`, "x", 1)
	if err := row.Scan(new(int), new(int), new(int), &plan); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(plan, "results_failed") {
		t.Errorf("SQLite means to %s", plan)
	}
}
