package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/record"
)

// correctedLabel is the column of a query on results that scanResult wants beside the body.
const correctedLabel = "(SELECT label FROM corrections AS c WHERE c.session_id = results.session_id)"

// selectResults is what scanResult reads, without conditions.
const selectResults = "SELECT body, " + correctedLabel + " FROM results"

// scanResult reads a result. The corrected label within the body is of the time when that was written; it does not count.
func scanResult(scan func(...any) error, more ...any) (*queryv1.Result, error) {
	var body []byte
	var label sql.NullString
	if err := scan(append([]any{&body, &label}, more...)...); err != nil {
		return nil, err
	}
	r := &queryv1.Result{}
	if err := proto.Unmarshal(body, r); err != nil {
		return nil, err
	}
	r.CorrectedLabel = label.String
	return r, nil
}

// List pages through results; see result.Store. The token is the last session id of the page before.
func (s *Store) List(ctx context.Context, f record.Filter, pageSize int, pageToken string) ([]*queryv1.Result, string, error) {
	where, args := conditions(f)
	if pageToken != "" {
		if _, err := ulid.ParseStrict(pageToken); err != nil {
			return nil, "", record.ErrPageToken
		}
		where, args = append(where, "session_id < ?"), append(args, pageToken)
	}
	query := selectResults
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	results, err := s.results(ctx, query+" ORDER BY session_id DESC LIMIT ?", append(args, pageSize+1)...)
	if err != nil || len(results) <= pageSize {
		return results, "", err
	}
	return results[:pageSize], results[pageSize-1].GetSessionId(), nil
}

// Open returns what has not ended; see result.Past.
func (s *Store) Open(ctx context.Context, agent string, exceptEpoch uint64) ([]*queryv1.Result, error) {
	return s.results(ctx, selectResults+" WHERE ended = 0 AND agent = ? AND epoch != ? ORDER BY session_id",
		agent, int64(exceptEpoch))
}

func (s *Store) results(ctx context.Context, query string, args ...any) ([]*queryv1.Result, error) {
	return rows(ctx, s, func(scan func(...any) error) (*queryv1.Result, error) {
		return scanResult(scan)
	}, query, args...)
}

// rows collects what one reads from each row of a query.
func rows[T any](ctx context.Context, s *Store, one func(scan func(...any) error) (T, error), query string, args ...any) (all []T, err error) {
	found, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	defer func() {
		if closed := found.Close(); err == nil {
			err = closed
		}
	}()
	for found.Next() {
		v, err := one(found.Scan)
		if err != nil {
			return nil, fmt.Errorf("sqlite: %w", err)
		}
		all = append(all, v)
	}
	return all, found.Err()
}

// Sessions returns what is stored of some sessions; see result.Past.
func (s *Store) Sessions(ctx context.Context, ids ...string) (map[string]*record.Entry, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	entries, err := rows(ctx, s, func(scan func(...any) error) (*record.Entry, error) {
		var packets []byte
		r, err := scanResult(scan, &packets)
		if err != nil || packets == nil {
			return &record.Entry{Result: r}, err
		}
		e := &record.Entry{Result: r, Head: &flowv1.Packets{}}
		return e, proto.Unmarshal(packets, e.Head)
	}, "SELECT results.body, "+correctedLabel+`, h.packets FROM json_each(?) AS wanted JOIN results ON results.session_id = wanted.value
		LEFT JOIN heads AS h ON h.session_id = results.session_id`, string(list))
	if err != nil {
		return nil, err
	}
	found := make(map[string]*record.Entry, len(entries))
	for _, e := range entries {
		found[e.Result.GetSessionId()] = e
	}
	return found, nil
}

// Ledger returns each lane's entry; see result.Ledger.
func (s *Store) Ledger(ctx context.Context, agent string) ([]*fleetv1.LedgerEntry, error) {
	return rows(ctx, s, func(scan func(...any) error) (*fleetv1.LedgerEntry, error) {
		var body []byte
		var sessions, packets int64
		if err := scan(&body, &sessions, &packets); err != nil {
			return nil, err
		}
		e := &fleetv1.LedgerEntry{}
		if err := proto.Unmarshal(body, e); err != nil {
			return nil, err
		}
		e.StoredSessions, e.StoredPackets = uint64(sessions), uint64(packets)
		return e, nil
	}, `SELECT l.body, coalesce(t.sessions, 0), coalesce(t.packets, 0) FROM ledger AS l
		LEFT JOIN lane_totals AS t ON t.agent = l.agent AND t.epoch = l.epoch AND t.lane = l.lane
		WHERE ?1 = '' OR l.agent = ?1 ORDER BY l.agent, l.epoch, l.lane`, agent)
}

// conditions turns a filter into SQL, one condition a term; values are always parameters.
func conditions(f record.Filter) (where []string, args []any) {
	for _, t := range f.Terms {
		condition, values := condition(t)
		if t.Not {
			condition = "NOT " + condition
		}
		where, args = append(where, condition), append(args, values...)
		if t.Field == "start_time" && !t.Not {
			bounds, values := idBounds(t)
			where, args = append(where, bounds...), append(args, values...)
		}
	}
	return where, args
}

// idBounds are what a condition on the time says of session ids, which begin with its milliseconds: so the table is read
// where it matters only.
func idBounds(t record.Term) (where []string, args []any) {
	if t.Op == ">" || t.Op == ">=" || t.Op == "=" {
		where, args = append(where, "session_id >= ?"), append(args, firstID(t.Time))
	}
	if t.Op == "<" || t.Op == "<=" || t.Op == "=" {
		next := time.UnixMilli(max(t.Time.UnixMilli(), 0) + 1) // earlier ones have the ids of 1970
		where, args = append(where, "session_id < ?"), append(args, firstID(next))
	}
	return where, args
}

func condition(t record.Term) (string, []any) {
	kind, _ := record.FieldKind(t.Field)
	either := " OR " // a session matches when one of its sides does, but differs only when both do
	if t.Op == "!=" {
		either = " AND "
	}
	switch {
	case t.Field == "state":
		state, _ := record.StateNumber(t.Text)
		return fmt.Sprintf("(state %s %d)", t.Op, state), nil // no parameter: else the index of failed ones is not seen to fit
	case t.Field == "corrected_label":
		return correctedCondition(t)
	case t.Field == "start_time":
		return "(start_ns " + string(t.Op) + " ?)", []any{nanoseconds(t.Time)}
	case t.Field == "port":
		return "(client_port " + string(t.Op) + " ?" + either + "server_port " + string(t.Op) + " ?)", []any{t.Number, t.Number}
	case t.Field == "address":
		client, values := addressCondition("client_address", t)
		server, _ := addressCondition("server_address", t)
		return "(" + client + either + server + ")", append(values, values...)
	case kind == record.Address:
		return addressCondition(column(t.Field), t)
	case kind == record.Text:
		return "(" + column(t.Field) + " " + string(t.Op) + " ?)", []any{t.Text}
	case kind == record.Bool:
		return "(" + column(t.Field) + " " + string(t.Op) + " ?)", []any{t.Bool}
	default:
		return "(" + column(t.Field) + " " + string(t.Op) + " ?)", []any{t.Number}
	}
}

// correctedCondition goes by the corrections, which are few, so that the results wanted are found by their ids. The empty
// label is that of all others.
func correctedCondition(t record.Term) (string, []any) {
	in := "IN"
	if (t.Op == "=") == (t.Text == "") {
		in = "NOT IN"
	}
	if t.Text == "" {
		return "(session_id " + in + " (SELECT session_id FROM corrections))", nil
	}
	return "(session_id " + in + " (SELECT session_id FROM corrections WHERE label = ?))", []any{t.Text}
}

// nanoseconds are those since 1970, as near as an integer comes to times before 1678 and after 2262.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// column is the field's column: only names that FieldKind knows come here.
func column(f record.Field) string { return strings.ReplaceAll(string(f), ".", "_") }

// addressCondition compares with the range of a prefix. IPv4 lies mapped in ::ffff:0:0/96, so an IPv6 prefix that covers it
// (::/0, say) must leave it out.
func addressCondition(column string, t record.Term) (string, []any) {
	low := t.Prefix.Addr().As16()
	high := low
	bits := t.Prefix.Bits()
	if t.Prefix.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		high[i/8] |= 1 << (7 - i%8)
	}
	condition := "(" + column + " BETWEEN ? AND ?)"
	args := []any{low[:], high[:]}
	if mapped := netip.MustParsePrefix("::ffff:0:0/96"); !t.Prefix.Addr().Is4() && t.Prefix.Overlaps(mapped) {
		condition = "(" + condition + " AND NOT " + column + " BETWEEN x'00000000000000000000ffff00000000' AND x'00000000000000000000ffffffffffff')"
	}
	if t.Op == "!=" {
		condition = "(NOT " + condition + ")"
	}
	return condition, args
}
