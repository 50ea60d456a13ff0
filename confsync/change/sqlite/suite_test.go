package sqlite_test

import (
	"context"
	"database/sql"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3" // the driver by name, for a hand that is not ours

	"sonde.example/confsync/change"
	"sonde.example/confsync/change/changetest"
	"sonde.example/confsync/change/sqlite"
	"sonde.example/internal/testenv"
)

func open(t testing.TB, path string) *sqlite.Source {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hand is an operator with a client that gives up at once when the file is locked.
type hand struct{ db *sql.DB }

func newHand(t testing.TB, path string) hand {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=0&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return hand{db}
}

func (h hand) run(t testing.TB, statements []string) *sql.Tx {
	t.Helper()
	tx, err := h.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := tx.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return tx
}

func (h hand) Exec(t testing.TB, statements ...string) {
	t.Helper()
	if err := h.run(t, statements).Commit(); err != nil {
		t.Fatal(err)
	}
}

func (h hand) Rollback(t testing.TB, statements ...string) {
	t.Helper()
	if err := h.run(t, statements).Rollback(); err != nil {
		t.Fatal(err)
	}
}

func (h hand) Query(t testing.TB, query string) (all [][]string) {
	t.Helper()
	rows, err := h.db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(names))
		for i, v := range values {
			row[i] = "NULL"
			if v.Valid {
				row[i] = v.String
			}
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSource(t *testing.T) {
	changetest.Run(t, func(t *testing.T) changetest.Fixture {
		path := filepath.Join(t.TempDir(), "new folder", "config 100%.db")
		return changetest.Fixture{
			Source: open(t, path),
			Writer: newHand(t, strings.ReplaceAll(path, "%", "%25")),
			Reopen: func(t testing.TB) change.Source { return open(t, path) },
		}
	})
}

// TestProgram is the whole suite with the sqlite3 program as the writer, as operators have it.
func TestProgram(t *testing.T) {
	program, err := exec.LookPath("sqlite3")
	if err != nil {
		program = testenv.Service(t, "sqlite3")
	}
	changetest.Run(t, func(t *testing.T) changetest.Fixture {
		path := filepath.Join(t.TempDir(), "config.db")
		return changetest.Fixture{
			Source: open(t, path),
			Writer: shell{program, path},
			Reopen: func(t testing.TB) change.Source { return open(t, path) },
		}
	})
}

// shell is the sqlite3 program; one process for each transaction.
type shell struct{ program, path string }

func (s shell) run(t testing.TB, script string) string {
	t.Helper()
	// Not the test's context: it may run in a cleanup.
	command := exec.CommandContext(context.WithoutCancel(t.Context()), s.program, "-batch", "-bail", "-nullvalue", "NULL", "-ascii", s.path)
	command.Stdin = strings.NewReader(script)
	var errors strings.Builder
	command.Stderr = &errors
	output, err := command.Output()
	if err != nil || errors.Len() > 0 {
		t.Fatalf("sqlite3: %v %s\n%s", err, errors.String(), script)
	}
	return string(output)
}

func (s shell) Exec(t testing.TB, statements ...string) {
	t.Helper()
	s.run(t, "BEGIN IMMEDIATE;\n"+strings.Join(statements, ";\n")+";\nCOMMIT;\n")
}

func (s shell) Rollback(t testing.TB, statements ...string) {
	t.Helper()
	s.run(t, "BEGIN IMMEDIATE;\n"+strings.Join(statements, ";\n")+";\nROLLBACK;\n")
}

func (s shell) Query(t testing.TB, query string) (all [][]string) {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSuffix(s.run(t, query+";\n"), "\x1e"), "\x1e") {
		if line != "" {
			all = append(all, strings.Split(line, "\x1f"))
		}
	}
	return all
}
