package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sonde.example/confsync/change"
)

//go:embed tables.sql
var tablesSQL string

//go:embed feed.sql
var feedSQL string

//go:embed triggers.sql
var triggersSQL string

// schemaVersion is the newest that this program knows, kept in user_version.
const schemaVersion = 1

// feedLength is how many changes the feed keeps.
const feedLength = 100_000

// now is the time of the operator's statement, UTC with milliseconds.
const now = "strftime('%Y-%m-%d %H:%M:%f', 'now')"

const (
	trimTrigger = "config_change_trim"
	// The writer of a change takes the oldest away with it, so nobody has to come for it.
	trimSQL = "CREATE TRIGGER " + trimTrigger + " AFTER INSERT ON config_change BEGIN DELETE FROM config_change WHERE seq <= NEW.seq - %d; END;"
)

// watchedTable is a table with triggers.
type watchedTable struct {
	table change.Table
	same  string   // condition: the row has the name of the new one
	key   []string // the columns of a name
}

// watched are all of them, in the order in which they are read.
func watched() []watchedTable {
	const byName = "name = NEW.name"
	return []watchedTable{
		{change.AgentConfig, byName, []string{"name"}},
		{change.AgentGroup, byName, []string{"name"}},
		{change.ServiceConfig, byName + " AND role = NEW.role", []string{"name", "role"}},
	}
}

func triggerNames(table change.Table) []string {
	var names []string
	for _, moment := range []string{"before_insert", "before_update", "after_insert", "after_update", "after_delete"} {
		names = append(names, string(table)+"_"+moment)
	}
	return names
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// ensure makes what is missing: everything, or all but the operators' tables, which may be between DROP and CREATE. When
// changes may have gone unnoticed the database gets another id, so that no position from before is taken for good.
func ensure(ctx context.Context, db *sql.DB, path string, operators bool) error {
	if err := checkOwner(ctx, db, path); err != nil {
		return err
	}
	missing, err := inspect(ctx, db)
	if err == nil && operators {
		missing, err = addTables(ctx, db, missing)
	}
	if err != nil || len(missing) == 0 {
		return wrap(err, path)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return wrap(err, path)
	}
	if err := repair(ctx, tx, operators); err != nil {
		return errors.Join(wrap(err, path), tx.Rollback())
	}
	return wrap(tx.Commit(), path)
}

func wrap(err error, path string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlite: tables of %s: %w", path, err)
}

// checkOwner refuses what is not ours.
func checkOwner(ctx context.Context, db *sql.DB, path string) error {
	var version, tables int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	if version > schemaVersion {
		return fmt.Errorf("sqlite: %s was written by a newer version (schema %d, this one knows %d)", path, version, schemaVersion)
	}
	if version > 0 {
		return nil
	}
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name IN ('agent_config', 'config_change')").Scan(&tables)
	if err != nil || tables > 0 { // a dump does not hold the version
		return wrap(err, path)
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return wrap(err, path)
	}
	if tables > 0 {
		return fmt.Errorf("sqlite: %s is a database of another program; name another file", path)
	}
	return nil
}

// addTables adds the operators' tables that are not there to what is missing.
func addTables(ctx context.Context, q queryer, missing []string) ([]string, error) {
	have, err := objects(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, w := range watched() {
		if have[string(w.table)] == "" {
			missing = append(missing, string(w.table))
		}
	}
	return missing, nil
}

// inspect lists what is missing of the feed: its own tables, and triggers on the operators' tables, as far as they are there.
func inspect(ctx context.Context, q queryer) (missing []string, err error) {
	have, err := objects(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, own := range []string{"config_change", "config_meta", "agent_status", "agent_history"} {
		if have[own] == "" {
			missing = append(missing, own)
		}
	}
	if have[trimTrigger] != "config_change" {
		missing = append(missing, trimTrigger)
	}
	for _, w := range watched() {
		columns, err := columnsOf(ctx, q, w.table)
		if err != nil {
			return nil, err
		}
		for _, trigger := range triggerNames(w.table) {
			// A table without names has no rows that count: it waits until it is made right, and that is a change of the schema.
			if containsAll(columns, w.key) && have[trigger] != string(w.table) {
				missing = append(missing, trigger)
			}
		}
	}
	return missing, nil
}

// objects are the tables and triggers by name, each with the table that it is of.
func objects(ctx context.Context, q queryer) (map[string]string, error) {
	have := map[string]string{}
	err := each(ctx, q, func(rows *sql.Rows) error {
		var name, table string
		if err := rows.Scan(&name, &table); err != nil {
			return err
		}
		have[name] = table
		return nil
	}, "SELECT name, tbl_name FROM sqlite_schema WHERE type IN ('table', 'trigger')")
	return have, err
}

// columnsOf is empty for a table that is not there.
func columnsOf(ctx context.Context, q queryer, table change.Table) (columns []string, err error) {
	err = each(ctx, q, func(rows *sql.Rows) error {
		name := ""
		if err := rows.Scan(&name); err != nil {
			return err
		}
		columns = append(columns, strings.ToLower(name))
		return nil
	}, "SELECT name FROM pragma_table_info(?)", string(table))
	return columns, err
}

func containsAll(all, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(s string) bool { return !slices.Contains(all, s) })
}

// repair makes all anew that can be made anew; tx holds the lock. Twice, by two that found the same missing, does no harm.
func repair(ctx context.Context, tx *sql.Tx, operators bool) error {
	script := feedSQL
	if operators {
		script += tablesSQL
	}
	if _, err := tx.ExecContext(ctx, script); err != nil {
		return err
	}
	highest := int64(0)
	for _, w := range watched() {
		columns, err := columnsOf(ctx, tx, w.table)
		if err != nil {
			return err
		}
		if !containsAll(columns, w.key) {
			continue
		}
		rev, err := repairTable(ctx, tx, w, columns)
		if err != nil {
			return err
		}
		highest = max(highest, rev)
	}
	trim := "DROP TRIGGER IF EXISTS " + trimTrigger + ";" + fmt.Sprintf(trimSQL, feedLength)
	if _, err := tx.ExecContext(ctx, trim); err != nil {
		return err
	}
	return renew(ctx, tx, highest)
}

// repairTable gives a table the columns of the triggers and new triggers, and returns its highest rev.
func repairTable(ctx context.Context, tx *sql.Tx, w watchedTable, columns []string) (rev int64, err error) {
	script := ""
	if !slices.Contains(columns, "rev") {
		script += fmt.Sprintf("ALTER TABLE %s ADD COLUMN rev INTEGER NOT NULL DEFAULT 0;", w.table)
	}
	if !slices.Contains(columns, "updated_at") {
		script += fmt.Sprintf("ALTER TABLE %s ADD COLUMN updated_at TEXT;", w.table)
	}
	for _, name := range triggerNames(w.table) {
		script += "DROP TRIGGER IF EXISTS " + name + ";"
	}
	script += strings.NewReplacer("{table}", string(w.table), "{same}", w.same, "{now}", now).Replace(triggersSQL)
	if _, err := tx.ExecContext(ctx, script); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, fmt.Sprintf("SELECT coalesce(max(CAST(rev AS INTEGER)), 0) FROM %s", w.table)).Scan(&rev)
	return rev, err
}

// renew gives the database another id, and goes on numbering above every number that it has given.
func renew(ctx context.Context, tx *sql.Tx, highest int64) error {
	last := int64(0)
	if err := tx.QueryRowContext(ctx, lastSequence).Scan(&last); err != nil {
		return err
	}
	if last < highest {
		if _, err := tx.ExecContext(ctx, "DELETE FROM sqlite_sequence WHERE name = 'config_change'"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO sqlite_sequence (name, seq) VALUES ('config_change', ?)", highest); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO config_meta (name, value) VALUES ('id', ?) ON CONFLICT DO UPDATE SET value = excluded.value",
		rand.Text())
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
	return err
}

// each calls take for each row of a query.
func each(ctx context.Context, q queryer, take func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := take(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
