package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/record"
)

// Correct stores a correction; see result.Corrections.
func (s *Store) Correct(ctx context.Context, c *queryv1.Correction, most int) (*queryv1.Result, error) {
	body, err := proto.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("sqlite: correction of %s: %w", c.GetSessionId(), err)
	}
	return s.change(ctx, c.GetSessionId(), func(tx *sql.Tx) error {
		// The new one gets a new number, for it is the youngest now.
		if _, err := tx.ExecContext(ctx, "DELETE FROM corrections WHERE session_id = ?", c.GetSessionId()); err != nil {
			return err
		}
		var others int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM corrections").Scan(&others); err != nil {
			return err
		}
		if others >= most {
			return fmt.Errorf("%d are stored: %w", others, record.ErrFull)
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO corrections (session_id, label, body) VALUES (?, ?, ?)", c.GetSessionId(), c.GetLabel(), body)
		return err
	})
}

// Uncorrect removes a correction; see result.Corrections.
func (s *Store) Uncorrect(ctx context.Context, sessionID string) (*queryv1.Result, error) {
	return s.change(ctx, sessionID, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, "DELETE FROM corrections WHERE session_id = ?", sessionID)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); n > 0 || err != nil {
			return err
		}
		return record.ErrNotFound
	})
}

// change does something to the correction of a session and gives its result, if there is one, a new time of storing, in
// one transaction.
func (s *Store) change(ctx context.Context, sessionID string, do func(*sql.Tx) error) (*queryv1.Result, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("sqlite: begin: %w", err)
	}
	err = do(tx)
	var r *queryv1.Result
	if err == nil {
		r, err = restamp(ctx, tx, sessionID)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: correction of %s: %w", sessionID, err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("sqlite: commit: %w", err)
	}
	return r, nil
}

// restamp returns the result of a session as it is stored from now on, nil when there is none.
func restamp(ctx context.Context, tx *sql.Tx, sessionID string) (*queryv1.Result, error) {
	r, err := scanResult(tx.QueryRowContext(ctx, selectResults+" WHERE session_id = ?", sessionID).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // what Correct promises
	}
	if err != nil {
		return nil, err
	}
	r.StoreTime = timestamppb.Now()
	body, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE results SET body = ? WHERE session_id = ?", body, sessionID)
	return r, err
}

// Correction returns one; see result.Corrections.
func (s *Store) Correction(ctx context.Context, sessionID string) (*queryv1.Correction, error) {
	c := &queryv1.Correction{}
	return c, s.row(ctx, c, "SELECT body FROM corrections WHERE session_id = ?", sessionID)
}

// Corrections pages through corrections; see result.Corrections. The token is the last number of the page before.
func (s *Store) Corrections(ctx context.Context, pageSize int, pageToken string) ([]*queryv1.Correction, string, error) {
	after := int64(0)
	if pageToken != "" {
		var err error
		if after, err = strconv.ParseInt(pageToken, 10, 64); err != nil || after < 1 {
			return nil, "", record.ErrPageToken
		}
	}
	type numbered struct {
		number     int64
		correction *queryv1.Correction
	}
	found, err := rows(ctx, s, func(scan func(...any) error) (numbered, error) {
		var body []byte
		n := numbered{correction: &queryv1.Correction{}}
		if err := scan(&n.number, &body); err != nil {
			return n, err
		}
		return n, proto.Unmarshal(body, n.correction)
	}, "SELECT number, body FROM corrections WHERE number > ? ORDER BY number LIMIT ?", after, pageSize+1)
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(found) > pageSize {
		found = found[:pageSize]
		next = strconv.FormatInt(found[pageSize-1].number, 10)
	}
	corrections := make([]*queryv1.Correction, len(found))
	for i, n := range found {
		corrections[i] = n.correction
	}
	return corrections, next, nil
}
