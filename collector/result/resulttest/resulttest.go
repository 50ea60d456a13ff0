// Package resulttest is the definition of a result store: what every backend must do, as a suite that each runs.
package resulttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/collector/result"
	"sonde.example/internal/record"
	"sonde.example/internal/retry"
)

// Backend is what a result backend offers.
type Backend interface {
	result.Store
	result.Past
	result.Corrections
	result.Ledger
}

// Run checks a backend. open returns an empty one; it is closed by the suite.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	for name, test := range map[string]func(*testing.T, Backend){
		"twice is once":                        twiceIsOnce,
		"each part goes by its own number":     parts,
		"any order ends alike":                 anyOrder,
		"failed never replaces classification": failed,
		"put returns what stands":              returnsMerged,
		"unknown session is not found":         notFound,
		"list pages newest first":              pages,
		"filter agrees with match":             filters,
		"purge goes by the id":                 purge,
		"past":                                 past,
		"corrections":                          corrections,
		"corrections outlive results":          correctionsStay,
		"corrected labels filter":              correctedFilters,
		"ledger":                               ledger,
		"concurrent writers lose nothing":      concurrent,
		"bad entries leave nothing":            badEntries,
		"bad calls fail alone":                 badFailsAlone,
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			defer func() {
				if err := b.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			test(t, b)
		})
	}
}

// at is the opening time of the n-th session.
func at(n int) time.Time { return time.Unix(1_700_000_000+int64(n), 0) }

func id(n int) string {
	var u ulid.ULID
	if err := u.SetTime(uint64(at(n).UnixMilli())); err != nil {
		panic(err) // a constant time
	}
	u[15] = byte(n)
	return u.String()
}

func session(n int, head uint32, packets uint64, ended bool) *flowv1.Session {
	s := &flowv1.Session{
		Id: id(n), Agent: "a", Epoch: 1<<63 + 7, Number: uint64(n), CapturePoint: "file:x.pcap",
		FiveTuple: &flowv1.FiveTuple{
			ClientAddress: []byte{10, 0, 0, byte(n)}, ClientPort: 1000 + uint32(n),
			ServerAddress: []byte{192, 168, 0, 1}, ServerPort: 443, IpProtocol: 6,
		},
		CommunityId: fmt.Sprintf("1:%d", n),
		Counts: &flowv1.Counts{
			ForwardPackets: packets, ForwardBytes: 100 * packets, OpenedTimeNs: at(n).UnixNano(),
			LastTimeNs: at(n).UnixNano() + int64(packets), Ended: ended,
		},
		HeadPackets: head,
		Evidence:    &flowv1.Evidence{PacketsHeld: head},
	}
	if ended {
		s.Counts.EndReason = flowv1.EndReason_END_REASON_FIN
	}
	if head > 0 {
		s.Head = &flowv1.Packets{
			BaseTimeNs: at(n).UnixNano(), TimeDeltasNs: make([]int64, head), Captured: make([]uint32, head),
			Missing: make([]uint32, head), Flags: make([]uint32, head),
			Interfaces: []*flowv1.Interface{{CapturePoint: "file:x.pcap", LinkType: 1}},
		}
	}
	return s
}

func classified(n int, head uint32, packets uint64, ended bool, label string) *record.Entry {
	return record.New(session(n, head, packets, ended),
		&flowv1.Classification{Label: label, Category: "web", Probability: 0.5, Packets: head, Model: "m", ModelVersion: "1"},
		&flowv1.Handshake{ServerName: label + ".example"}, "")
}

func counted(n int, packets uint64, ended bool) *record.Entry {
	return record.New(session(n, 0, packets, ended), nil, nil, "")
}

func put(t *testing.T, s result.Store, entries ...*record.Entry) {
	t.Helper()
	if err := s.Put(t.Context(), entries...); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func get(t *testing.T, s result.Store, n int) *queryv1.Result {
	t.Helper()
	r, err := s.Get(t.Context(), id(n))
	if err != nil {
		t.Fatalf("Get(%d): %v", n, err)
	}
	return r
}

func wantResult(t *testing.T, got, want *queryv1.Result) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&queryv1.Result{}, "store_time")); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if got.GetStoreTime() == nil {
		t.Error("store_time is unset")
	}
}

func twiceIsOnce(t *testing.T, b Backend) {
	put(t, b, classified(1, 5, 5, false, "http"))
	put(t, b, classified(1, 5, 5, false, "http"), classified(1, 5, 5, false, "http"))
	wantResult(t, get(t, b, 1), classified(1, 5, 5, false, "http").Result)
	all, _, err := b.List(t.Context(), record.Filter{}, 10, "")
	if err != nil || len(all) != 1 {
		t.Errorf("List = %d results, %v; want 1", len(all), err)
	}
}

func parts(t *testing.T, b Backend) {
	put(t, b, classified(1, 24, 24, false, "tls"))
	put(t, b, counted(1, 900, true))                 // counts alone
	put(t, b, classified(1, 3, 3, false, "unknown")) // an earlier hand-over, late
	want := classified(1, 24, 900, true, "tls").Result
	wantResult(t, get(t, b, 1), want)

	put(t, b, classified(1, 30, 100, false, "http")) // a fuller head with older counts
	want = classified(1, 30, 900, true, "http").Result
	wantResult(t, get(t, b, 1), want)
	head, err := b.Packets(t.Context(), id(1))
	if err != nil || len(head.GetCaptured()) != 30 {
		t.Errorf("Packets = %d packets, %v; want 30", len(head.GetCaptured()), err)
	}

	put(t, b, counted(2, 7, false))
	put(t, b, counted(2, 7, true)) // as many packets, now ended
	put(t, b, counted(2, 7, false))
	if r := get(t, b, 2); !r.GetEnded() || r.GetState() != queryv1.ResultState_RESULT_STATE_COUNTED {
		t.Errorf("ended, state = %v, %v; want true, counted", r.GetEnded(), r.GetState())
	}
}

func anyOrder(t *testing.T, b Backend) {
	all := []*record.Entry{
		classified(1, 1, 1, false, "unknown"), classified(1, 9, 9, false, "http"), classified(1, 24, 24, false, "tls"),
		counted(1, 50, false), counted(1, 51, true),
		record.New(session(1, 24, 24, false), nil, nil, "refused"),
	}
	want := classified(1, 24, 51, true, "tls").Result
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		n := round + 1
		for _, i := range rng.Perm(len(all)) {
			e := &record.Entry{Result: proto.CloneOf(all[i].Result), Head: all[i].Head}
			e.Result.SessionId = id(n)
			put(t, b, e)
		}
		want.SessionId = id(n)
		wantResult(t, get(t, b, n), want)
	}
}

func failed(t *testing.T, b Backend) {
	refused := record.New(session(1, 10, 10, true), nil, nil, "refused")
	put(t, b, refused)
	if r := get(t, b, 1); r.GetState() != queryv1.ResultState_RESULT_STATE_FAILED || r.GetFailure() != "refused" {
		t.Errorf("state, failure = %v, %q; want failed, refused", r.GetState(), r.GetFailure())
	}
	put(t, b, classified(1, 2, 2, false, "dns"))
	put(t, b, record.New(session(1, 24, 24, true), nil, nil, "refused"))
	r := get(t, b, 1)
	if r.GetState() != queryv1.ResultState_RESULT_STATE_CLASSIFIED || r.GetClassification().GetLabel() != "dns" || r.GetFailure() != "" {
		t.Errorf("state, label, failure = %v, %q, %q; want classified, dns, none", r.GetState(), r.GetClassification().GetLabel(), r.GetFailure())
	}
	if record.Packets(r) != 24 || !r.GetEnded() {
		t.Errorf("packets, ended = %d, %v; the failed result's counts must stand", record.Packets(r), r.GetEnded())
	}
}

func returnsMerged(t *testing.T, b Backend) {
	put(t, b, classified(1, 24, 24, false, "tls"))
	e := counted(1, 90, true)
	put(t, b, e)
	wantResult(t, e.Result, classified(1, 24, 90, true, "tls").Result)
}

func notFound(t *testing.T, b Backend) {
	if _, err := b.Get(t.Context(), id(1)); !errors.Is(err, record.ErrNotFound) {
		t.Errorf("Get = %v, want ErrNotFound", err)
	}
	put(t, b, counted(1, 1, true))
	if _, err := b.Packets(t.Context(), id(1)); !errors.Is(err, record.ErrNotFound) {
		t.Errorf("Packets = %v, want ErrNotFound", err)
	}
}

func pages(t *testing.T, b Backend) {
	const n = 25
	for i := range n {
		put(t, b, classified(i, 1, 1, true, "dns"))
	}
	var got []string
	token := ""
	for {
		page, next, err := b.List(t.Context(), record.Filter{}, 10, token)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			got = append(got, r.GetSessionId())
		}
		if next == "" {
			break
		}
		token = next
	}
	var want []string
	for i := n - 1; i >= 0; i-- {
		want = append(want, id(i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	for _, token := range []string{"' OR 1=1", "01ARZ3NDEKTSV4RRFFQ69G5FA!"} {
		if _, _, err := b.List(t.Context(), record.Filter{}, 10, token); !errors.Is(err, record.ErrPageToken) {
			t.Errorf("List with page token %q = %v, want ErrPageToken", token, err)
		}
	}
}

// filters compares each backend's own way of filtering with Filter.Match over the same results.
func filters(t *testing.T, b Backend) {
	var all []*queryv1.Result
	addresses := []string{"10.0.0.1", "10.1.2.3", "192.168.0.1", "fd00::1", "fd00::2", "::1"}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		e := classified(i, uint32(i%5), uint64(i), i%3 == 0, []string{"dns", "http", `q"uote`}[i%3])
		r := e.Result
		r.Client.Address, r.Server.Address = addresses[rng.IntN(len(addresses))], addresses[rng.IntN(len(addresses))]
		r.Server.Port = uint32([]int{53, 80, 443}[i%3])
		r.Classification.Probability = float32(i%10) / 10
		r.Classification.Unknown = i%7 == 0
		if i%11 == 0 {
			e = counted(i, 3, true)
			e.Result.Client, e.Result.Server = r.GetClient(), r.GetServer()
		}
		put(t, b, e)
		all = append(all, e.Result)
	}
	for _, text := range []string{
		``, `label = dns`, `label != dns`, `NOT label = dns`, `label = "q\"uote"`, `category = web`, `agent = a`, `agent = b`,
		`unknown = true`, `NOT unknown = true AND label = http`, `probability >= 0.5`, `probability < 0.3 AND ended = true`,
		`client.address = 10.0.0.0/8`, `server.address != 192.168.0.1`, `address = fd00::/64`, `address != 10.0.0.0/8`,
		`address = ::/0`, `address = 0.0.0.0/0`, `client.port > 1010`, `server.port = 53`, `port = 443`, `port != 443`, `ip_protocol = 6`,
		`state = counted`, `state != counted`, `start_time >= 2023-11-14T22:13:40Z`,
		`start_time > 2023-11-14T22:13:40Z`, `start_time < 2023-11-14T22:13:40Z`, `start_time <= 2023-11-14T22:13:40Z`,
		`start_time = 2023-11-14T22:13:40Z`, `start_time != 2023-11-14T22:13:40Z`, `NOT start_time > 2023-11-14T22:13:40Z`,
		`start_time > 1969-01-01T00:00:00Z`, `start_time < 1969-01-01T00:00:00Z`, `start_time < 9999-01-01T00:00:00Z`,
		`start_time > 2023-11-14T22:13:40.0001Z AND start_time <= 2023-11-14T22:14:00Z`, `community_id = 1:3`, `server_name = dns.example`,
		`capture_point = file:x.pcap`, `ended = false AND NOT state = classified`,
	} {
		f, err := record.ParseFilter(text)
		if err != nil {
			t.Errorf("ParseFilter(%s): %v", text, err)
			continue
		}
		var want []string
		for i := len(all) - 1; i >= 0; i-- {
			if f.Match(all[i]) {
				want = append(want, all[i].GetSessionId())
			}
		}
		found, _, err := b.List(t.Context(), f, 100, "")
		if err != nil {
			t.Errorf("List(%s): %v", text, err)
			continue
		}
		var got []string
		for _, r := range found {
			got = append(got, r.GetSessionId())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("List(%s) (-match +list):\n%s", text, diff)
		}
	}
}

func purge(t *testing.T, b Backend) {
	for i := range 10 {
		put(t, b, classified(i, 2, 2, true, "dns"))
	}
	deleted, err := b.Purge(t.Context(), at(3), at(6), 100)
	if err != nil || deleted != 9 {
		t.Errorf("Purge = %d, %v; want 3 results and 6 heads", deleted, err)
	}
	for i := range 10 {
		_, err := b.Get(t.Context(), id(i))
		if gone := errors.Is(err, record.ErrNotFound); gone != (i < 3) {
			t.Errorf("result %d: %v", i, err)
		}
		_, err = b.Packets(t.Context(), id(i))
		if gone := errors.Is(err, record.ErrNotFound); gone != (i < 6) {
			t.Errorf("head %d: %v", i, err)
		}
	}
	if deleted, err = b.Purge(t.Context(), at(100), at(100), 2); err != nil || deleted != 4 {
		t.Errorf("Purge with limit 2 = %d, %v; want 4", deleted, err)
	}
	if _, err := b.Purge(t.Context(), time.Unix(-5, 0), time.Unix(1<<60, 0), 100); err != nil {
		t.Errorf("Purge with odd times: %v", err)
	}
}

func past(t *testing.T, b Backend) {
	put(t, b, classified(1, 3, 3, false, "dns"), counted(2, 9, true), counted(3, 9, false))
	found, err := b.Sessions(t.Context(), id(1), id(2), id(99))
	if err != nil || len(found) != 2 {
		t.Fatalf("Sessions = %d, %v; want 2", len(found), err)
	}
	wantResult(t, found[id(1)].Result, classified(1, 3, 3, false, "dns").Result)
	if len(found[id(1)].Head.GetCaptured()) != 3 || found[id(2)].Head != nil {
		t.Errorf("heads = %v, %v; want 3 packets, none", found[id(1)].Head, found[id(2)].Head)
	}
	if none, err := b.Sessions(t.Context()); err != nil || len(none) != 0 {
		t.Errorf("Sessions() = %v, %v; want none", none, err)
	}
	for _, c := range []struct {
		agent string
		epoch uint64
		want  int
	}{{"a", 5, 2}, {"a", 1<<63 + 7, 0}, {"b", 5, 0}} {
		if open, err := b.Open(t.Context(), c.agent, c.epoch); err != nil || len(open) != c.want {
			t.Errorf("Open(%s, %d) = %d, %v; want %d", c.agent, c.epoch, len(open), err, c.want)
		}
	}
}

func ledger(t *testing.T, b Backend) {
	entry := func(durable, applied uint64, closed bool) *fleetv1.LedgerEntry {
		return &fleetv1.LedgerEntry{
			Agent: "a", Epoch: 1<<63 + 7, Counters: &ingestv1.Counters{Accepted: applied}, DurableSequence: durable, Applied: applied, Closed: closed,
		}
	}
	want := func(e *fleetv1.LedgerEntry, sessions, packets uint64) {
		t.Helper()
		e.StoredSessions, e.StoredPackets = sessions, packets
		got, err := b.Ledger(t.Context(), "")
		if err != nil || len(got) != 1 {
			t.Fatalf("Ledger = %d entries, %v; want 1", len(got), err)
		}
		if diff := cmp.Diff(e, got[0], protocmp.Transform()); diff != "" {
			t.Errorf("ledger (-want +got):\n%s", diff)
		}
	}
	putLedger := func(e *fleetv1.LedgerEntry) {
		t.Helper()
		if err := b.PutLedger(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	putLedger(entry(5, 50, false))
	want(entry(5, 50, false), 0, 0)
	putLedger(entry(4, 40, false))
	want(entry(5, 50, false), 0, 0)
	put(t, b, classified(1, 3, 3, false, "dns"), counted(2, 9, true))
	put(t, b, counted(1, 13, true))
	put(t, b, counted(1, 12, false))
	want(entry(5, 50, false), 2, 22)
	putLedger(entry(5, 51, true))
	putLedger(entry(6, 60, false)) // a lane that is over does not open again
	want(entry(5, 51, true), 2, 22)
	if other, err := b.Ledger(t.Context(), "b"); err != nil || len(other) != 0 {
		t.Errorf("Ledger(b) = %v, %v; want none", other, err)
	}
}

func concurrent(t *testing.T, b Backend) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				// All writers bring their own sessions, and all the shared session 0.
				entries := []*record.Entry{classified(1+w*10+i, 2, 2, true, "dns"), counted(0, uint64(1+w*10+i), false)}
				if err := b.Put(context.WithoutCancel(t.Context()), entries...); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	all, _, err := b.List(t.Context(), record.Filter{}, 200, "")
	if err != nil || len(all) != 81 {
		t.Errorf("List = %d, %v; want 81", len(all), err)
	}
	if got := record.Packets(get(t, b, 0)); got != 80 {
		t.Errorf("packets of the shared session = %d, want 80", got)
	}
}

func badEntries(t *testing.T, b Backend) {
	bad := counted(1, 1, true)
	bad.Result.SessionId = "x"
	text := counted(3, 1, true)
	text.Result.Failure = "\xff"
	head := classified(4, 2, 2, true, "dns")
	head.Head.Interfaces[0].Name = "\xff"
	for name, e := range map[string]*record.Entry{"a session id that is no ULID": bad, "text that is not UTF-8": text, "a head likewise": head} {
		if err := b.Put(t.Context(), counted(2, 1, true), e); !retry.IsPermanent(err) {
			t.Errorf("Put of %s = %v, want a permanent error", name, err)
		}
		if _, err := b.Get(t.Context(), id(2)); !errors.Is(err, record.ErrNotFound) {
			t.Errorf("Get = %v; a failed Put must leave nothing", err)
		}
	}
	put(t, b, counted(2, 1, true))
}

// badFailsAlone lets bad calls and good ones come at the same time, so that a store that commits them together is seen.
func badFailsAlone(t *testing.T, b Backend) {
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			e := counted(i, 1, true)
			if i%4 == 0 {
				e.Result.Failure = "\xff"
			}
			if err := b.Put(context.WithoutCancel(t.Context()), e); (err != nil) != (i%4 == 0) {
				t.Errorf("Put %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	all, _, err := b.List(t.Context(), record.Filter{}, 100, "")
	if err != nil || len(all) != 30 {
		t.Errorf("List = %d, %v; want 30", len(all), err)
	}
}
