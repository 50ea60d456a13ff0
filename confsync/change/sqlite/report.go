package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	configv1 "sonde.example/gen/go/sonde/config/v1"
)

// historyLength is how many attempts are kept of each daemon.
const historyLength = 1000

const (
	upsertStatus = `INSERT INTO agent_status (role, name, state, revision_wanted, revision_running, hash, error, field, warning,
		latency_ms, from_cache, boot_id, version, status_time) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (role, name) DO UPDATE SET state = excluded.state, revision_wanted = excluded.revision_wanted,
		revision_running = excluded.revision_running, hash = excluded.hash, error = excluded.error, field = excluded.field,
		warning = excluded.warning, latency_ms = excluded.latency_ms, from_cache = excluded.from_cache,
		boot_id = excluded.boot_id, version = excluded.version, status_time = excluded.status_time`
	insertHistory = `INSERT INTO agent_history (role, name, revision, state, error, field, latency_ms, hash, status_time)
		VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`
	trimHistory = `DELETE FROM agent_history WHERE role = ?1 AND name = ?2 AND id <=
		(SELECT id FROM agent_history WHERE role = ?1 AND name = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)`
)

// reports are the statements of a report, prepared once: the lock is held while they run.
type reports struct{ status, history, trim *sql.Stmt }

func (r *reports) prepare(ctx context.Context, db *sql.DB) error {
	for _, s := range []struct {
		into **sql.Stmt
		text string
	}{{&r.status, upsertStatus}, {&r.history, insertHistory}, {&r.trim, trimHistory}} {
		statement, err := db.PrepareContext(ctx, s.text)
		if err != nil {
			return fmt.Errorf("sqlite: tables of reports: %w", err)
		}
		*s.into = statement
	}
	return nil
}

func (r *reports) close() error {
	var errs []error
	for _, s := range []*sql.Stmt{r.status, r.history, r.trim} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// Report implements change.Source. While another program holds the lock it waits, until ctx ends. It holds the lock itself
// for some 100 microseconds a status, and an operator's client may give up in just that time: report few at once.
func (s *Source) Report(ctx context.Context, statuses ...*configv1.ConfigStatus) error {
	if len(statuses) == 0 {
		return nil
	}
	err := whenFree(ctx, func(ctx context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		tx, err := s.db.write.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		// Once it has the lock it is through in no time, and a context that can end costs the driver a goroutine each time.
		w := writer{context.WithoutCancel(ctx), tx, s.db.reports}
		w.bind()
		for _, status := range statuses {
			if err := w.report(status); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		return tx.Commit()
	})
	if err != nil {
		return fmt.Errorf("sqlite: report: %w", err)
	}
	return nil
}

// writer writes one transaction of reports.
type writer struct {
	ctx context.Context
	tx  *sql.Tx
	reports
}

// bind makes the statements the transaction's; they are closed with it.
func (w *writer) bind() {
	for _, s := range []**sql.Stmt{&w.status, &w.history, &w.trim} {
		*s = w.tx.StmtContext(w.ctx, *s)
	}
}

func (w *writer) report(s *configv1.ConfigStatus) error {
	state := strings.TrimPrefix(s.GetState().String(), "CONFIG_STATE_")
	var latency *int64
	if s.GetLatency() != nil {
		ms := s.GetLatency().AsDuration().Milliseconds()
		latency = &ms
	}
	wanted, when := int64(s.GetWantedRevision()), s.GetStatusTime().AsTime().Format("2006-01-02 15:04:05.000000")
	_, err := w.status.ExecContext(w.ctx, s.GetRole(), s.GetName(), state, wanted, int64(s.GetRunningRevision()), s.GetRunningHash(),
		s.GetError(), s.GetField(), s.GetWarning(), latency, s.GetFromCache(), s.GetBootId(), s.GetVersion(), when)
	if err != nil {
		return err
	}
	done, err := w.history.ExecContext(w.ctx, s.GetRole(), s.GetName(), wanted, state, s.GetError(), s.GetField(), latency,
		s.GetRunningHash(), when)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	_, err = w.trim.ExecContext(w.ctx, s.GetRole(), s.GetName(), historyLength)
	return err
}
