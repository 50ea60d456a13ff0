// Package sqlite follows configuration tables in a SQLite file. Operators write it with any client, most often the sqlite3
// program, which gives up at once when it finds the file locked: so we read without locking (WAL), and what we write
// is short. Triggers note each change in a feed, config_change, in the operator's own transaction; a reader looks fifty times
// a second whether anybody has committed, and reads the changed rows as they are now.
//
//	UPDATE agent_config ─> trigger ─> config_change ─┐ data_version
//	         └───────────── the row as it is ────────┴─> Follow
//
// An operator may do anything to the file. Tables that come back without their triggers get them again, and the reader is
// told to take a snapshot; so it is when another file lies at the path. (Who replaces the file removes its -wal and -shm
// too, as SQLite asks; .restore of the sqlite3 program needs no such care.)
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mattn/go-sqlite3"

	"sonde.example/confsync/change"
	"sonde.example/internal/retry"
)

// busyTimeout bounds one wait for a lock, in which a context is not looked at; whoever waits longer tries again.
const busyTimeout = 200 * time.Millisecond

// Source is a change.Source on one file.
type Source struct {
	path string

	mu sync.Mutex // guards db, and is held while a report is written
	db *database
}

var _ change.Source = (*Source)(nil)

// database is an open file.
type database struct {
	read, write *sql.DB
	file        os.FileInfo
	reports     reports
}

// Open opens the file, and makes it and its folder when they are not there. It refuses databases of other programs.
// While another program holds the lock it waits, until ctx ends.
func Open(ctx context.Context, path string) (*Source, error) {
	if path == "" {
		return nil, errors.New("sqlite: no path; write sqlite:PATH")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("sqlite: make the folder of %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: unable to open %s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	db, err := openDatabase(ctx, path, true)
	if err != nil {
		return nil, err
	}
	return &Source{path: path, db: db}, nil
}

// OpenDB opens the file for whoever edits the tables, which must be there. A writer waits up to five seconds for others.
func OpenDB(ctx context.Context, path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("sqlite: no configuration: %w", err)
	}
	db := open(path, nil, "immediate", 5*time.Second, false)
	if err := ensure(ctx, db, path, true); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openDatabase makes the operators' tables only where it is told to.
func openDatabase(ctx context.Context, path string, operators bool) (*database, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	db := &database{
		read: open(path, info, "deferred", busyTimeout, true), write: open(path, info, "immediate", busyTimeout, false), file: info,
	}
	err = whenFree(ctx, func(ctx context.Context) error { return ensure(ctx, db.write, path, operators) })
	if err == nil {
		err = errors.Join(db.reports.prepare(ctx, db.write), connect(ctx, db.read))
	}
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// open opens connections: up to two that read, for a Snapshot may be taken while Follow runs, or one that writes.
// A file that is not nil is the only one that is opened.
func open(path string, file os.FileInfo, lock string, busy time.Duration, readOnly bool) *sql.DB {
	connections, only := 1, "false"
	if readOnly {
		connections, only = 2, "true"
	}
	dsn := fmt.Sprintf("file:%s?mode=rw&_journal_mode=WAL&_synchronous=NORMAL&_txlock=%s&_busy_timeout=%d&_query_only=%s",
		(&url.URL{Path: path}).EscapedPath(), lock, busy.Milliseconds(), only)
	db := sql.OpenDB(connector{path, dsn, file})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db
}

// connect opens all that read at once, while the file is there.
func connect(ctx context.Context, db *sql.DB) error {
	var conns []*sql.Conn
	var err error
	for range db.Stats().MaxOpenConnections {
		conn, failed := db.Conn(ctx)
		if failed != nil {
			err = fmt.Errorf("sqlite: open: %w", failed)
			break
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		err = errors.Join(err, conn.Close())
	}
	return err
}

func (d *database) close() error {
	return errors.Join(d.read.Close(), d.reports.close(), d.write.Close())
}

// current returns the database that lies at the path now. Only the goroutine of Snapshot and Follow calls it.
func (s *Source) current(ctx context.Context) (*database, error) {
	info, err := os.Stat(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return s.db, nil // gone, or between two
	}
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if os.SameFile(info, s.db.file) || info.Size() == 0 { // empty: somebody has only begun
		return s.db, nil
	}
	db, err := openDatabase(ctx, s.path, false)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	old := s.db
	s.db = db
	s.mu.Unlock()
	if err := old.close(); err != nil {
		return nil, fmt.Errorf("sqlite: close the file that was replaced: %w", err)
	}
	return db, nil
}

// Close waits for a report that is being written. Nobody uses the source any more.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.close()
}

// whenFree calls fn until no other program is in its way, or ctx ends.
func whenFree(ctx context.Context, fn func(context.Context) error) error {
	policy := retry.Policy{Initial: 5 * time.Millisecond, Max: 100 * time.Millisecond}
	return retry.Do(ctx, policy, func(ctx context.Context) error {
		err := fn(ctx)
		if busy(err) {
			return err
		}
		return retry.Permanent(err)
	})
}

// errMeanwhile says that the schema has changed since it was looked at, by an operator or by our own repair.
var errMeanwhile = errors.New("the tables have changed meanwhile")

// busy tells that another program is in the way.
func busy(err error) bool {
	if errors.Is(err, errMeanwhile) {
		return true
	}
	e, ok := errors.AsType[sqlite3.Error](err)
	return ok && (e.Code == sqlite3.ErrBusy || e.Code == sqlite3.ErrLocked)
}

// connector opens connections without a driver registered by name, which would be known in the whole process.
type connector struct {
	path, dsn string
	file      os.FileInfo // nil: any
}

func (c connector) Connect(context.Context) (driver.Conn, error) {
	if c.file != nil {
		// A connection that is opened late must not find another file, one that somebody is still writing perhaps.
		if info, err := os.Stat(c.path); err != nil || !os.SameFile(info, c.file) {
			return nil, errors.Join(errMeanwhile, err)
		}
	}
	return c.Driver().Open(c.dsn)
}

func (c connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }
