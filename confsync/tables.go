package confsync

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sonde.example/confsync/change"
	"sonde.example/confsync/publish"
	"sonde.example/internal/config"
)

// ErrNotFound is returned for a row that is not there.
var ErrNotFound = errors.New("no such row")

// Field is a column of a row; a Value of nil is NULL, which in a setting means inherited.
type Field struct {
	Name  string
	Value *string
}

// Record is a row, in the order of its table's columns.
type Record []Field

// Get returns the value of a column, "" for NULL and for what is not there.
func (r Record) Get(name string) string {
	for _, f := range r {
		if f.Name == name && f.Value != nil {
			return *f.Value
		}
	}
	return ""
}

// Tables are the configuration tables as an operator's command sees them: what SQL can do with them, without SQL. Each
// method is a transaction of its own and may be called by several goroutines.
//
// A table is agent_config, agent_group or service_config. A row is known by its name; in service_config that is
// role/name, or the role alone for the one named "default".
type Tables struct{ db *sql.DB }

// OpenTables opens tables that are there: "sqlite:PATH".
func OpenTables(ctx context.Context, url string) (*Tables, error) {
	db, err := openTables(ctx, url)
	if err != nil {
		return nil, err
	}
	return &Tables{db}, nil
}

// Close gives the connection back.
func (t *Tables) Close() error { return t.db.Close() }

// List returns all rows of a table, by name.
func (t *Tables) List(ctx context.Context, table change.Table) ([]Record, error) {
	by, err := nameColumns(table)
	if err != nil {
		return nil, err
	}
	return query(ctx, t.db, "SELECT * FROM "+string(table)+" ORDER BY "+strings.Join(by, ", "))
}

// Get returns one row, or ErrNotFound.
func (t *Tables) Get(ctx context.Context, table change.Table, name string) (Record, error) {
	where, key, err := whereNamed(table, name)
	if err != nil {
		return nil, err
	}
	rows, err := query(ctx, t.db, "SELECT * FROM "+string(table)+where, key...)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s %s: %w", table, name, ErrNotFound)
	}
	return rows[0], nil
}

// Columns returns the columns of a table that Set takes.
func (t *Tables) Columns(ctx context.Context, table change.Table) ([]string, error) {
	if _, err := nameColumns(table); err != nil {
		return nil, err
	}
	return settable(ctx, t.db, table)
}

// Set writes columns of a row, nil for NULL, and makes the row if it is not there. The values are not checked here: whoever
// follows the tables does, and says what is wrong in the status. An unknown column is an error that names the known ones.
func (t *Tables) Set(ctx context.Context, table change.Table, name string, columns map[string]*string) (err error) {
	where, key, err := whereNamed(table, name)
	if err != nil {
		return err
	}
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("set %s %s: %w", table, name, err)
	}
	if err := set(ctx, tx, table, where, key, columns); err != nil {
		return fmt.Errorf("set %s %s: %w", table, name, errors.Join(err, tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("set %s %s: %w", table, name, err)
	}
	return nil
}

func set(ctx context.Context, tx *sql.Tx, table change.Table, where string, key []any, columns map[string]*string) error {
	known, err := settable(ctx, tx, table)
	if err != nil {
		return err
	}
	var names []string
	var values []any
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		if !slices.Contains(known, name) {
			return config.Wrong(name, "no column to be set; there are %s", strings.Join(known, ", "))
		}
		names, values = append(names, "`"+strings.ReplaceAll(name, "`", "``")+"`"), append(values, columns[name])
	}
	rows, err := query(ctx, tx, "SELECT id FROM "+string(table)+where, key...)
	switch {
	case err != nil:
		return err
	case len(rows) > 0 && len(names) == 0:
		return nil
	case len(rows) > 0:
		_, err = tx.ExecContext(ctx, "UPDATE "+string(table)+" SET "+strings.Join(names, " = ?, ")+" = ?"+where, append(values, key...)...)
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	by, err := nameColumns(table)
	if err != nil {
		return err
	}
	names, values = append(by, names...), append(slices.Clone(key), values...)
	_, err = tx.ExecContext(ctx, "INSERT INTO "+string(table)+" ("+strings.Join(names, ", ")+") VALUES (?"+
		strings.Repeat(", ?", len(names)-1)+")", values...)
	return err
}

// Delete deletes a row, or returns ErrNotFound.
func (t *Tables) Delete(ctx context.Context, table change.Table, name string) error {
	where, key, err := whereNamed(table, name)
	if err != nil {
		return err
	}
	done, err := t.db.ExecContext(ctx, "DELETE FROM "+string(table)+where, key...)
	if err != nil {
		return fmt.Errorf("delete %s %s: %w", table, name, err)
	}
	n, err := done.RowsAffected()
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete %s %s: %w", table, name, err)
	}
	return nil
}

// Status returns rows of agent_status, by role and name: of one daemon, of a role when name is empty, of all when both are.
func (t *Tables) Status(ctx context.Context, role, name string) ([]Record, error) {
	return query(ctx, t.db, "SELECT * FROM agent_status WHERE (? = '' OR role = ?) AND (? = '' OR name = ?) ORDER BY role, name",
		role, role, name, name)
}

// WantedHash returns the hash that a daemon's status has once it runs what its row asks for now; empty when the row is not
// there, or is wrong, so that it will not run.
func (t *Tables) WantedHash(ctx context.Context, role, name string) (string, error) {
	table, key := change.ServiceConfig, role+"/"+name
	if role == config.RoleAgent {
		table, key = change.AgentConfig, name
	}
	row, err := t.Get(ctx, table, key)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	var over Record
	if group := row.Get("group_name"); role == config.RoleAgent && group != "" {
		over, err = t.Get(ctx, change.AgentGroup, group)
		if errors.Is(err, ErrNotFound) {
			return "", nil
		} else if err != nil {
			return "", err
		}
	}
	hash, err := publish.Hash(role, over.columns(), row.columns())
	if err != nil {
		return "", nil //nolint:nilerr // the status says what is wrong
	}
	return hash, nil
}

// columns are the fields by name.
func (r Record) columns() map[string]*string {
	columns := map[string]*string{}
	for _, f := range r {
		columns[f.Name] = f.Value
	}
	return columns
}

// History returns up to limit rows of agent_history, newest first; role and name as in Status.
func (t *Tables) History(ctx context.Context, role, name string, limit int) ([]Record, error) {
	return query(ctx, t.db, "SELECT * FROM agent_history WHERE (? = '' OR role = ?) AND (? = '' OR name = ?) ORDER BY id DESC LIMIT ?",
		role, role, name, name, limit)
}

// nameColumns are the columns by which a row is known.
func nameColumns(table change.Table) ([]string, error) {
	switch table {
	case change.AgentConfig, change.AgentGroup:
		return []string{"name"}, nil
	case change.ServiceConfig:
		return []string{"role", "name"}, nil
	}
	return nil, fmt.Errorf("no table %q; there are %s, %s and %s", table, change.AgentConfig, change.AgentGroup, change.ServiceConfig)
}

// whereNamed is the condition that holds for the row of a name.
func whereNamed(table change.Table, name string) (where string, key []any, err error) {
	by, err := nameColumns(table)
	if err != nil {
		return "", nil, err
	}
	if len(by) == 1 {
		return " WHERE name = ?", []any{name}, nil
	}
	role, instance, found := strings.Cut(name, "/")
	if !found {
		instance = config.DefaultName
	}
	return " WHERE role = ? AND name = ?", []any{role, instance}, nil
}

// checkKey keeps rows from being made that could never count.
func checkKey(key []any) error {
	if len(key) > 1 && key[0] != config.RoleCollector && key[0] != config.RoleInference {
		return config.Wrong("role", "%.80q is neither %s nor %s; write role/name", key[0], config.RoleCollector, config.RoleInference)
	}
	if err := config.CheckName(fmt.Sprint(key[len(key)-1])); err != nil {
		return &config.FieldError{Field: "name", Err: err}
	}
	return nil
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// settable are the columns that are neither a row's name nor the triggers' own.
func settable(ctx context.Context, q queryer, table change.Table) (_ []string, err error) {
	rows, err := q.QueryContext(ctx, "SELECT * FROM "+string(table)+" LIMIT 0")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.Contains([]string{"id", "role", "name", "rev", "updated_at"}, name)
	}), rows.Err()
}

// query returns all rows of a query.
func query(ctx context.Context, q queryer, text string, args ...any) (all []Record, err error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("read the tables: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return nil, fmt.Errorf("read the tables: %w", err)
	}
	for rows.Next() {
		r := make(Record, len(names))
		into := make([]any, len(names))
		for i := range r {
			r[i].Name, into[i] = names[i], &r[i].Value
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("read the tables: %w", err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the tables: %w", err)
	}
	return all, nil
}
