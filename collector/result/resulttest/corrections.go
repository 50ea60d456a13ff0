package resulttest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/record"
)

// enough is more corrections than any test stores.
const enough = 1000

func correction(n int, label string) *queryv1.Correction {
	return &queryv1.Correction{
		SessionId: id(n), Label: label, Author: "admin", CreateTime: timestamppb.New(at(n)),
		Classification: &flowv1.Classification{Label: "dns", Probability: 0.5},
		Session:        &inferencev1.Session{IpProtocol: 6, SignedSizes: []int32{3, -4}, GapsUs: []uint32{0, 9}, ForwardPayload: []byte("abc")},
	}
}

func correct(t *testing.T, b Backend, c *queryv1.Correction) *queryv1.Result {
	t.Helper()
	r, err := b.Correct(t.Context(), c, enough)
	if err != nil {
		t.Fatalf("Correct: %v", err)
	}
	return r
}

// wantCorrections compares with all that are stored, in their order, read by pages of the given size.
func wantCorrections(t *testing.T, b Backend, pageSize int, want ...*queryv1.Correction) {
	t.Helper()
	var got []*queryv1.Correction
	for token := ""; ; {
		page, next, err := b.Corrections(t.Context(), pageSize, token)
		if err != nil {
			t.Fatalf("Corrections: %v", err)
		}
		got = append(got, page...)
		if len(page) > pageSize || (next != "" && len(page) < pageSize) {
			t.Errorf("a page of %d has %d", pageSize, len(page))
		}
		if token = next; token == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("corrections (-want +got):\n%s", diff)
	}
}

func corrections(t *testing.T, b Backend) {
	wantCorrections(t, b, 10)
	put(t, b, classified(1, 5, 5, false, "dns"), classified(2, 5, 5, false, "dns"))
	before := get(t, b, 1)
	want := classified(1, 5, 5, false, "dns").Result
	want.CorrectedLabel = "mdns"
	wantResult(t, correct(t, b, correction(1, "mdns")), want)
	wantResult(t, get(t, b, 1), want)
	if after := get(t, b, 1); !after.GetStoreTime().AsTime().After(before.GetStoreTime().AsTime()) {
		t.Errorf("store_time is %v and was %v; this is another state", after.GetStoreTime().AsTime(), before.GetStoreTime().AsTime())
	}
	correct(t, b, correction(2, "doh"))
	got, err := b.Correction(t.Context(), id(1))
	if diff := cmp.Diff(correction(1, "mdns"), got, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("Correction: %v (-want +got):\n%s", err, diff)
	}

	// What comes later by the way of the data leaves the label alone, and says it.
	e := classified(1, 24, 90, true, "tls")
	put(t, b, e)
	want = classified(1, 24, 90, true, "tls").Result
	want.CorrectedLabel = "mdns"
	wantResult(t, e.Result, want)
	wantResult(t, get(t, b, 1), want)
	past, err := b.Sessions(t.Context(), id(1))
	if err != nil {
		t.Fatal(err)
	}
	wantResult(t, past[id(1)].Result, want)

	// One a session; the new one is the youngest.
	correct(t, b, correction(1, "llmnr"))
	correct(t, b, correction(3, "alone")) // a session without a result
	for _, size := range []int{1, 2, 3, 100} {
		wantCorrections(t, b, size, correction(2, "doh"), correction(1, "llmnr"), correction(3, "alone"))
	}
	for _, token := range []string{"x", "-1", "0", "' OR 1=1", "99999999999999999999"} {
		if _, _, err := b.Corrections(t.Context(), 10, token); !errors.Is(err, record.ErrPageToken) {
			t.Errorf("Corrections with page token %q = %v, want ErrPageToken", token, err)
		}
	}

	// A full store takes no further session, but another label for one that it has.
	if _, err := b.Correct(t.Context(), correction(4, "more"), 3); !errors.Is(err, record.ErrFull) {
		t.Errorf("Correct in a full store = %v, want ErrFull", err)
	}
	if _, err := b.Correct(t.Context(), correction(2, "dot"), 3); err != nil {
		t.Errorf("Correct of what is there, in a full store = %v", err)
	}

	r, err := b.Uncorrect(t.Context(), id(1))
	if err != nil {
		t.Fatalf("Uncorrect: %v", err)
	}
	want.CorrectedLabel = ""
	wantResult(t, r, want)
	wantResult(t, get(t, b, 1), want)
	if r, err := b.Uncorrect(t.Context(), id(3)); err != nil || r != nil {
		t.Errorf("Uncorrect without a result = %v, %v; want neither", r, err)
	}
	for _, n := range []int{1, 3, 99} {
		if _, err := b.Uncorrect(t.Context(), id(n)); !errors.Is(err, record.ErrNotFound) {
			t.Errorf("Uncorrect(%d) = %v, want ErrNotFound", n, err)
		}
		if _, err := b.Correction(t.Context(), id(n)); !errors.Is(err, record.ErrNotFound) {
			t.Errorf("Correction(%d) = %v, want ErrNotFound", n, err)
		}
	}
	wantCorrections(t, b, 10, correction(2, "dot"))
}

func correctionsStay(t *testing.T, b Backend) {
	put(t, b, classified(1, 2, 2, true, "dns"), classified(2, 2, 2, true, "dns"))
	correct(t, b, correction(1, "mdns"))
	if _, err := b.Purge(t.Context(), time.Unix(1<<40, 0), time.Unix(1<<40, 0), 100); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), id(1)); !errors.Is(err, record.ErrNotFound) {
		t.Errorf("Get = %v, want ErrNotFound", err)
	}
	wantCorrections(t, b, 10, correction(1, "mdns"))
	put(t, b, counted(1, 9, true)) // late counts
	if label := get(t, b, 1).GetCorrectedLabel(); label != "mdns" {
		t.Errorf("the corrected label is %q, want mdns", label)
	}
}

func correctedFilters(t *testing.T, b Backend) {
	var all []*queryv1.Result
	for i := range 12 {
		put(t, b, classified(i, 1, 1, true, "dns"))
		if i%3 > 0 {
			correct(t, b, correction(i, []string{"mdns", "doh"}[i%3-1]))
		}
		all = append(all, get(t, b, i))
	}
	correct(t, b, correction(99, "mdns"))
	for text, want := range map[string]int{
		`corrected_label = mdns`: 4, `corrected_label != mdns`: 8, `corrected_label = ""`: 4, `corrected_label != ""`: 8,
		`NOT corrected_label = mdns`: 8, `NOT corrected_label = ""`: 8, `corrected_label = none`: 0, `corrected_label != none`: 12,
		fmt.Sprintf(`corrected_label != "" AND start_time >= %s`, at(6).UTC().Format(time.RFC3339)): 4,
	} {
		f, err := record.ParseFilter(text)
		if err != nil {
			t.Errorf("ParseFilter(%s): %v", text, err)
			continue
		}
		matches := 0
		for _, r := range all {
			if f.Match(r) {
				matches++
			}
		}
		found, _, err := b.List(t.Context(), f, 100, "")
		if err != nil || len(found) != want || matches != want {
			t.Errorf("List(%s) = %d, %v, and %d match; want %d", text, len(found), err, matches, want)
		}
	}
}
