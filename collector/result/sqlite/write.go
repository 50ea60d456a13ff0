package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mattn/go-sqlite3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/record"
	"sonde.example/internal/retry"
)

// pageSize is a page of a new file in bytes: room for a few heads.
const pageSize = 8192

// checkpointPages is how long the log grows before its pages go into the file, 32 MB: pages that were written to often go
// once.
const checkpointPages = 4096

// connector opens connections with one DSN.
type connector struct{ dsn string }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open(c.dsn)
	if err != nil {
		return nil, err
	}
	// Not part of the DSN, because the size of a page comes before the journal's mode or not at all.
	execer, _ := conn.(driver.ExecerContext)
	_, err = execer.ExecContext(ctx, fmt.Sprintf("PRAGMA page_size = %d; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = %d",
		pageSize, checkpointPages), nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (c connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

type lane struct {
	agent string
	epoch uint64
	index uint32
}

type total struct{ sessions, packets int64 }

// writer is one transaction.
type writer struct {
	ctx     context.Context
	tx      *sql.Tx
	all     *statements // of the connection
	stmts   [countOfStatements]*sql.Stmt
	scratch []byte // SQLite copies what it is given
	totals  map[lane]*total
	merged  []merged
	now     *timestamppb.Timestamp
}

// merged is an entry whose result is to be replaced by what stands in the store, once that is committed.
type merged struct {
	entry *record.Entry
	now   *queryv1.Result
}

// Statements of the writer.
const (
	insertResult = iota
	selectResult
	updateResult
	updateCounts
	upsertHead
	upsertLedger
	addTotal
	countOfStatements
)

type statements [countOfStatements]*sql.Stmt

func (s *statements) prepare(ctx context.Context, db *sql.DB) (err error) {
	for i, text := range [countOfStatements]string{
		insertResult: `INSERT INTO results VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		selectResult: selectResults + ` WHERE session_id = ?`,
		updateResult: `UPDATE results SET state = ?, label = ?, category = ?, probability = ?, unknown = ?, server_name = ?,
			ended = ?, body = ? WHERE session_id = ?`,
		updateCounts: `UPDATE results SET ended = ?, body = ? WHERE session_id = ?`,
		upsertHead:   `INSERT INTO heads VALUES (?,?) ON CONFLICT DO UPDATE SET packets = excluded.packets`,
		upsertLedger: `INSERT INTO ledger VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE
			SET durable = excluded.durable, closed = excluded.closed, body = excluded.body
			WHERE excluded.closed > closed OR (excluded.closed = closed AND excluded.durable >= durable)`,
		addTotal: `INSERT INTO lane_totals VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE
			SET sessions = sessions + excluded.sessions, packets = packets + excluded.packets`,
	} {
		if s[i], err = db.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (s *statements) close() error {
	var errs []error
	for _, stmt := range s {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(errs...)
}

func (w *writer) stmt(i int) *sql.Stmt {
	if w.stmts[i] == nil {
		w.stmts[i] = w.tx.StmtContext(w.ctx, w.all[i]) // closed with the transaction
	}
	return w.stmts[i]
}

func (w *writer) exec(i int, args ...any) (sql.Result, error) {
	return w.stmt(i).ExecContext(w.ctx, args...)
}

// encode lasts until the next call. What cannot be encoded, text that is not UTF-8, never can be.
func (w *writer) encode(m proto.Message) (_ []byte, err error) {
	w.scratch, err = proto.MarshalOptions{}.MarshalAppend(w.scratch[:0], m)
	return w.scratch, retry.Permanent(err)
}

func (w *writer) job(j *job) error {
	w.now = timestamppb.Now()
	for _, e := range j.entries {
		if err := w.entry(e); err != nil {
			return fmt.Errorf("session %s: %w", e.Result.GetSessionId(), err)
		}
	}
	for _, e := range j.ledger {
		if err := w.ledger(e); err != nil {
			return fmt.Errorf("ledger of %s: %w", e.GetAgent(), err)
		}
	}
	return nil
}

// entry inserts a new session; one that is there already is read, merged and written back.
func (w *writer) entry(e *record.Entry) error {
	r := e.Result
	r.StoreTime = w.now
	body, err := w.encode(r)
	if err != nil {
		return err
	}
	done, err := w.exec(insertResult, insertArgs(r, body)...)
	if err != nil {
		return err
	}
	inserted, err := done.RowsAffected()
	if err != nil {
		return err
	}
	head := e.Head
	if inserted == 1 {
		w.total(r).add(1, record.Packets(r))
	} else if r, head, err = w.merge(e); err != nil {
		return err
	}
	w.merged = append(w.merged, merged{entry: e, now: r})
	if len(head.GetCaptured()) == 0 {
		return nil
	}
	packets, err := w.encode(head)
	if err != nil {
		return err
	}
	_, err = w.exec(upsertHead, r.GetSessionId(), packets)
	return err
}

// merge returns the result as it stands now, and the head if it is to be replaced.
func (w *writer) merge(e *record.Entry) (*queryv1.Result, *flowv1.Packets, error) {
	r, err := scanResult(w.stmt(selectResult).QueryRowContext(w.ctx, e.Result.GetSessionId()).Scan)
	if err != nil {
		return nil, nil, err
	}
	before := record.Packets(r)
	classification, counts := record.Merge(r, e.Result)
	r.StoreTime = w.now
	body, err := w.encode(r)
	if err != nil {
		return nil, nil, err
	}
	if classification {
		_, err = w.exec(updateResult, append(updateArgs(r), body, r.GetSessionId())...)
	} else {
		_, err = w.exec(updateCounts, r.GetEnded(), body, r.GetSessionId())
	}
	if err != nil {
		return nil, nil, err
	}
	if counts {
		w.total(r).add(0, record.Packets(r)-before)
	}
	if !classification {
		return r, nil, nil
	}
	return r, e.Head, nil
}

func (w *writer) total(r *queryv1.Result) *total {
	l := lane{agent: r.GetAgent(), epoch: r.GetEpoch(), index: r.GetLane()}
	t := w.totals[l]
	if t == nil {
		t = &total{}
		w.totals[l] = t
	}
	return t
}

func (t *total) add(sessions int64, packets uint64) {
	t.sessions += sessions
	t.packets += int64(packets)
}

func (w *writer) addTotals() error {
	for l, t := range w.totals {
		if _, err := w.exec(addTotal, l.agent, int64(l.epoch), l.index, t.sessions, t.packets); err != nil {
			return fmt.Errorf("totals of %s: %w", l.agent, err)
		}
	}
	return nil
}

func (w *writer) ledger(e *fleetv1.LedgerEntry) error {
	body, err := w.encode(e)
	if err != nil {
		return err
	}
	_, err = w.exec(upsertLedger, e.GetAgent(), int64(e.GetEpoch()), e.GetLane(), int64(e.GetDurableSequence()), e.GetClosed(), body)
	return err
}

func insertArgs(r *queryv1.Result, body []byte) []any {
	args := []any{
		r.GetSessionId(), r.GetAgent(), int64(r.GetEpoch()), r.GetLane(), r.GetCapturePoint(), r.GetCommunityId(),
		r.GetStartTime().AsTime().UnixNano(), r.GetIpProtocol(),
		addressKey(r.GetClient()), r.GetClient().GetPort(), addressKey(r.GetServer()), r.GetServer().GetPort(),
	}
	return append(append(args, updateArgs(r)...), body)
}

// updateArgs are the columns that change, in the order of the table.
func updateArgs(r *queryv1.Result) []any {
	c := r.GetClassification()
	return []any{
		int32(r.GetState()), c.GetLabel(), c.GetCategory(), float64(c.GetProbability()), c.GetUnknown(),
		r.GetHandshake().GetServerName(), r.GetEnded(),
	}
}

// addressKey is 16 bytes, IPv4 mapped into IPv6, or empty for an address that is none.
func addressKey(e *queryv1.Endpoint) []byte {
	a, err := netip.ParseAddr(e.GetAddress())
	if err != nil {
		return []byte{}
	}
	key := a.As16()
	return key[:]
}
