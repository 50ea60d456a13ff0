// Package sqlite keeps results in one SQLite file: the embedded default.
//
// There is one writer at a time. Whoever gets its turn commits what all others waiting have brought, so that one fsync
// serves many micro-batches. The file is in WAL mode with synchronous=FULL, for agents forget what was committed here.
// Readers have connections of their own and never wait for the writer.
package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/collector/result"
	"sonde.example/internal/record"
	"sonde.example/internal/retry"
)

//go:embed schema.sql
var schema string

// schemaVersion is SQLite's user_version of files that this code reads and writes.
const schemaVersion = 1

// readers is how many connections answer queries: as many as a small machine has cores to use them.
const readers = 4

// Store is the result store in one SQLite file. All methods may be called at the same time.
type Store struct {
	write, read *sql.DB
	statements  statements // of write

	turn    sync.Mutex // held by whoever commits; guards scratch
	scratch []byte

	mu      sync.Mutex // guards pending
	pending []*job
}

// job is what one call wants committed. done and err are written by whoever commits it, under turn.
type job struct {
	entries []*record.Entry
	ledger  []*fleetv1.LedgerEntry
	done    bool
	err     error
}

var (
	_ result.Store       = (*Store)(nil)
	_ result.Past        = (*Store)(nil)
	_ result.Corrections = (*Store)(nil)
	_ result.Ledger      = (*Store)(nil)
)

// Open opens or makes the file at path, and the folder it lies in. A file of another program or of a newer version is an
// error, and is left as it is.
func Open(ctx context.Context, path string) (*Store, error) {
	if path == "" {
		return nil, errors.New("sqlite: no path; write sqlite:PATH")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("sqlite: make the folder of %s: %w", path, err)
	}
	// Payload is personal data: nobody else reads it. SQLite gives its log the file's mode.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: unable to open %s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s := &Store{write: open(path, "rwc", "immediate", 1), read: open(path, "rw", "deferred", readers)}
	if err := s.prepare(ctx, path); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open makes a pool of connections; none is opened before it is used. The driver is named here rather than registered, so
// that this package leaves no trace in database/sql.
func open(path, mode, lock string, connections int) *sql.DB {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=" + mode + "&_txlock=" + lock +
		"&_synchronous=FULL&_busy_timeout=10000&_cache_size=-16000"
	db := sql.OpenDB(connector{dsn: dsn})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db
}

func (s *Store) prepare(ctx context.Context, path string) error {
	var version int
	if err := s.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	if version > schemaVersion {
		return fmt.Errorf("sqlite: %s was written by a newer version (schema %d, this one knows %d)", path, version, schemaVersion)
	}
	if version == 0 {
		var tables int
		if err := s.write.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
			return fmt.Errorf("sqlite: open %s: %w", path, err)
		}
		if tables > 0 {
			return fmt.Errorf("sqlite: %s is a database of another program; name another file", path)
		}
	}
	if _, err := s.write.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA user_version = %d;", schemaVersion)); err != nil {
		return fmt.Errorf("sqlite: make tables in %s: %w", path, err)
	}
	if err := s.statements.prepare(ctx, s.write); err != nil {
		return fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	return nil
}

// Close closes the file. Calls under way end first.
func (s *Store) Close() error {
	return errors.Join(s.read.Close(), s.statements.close(), s.write.Close())
}

// Put commits results; see result.Store.
func (s *Store) Put(ctx context.Context, entries ...*record.Entry) error {
	for _, e := range entries {
		if _, err := ulid.ParseStrict(e.Result.GetSessionId()); err != nil {
			return retry.Permanent(fmt.Errorf("sqlite: session id %q: %w", e.Result.GetSessionId(), err))
		}
	}
	return s.commit(ctx, &job{entries: entries})
}

// PutLedger commits ledger entries; see result.Ledger.
func (s *Store) PutLedger(ctx context.Context, entries ...*fleetv1.LedgerEntry) error {
	return s.commit(ctx, &job{ledger: entries})
}

// commit waits for its turn and then commits its own job and all that were brought meanwhile, or finds its own already
// committed by whoever was before it. When the shared transaction fails, each job is tried by itself, so that one bad
// entry fails no other call.
func (s *Store) commit(ctx context.Context, j *job) error {
	s.mu.Lock()
	s.pending = append(s.pending, j)
	s.mu.Unlock()

	s.turn.Lock()
	defer s.turn.Unlock()
	if j.done {
		return j.err
	}
	s.mu.Lock()
	jobs := s.pending
	s.pending = nil
	s.mu.Unlock()

	ctx = context.WithoutCancel(ctx) // the jobs of others go with it
	err := s.transact(ctx, jobs)
	for _, other := range jobs {
		other.done, other.err = true, err
		if err != nil && len(jobs) > 1 {
			other.err = s.transact(ctx, []*job{other})
		}
	}
	return j.err
}

func (s *Store) transact(ctx context.Context, jobs []*job) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqlite: begin: %w", err)
	}
	w := writer{ctx: ctx, tx: tx, all: &s.statements, scratch: s.scratch, totals: map[lane]*total{}}
	defer func() { s.scratch = w.scratch }()
	for _, j := range jobs {
		if err := w.job(j); err != nil {
			return errors.Join(fmt.Errorf("sqlite: %w", err), tx.Rollback())
		}
	}
	if err := w.addTotals(); err != nil {
		return errors.Join(fmt.Errorf("sqlite: %w", err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlite: commit: %w", err)
	}
	for _, m := range w.merged {
		m.entry.Result = m.now
	}
	return nil
}

// Get returns one result; see result.Store.
func (s *Store) Get(ctx context.Context, sessionID string) (*queryv1.Result, error) {
	found, err := s.results(ctx, selectResults+" WHERE session_id = ?", sessionID)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s: %w", sessionID, record.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Packets returns one head; see result.Store.
func (s *Store) Packets(ctx context.Context, sessionID string) (*flowv1.Packets, error) {
	p := &flowv1.Packets{}
	return p, s.row(ctx, p, "SELECT packets FROM heads WHERE session_id = ?", sessionID)
}

func (s *Store) row(ctx context.Context, into proto.Message, query, sessionID string) error {
	var body []byte
	err := s.read.QueryRowContext(ctx, query, sessionID).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: %w", sessionID, record.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("sqlite: read %s: %w", sessionID, err)
	}
	return proto.Unmarshal(body, into)
}

// Purge deletes what is old; see result.Store. Corrections, the ledger and its totals stay.
func (s *Store) Purge(ctx context.Context, results, heads time.Time, limit int) (int, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	deleted := 0
	for _, q := range []struct {
		table  string
		before time.Time
	}{{"heads", heads}, {"results", results}} {
		r, err := s.write.ExecContext(ctx, "DELETE FROM "+q.table+" WHERE session_id IN (SELECT session_id FROM "+q.table+
			" WHERE session_id < ? ORDER BY session_id LIMIT ?)", firstID(q.before), limit)
		if err != nil {
			return deleted, fmt.Errorf("sqlite: purge %s: %w", q.table, err)
		}
		n, err := r.RowsAffected()
		if err != nil {
			return deleted, fmt.Errorf("sqlite: purge %s: %w", q.table, err)
		}
		deleted += int(n)
	}
	return deleted, nil
}

// firstID is the smallest session id of the given time.
func firstID(t time.Time) string {
	var id ulid.ULID
	if ms := t.UnixMilli(); ms > 0 {
		// Beyond the year 10889 SetTime refuses: then every id is older.
		if err := id.SetTime(uint64(ms)); err != nil {
			return "~"
		}
	}
	return id.String()
}
