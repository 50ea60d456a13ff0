// Package changetest holds every change.Source to the promises of its interface, whatever it follows: a feed that triggers
// write, a binlog, a topic. A test gives it an empty database with the configuration tables, and a hand that writes to it.
package changetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"sonde.example/confsync/change"
)

// patience is how long the suite waits for what must come.
const patience = 20 * time.Second

// Writer is the operator's hand: a client of the database that has nothing to do with the source. The suite's SQL is what
// SQLite and MariaDB both understand.
type Writer interface {
	// Exec commits statements in one transaction.
	Exec(t testing.TB, statements ...string)
	// Rollback takes them back instead.
	Rollback(t testing.TB, statements ...string)
	// Query returns all values as text; NULL is "NULL".
	Query(t testing.TB, query string) [][]string
}

// Fixture is an empty database and a source on it.
type Fixture struct {
	Source change.Source
	Writer Writer
	// Reopen opens another source on the same database, after the first was closed.
	Reopen func(t testing.TB) change.Source
}

// Run runs the suite. Each test has a fixture of its own; the suite closes its source.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	for name, test := range map[string]func(*testing.T, *world){
		"snapshot":                testSnapshot,
		"changes":                 testChanges,
		"revs":                    testRevs,
		"transactions are whole":  testWhole,
		"rolled back":             testRollback,
		"renamed":                 testRenamed,
		"all rows deleted":        testAllDeleted,
		"goes on from a position": testPosition,
		"lost positions":          testLost,
		"new columns":             testNewColumns,
		"lost columns":            testLostColumns,
		"apply ends it":           testApplyEnds,
		"reports":                 testReports,
		"history":                 testHistory,
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{Fixture: open(t), open: open}
			t.Cleanup(func() {
				if err := w.Source.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test(t, w)
		})
	}
}

// world is one test's fixture.
type world struct {
	Fixture
	open func(t *testing.T) Fixture
}

func (w *world) exec(t testing.TB, statements ...string) {
	t.Helper()
	w.Writer.Exec(t, statements...)
}

// snapshot returns all rows and the position after them.
func (w *world) snapshot(t testing.TB) ([]change.Row, change.Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var rows []change.Row
	at, err := w.Source.Snapshot(ctx, func(r change.Row) error {
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	return rows, at
}

// Following is a Follow that runs until the test ends or Stop is called. Tests of one source's own use it too.
type Following struct {
	transactions chan change.Transaction
	ended        chan error
	cancel       context.CancelFunc
	// Rows are the newest of each row, by "table/id".
	Rows map[string]change.Row
	// Position is the newest.
	Position change.Position
	// Again is how often a snapshot was asked for.
	Again int
}

// Follow starts one.
func Follow(t testing.TB, source change.Source, from change.Position) *Following {
	ctx, cancel := context.WithCancel(t.Context())
	f := &Following{
		transactions: make(chan change.Transaction), ended: make(chan error, 1), cancel: cancel, Rows: map[string]change.Row{},
	}
	go func() {
		f.ended <- source.Follow(ctx, from, func(tx change.Transaction) error {
			select {
			case f.transactions <- tx:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	t.Cleanup(func() { f.Stop(t) })
	return f
}

// Stop ends it and checks that it was the context that did.
func (f *Following) Stop(t testing.TB) {
	t.Helper()
	if f.cancel == nil {
		return
	}
	f.cancel()
	f.cancel = nil
	if err := <-f.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow ended with %v", err)
	}
}

// Next waits for a transaction.
func (f *Following) Next(t testing.TB) change.Transaction {
	t.Helper()
	select {
	case tx := <-f.transactions:
		f.Position = tx.Position
		if tx.Again {
			f.Again++
		}
		for _, r := range tx.Rows {
			f.Rows[fmt.Sprintf("%s/%d", r.Table, r.ID)] = r
		}
		return tx
	case err := <-f.ended:
		f.cancel()
		f.cancel = nil
		t.Fatalf("Follow ended: %v", err)
	case <-time.After(patience):
		t.Fatal("no transaction came")
	}
	return change.Transaction{}
}

// Await takes transactions until a condition holds. It checks what holds for every transaction.
func (f *Following) Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for !holds() {
		select {
		case <-t.Context().Done():
			t.Fatalf("waiting for %s", what)
		default:
		}
		tx := f.Next(t)
		if tx.Position == "" {
			t.Errorf("a transaction has no position: %+v", tx)
		}
		for _, r := range tx.Rows {
			if r.Deleted != (r.Columns == nil) || r.ID == 0 || r.Table == "" {
				t.Errorf("strange row %+v", r)
			}
		}
	}
}

// row returns the newest of a row that is there.
func (f *Following) row(table change.Table, id int64) (change.Row, bool) {
	r, ok := f.Rows[fmt.Sprintf("%s/%d", table, id)]
	return r, ok && !r.Deleted
}

// gone tells that a row was deleted.
func (f *Following) gone(table change.Table, id int64) bool {
	return f.Rows[fmt.Sprintf("%s/%d", table, id)].Deleted
}

// Text returns a column of a row: "NULL" when it is, "-" when there is none.
func Text(r change.Row, column string) string {
	v, ok := r.Columns[column]
	switch {
	case !ok:
		return "-"
	case v == nil:
		return "NULL"
	}
	return *v
}
