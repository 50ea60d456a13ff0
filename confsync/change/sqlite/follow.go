package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sonde.example/confsync/change"
)

// pollInterval is how often Follow looks whether somebody has committed: one PRAGMA, ten microseconds.
const pollInterval = 20 * time.Millisecond

// timeForm is how times stand in the tables, UTC.
const timeForm = "2006-01-02 15:04:05.999999999"

// lastSequence is the number of the newest change, also when it was trimmed.
const lastSequence = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'config_change'), 0)"

// position is a change.Position taken apart.
type position struct {
	database string
	sequence int64
}

func (p position) String() string { return fmt.Sprintf("sqlite:%s/%d", p.database, p.sequence) }

func parsePosition(text change.Position) (position, error) {
	rest, isOurs := strings.CutPrefix(string(text), "sqlite:")
	database, number, found := strings.Cut(rest, "/")
	sequence, err := strconv.ParseInt(number, 10, 64)
	if !isOurs || !found || err != nil {
		return position{}, fmt.Errorf("sqlite: position %.80q: %w", text, change.ErrPositionLost)
	}
	return position{database, sequence}, nil
}

// newest is the position of what a transaction sees.
func newest(ctx context.Context, q queryer) (p position, err error) {
	if err := q.QueryRowContext(ctx, "SELECT value FROM config_meta WHERE name = 'id'").Scan(&p.database); err != nil {
		return p, err
	}
	return p, q.QueryRowContext(ctx, lastSequence).Scan(&p.sequence)
}

// Snapshot implements change.Source. The rows are read before the first is given, so take may be slow.
func (s *Source) Snapshot(ctx context.Context, take func(change.Row) error) (change.Position, error) {
	db, err := s.current(ctx)
	if err != nil {
		return "", err
	}
	var at position
	var rows []change.Row
	err = whenFree(ctx, func(ctx context.Context) error {
		if err := ensure(ctx, db.write, s.path, false); err != nil {
			return err
		}
		return reading(ctx, db.read, func(tx *sql.Tx) (err error) {
			at, rows, err = everything(ctx, tx)
			return err
		})
	})
	if err != nil {
		return "", fmt.Errorf("sqlite: snapshot: %w", err)
	}
	for _, r := range rows {
		if err := take(r); err != nil {
			return "", err
		}
	}
	return change.Position(at.String()), nil
}

func everything(ctx context.Context, tx *sql.Tx) (at position, rows []change.Row, err error) {
	missing, err := inspect(ctx, tx)
	if err == nil && len(missing) > 0 {
		err = errMeanwhile
	}
	if err != nil {
		return at, nil, err
	}
	if at, err = newest(ctx, tx); err != nil {
		return at, nil, err
	}
	for _, w := range watched() {
		err := readRows(ctx, tx, w.table, "", func(r change.Row) { rows = append(rows, r) })
		if err != nil {
			return at, nil, err
		}
	}
	return at, rows, nil
}

// transactor begins transactions: a database, or one connection of it.
type transactor interface {
	BeginTx(ctx context.Context, o *sql.TxOptions) (*sql.Tx, error)
}

// reading calls fn with a transaction that sees one state and locks nobody out.
func reading(ctx context.Context, db transactor, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = fn(tx)
	if ended := tx.Rollback(); !errors.Is(ended, sql.ErrTxDone) { // done: ctx ended
		err = errors.Join(err, ended)
	}
	return err
}

// readRows gives the rows of a table as they are, by id; none when there is no such table.
func readRows(ctx context.Context, q queryer, table change.Table, where string, take func(change.Row), args ...any) error {
	columns, err := columnsOf(ctx, q, table)
	if err != nil || len(columns) == 0 {
		return err
	}
	return each(ctx, q, func(rows *sql.Rows) error {
		names, err := rows.Columns()
		if err != nil {
			return err
		}
		r := change.Row{Table: table, Columns: make(map[string]*string, len(names))}
		values := make([]*string, len(names)-1)
		into := []any{&r.ID}
		for i := range values {
			into = append(into, &values[i])
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range values {
			r.Columns[strings.ToLower(names[i+1])] = v
		}
		if rev := r.Columns["rev"]; rev != nil {
			// Whatever an operator wrote there, the trigger has replaced it; without triggers it is not known.
			r.Rev, _ = strconv.ParseUint(*rev, 10, 64)
		}
		r.CommitTime = parseTime(r.Columns["updated_at"])
		take(r)
		return nil
	}, "SELECT rowid, * FROM "+string(table)+where+" ORDER BY rowid", args...)
}

// parseTime returns zero for what is no time.
func parseTime(text *string) time.Time {
	if text == nil {
		return time.Time{}
	}
	t, err := time.Parse(timeForm, *text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// Follow implements change.Source.
func (s *Source) Follow(ctx context.Context, from change.Position, apply func(change.Transaction) error) (err error) {
	at, err := parsePosition(from)
	if err != nil {
		return err
	}
	f := follower{source: s, at: at}
	defer func() { err = errors.Join(err, f.leave()) }()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		t, err := f.next(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case busy(err): // the next look will do
		case err != nil:
			return fmt.Errorf("sqlite: follow %s: %w", s.path, err)
		case len(t.Rows) > 0 || t.Again:
			if err := apply(t); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follower is one call of Follow. It keeps one connection, for only on the same one data_version tells of others.
type follower struct {
	source  *Source
	db      *database
	conn    *sql.Conn
	at      position
	version int64 // data_version at the last complete look
	schema  int64 // schema_version then
	looked  bool  // whether at was good once
	again   bool  // owed
}

func (f *follower) leave() error {
	if f.conn == nil {
		return nil
	}
	err := f.conn.Close()
	f.conn = nil
	if errors.Is(err, sql.ErrConnDone) { // its database was closed when the file was replaced
		return nil
	}
	return err
}

// next returns what came since the last look; nothing, most of the time.
func (f *follower) next(ctx context.Context) (t change.Transaction, err error) {
	db, err := f.source.current(ctx)
	if err != nil {
		return t, err
	}
	if db != f.db {
		if err := f.leave(); err != nil {
			return t, err
		}
		if f.conn, err = db.read.Conn(ctx); err != nil {
			return t, err
		}
		f.db, f.version, f.schema = db, -1, -1
		f.again = f.looked
	}
	version := int64(0)
	if err := f.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil || version == f.version {
		return t, err
	}
	schema := int64(0)
	if err := f.conn.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&schema); err != nil {
		return t, err
	}
	if schema != f.schema {
		if err := ensure(ctx, db.write, f.source.path, false); err != nil {
			return t, err
		}
		f.again = f.again || f.looked
	}
	at := f.at
	err = reading(ctx, f.conn, func(tx *sql.Tx) error {
		now := int64(0)
		if err := tx.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&now); err != nil {
			return err
		}
		if now != schema {
			return errMeanwhile
		}
		at, t.Rows, err = changes(ctx, tx, f.at)
		return err
	})
	if errors.Is(err, change.ErrPositionLost) && f.looked {
		f.again, err = true, nil
	}
	if err != nil {
		return change.Transaction{}, err
	}
	f.version, f.schema, f.at, f.looked = version, schema, at, true
	t.Position, t.Again = change.Position(at.String()), f.again
	f.again = false
	return t, nil
}

// key is a row's place.
type key struct {
	table change.Table
	id    int64
}

// changes returns the rows changed after a position, as they are now, and the newest position, also when from is lost.
func changes(ctx context.Context, tx *sql.Tx, from position) (at position, rows []change.Row, err error) {
	if at, err = newest(ctx, tx); err != nil {
		return at, nil, err
	}
	if from.database != at.database || from.sequence > at.sequence {
		return at, nil, lost(from)
	}
	if from == at {
		return at, nil, nil
	}
	gone := map[key]change.Row{} // until they are found
	last := from.sequence
	err = each(ctx, tx, func(r *sql.Rows) error {
		var k key
		var sequence int64
		var when string
		if err := r.Scan(&sequence, &k.table, &k.id, &when); err != nil {
			return err
		}
		if sequence != last+1 { // trimmed, or somebody has deleted it
			return lost(from)
		}
		last = sequence
		gone[k] = change.Row{Table: k.table, ID: k.id, Rev: uint64(sequence), Deleted: true, CommitTime: parseTime(&when)}
		return nil
	}, "SELECT seq, tbl, id, at FROM config_change WHERE seq > ? ORDER BY seq", from.sequence)
	if err != nil {
		return at, nil, err
	}
	if last != at.sequence {
		return at, nil, lost(from)
	}
	for _, w := range watched() {
		err := readRows(ctx, tx, w.table, " WHERE rowid IN (SELECT id FROM config_change WHERE seq > ? AND tbl = ?)", func(r change.Row) {
			delete(gone, key{r.Table, r.ID})
			rows = append(rows, r)
		}, from.sequence, string(w.table))
		if err != nil {
			return at, nil, err
		}
		for _, r := range gone {
			if r.Table == w.table {
				rows = append(rows, r)
			}
		}
	}
	slices.SortFunc(rows, func(a, b change.Row) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.ID, b.ID))
	})
	return at, rows, nil
}

func lost(p position) error { return fmt.Errorf("position %s: %w", p, change.ErrPositionLost) }
