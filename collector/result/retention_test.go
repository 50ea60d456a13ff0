package result_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sonde.example/collector/result"
	"sonde.example/internal/testenv"
)

// rows is a store of nothing but the times at which its sessions opened.
type rows struct {
	results, heads []time.Time
	calls          int
	largest        int
	back           time.Time // until then the store is away
}

func (r *rows) Purge(_ context.Context, results, heads time.Time, limit int) (int, error) {
	r.calls++
	if time.Now().Before(r.back) {
		return 0, errors.New("database is locked")
	}
	purge := func(table *[]time.Time, before time.Time) (deleted int) {
		*table = slices.DeleteFunc(*table, func(opened time.Time) bool {
			if deleted == limit || !opened.Before(before) {
				return false
			}
			deleted++
			return true
		})
		r.largest = max(r.largest, deleted)
		return deleted
	}
	return purge(&r.results, results) + purge(&r.heads, heads), nil
}

// fill opens a session every second for so long, up to now.
func (r *rows) fill(d time.Duration) {
	for ago := d; ago > 0; ago -= time.Second {
		r.results, r.heads = append(r.results, time.Now().Add(-ago)), append(r.heads, time.Now().Add(-ago))
	}
}

func run(t *testing.T, r *result.Retention, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := r.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestRetentionDeletesInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &rows{}
		store.fill(3 * time.Hour)
		run(t, result.NewRetention(store, 2*time.Hour, time.Hour, testenv.Log(t)), time.Minute)
		if len(store.results) != 2*3600 || len(store.heads) != 3600 {
			t.Errorf("%d results and %d heads are left, want 7200 and 3600", len(store.results), len(store.heads))
		}
		// 7,200 heads are to go, 1,000 at once, and a last call finds nothing.
		if store.largest != 1000 || store.calls != 9 {
			t.Errorf("%d calls, %d rows at once; want 9 and 1000", store.calls, store.largest)
		}
	})
}

func TestRetentionLooksEveryTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &rows{}
		store.fill(time.Hour)
		run(t, result.NewRetention(store, 2*time.Hour, time.Hour, testenv.Log(t)), 35*time.Minute)
		if want := 30 * 60; len(store.heads) < want-1 || len(store.heads) > want+1 {
			t.Errorf("%d heads are left after half an hour, want %d", len(store.heads), want)
		}
		if len(store.results) != 3600 {
			t.Errorf("%d results are left, want all 3600", len(store.results))
		}
	})
}

func TestRetentionKeepsResultsForEverAndNoPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &rows{results: []time.Time{time.Unix(0, 0)}, heads: []time.Time{time.Unix(0, 0)}}
		run(t, result.NewRetention(store, 0, 0, testenv.Log(t)), time.Hour)
		if len(store.results) != 1 || len(store.heads) != 0 {
			t.Errorf("%d results and %d heads are left, want 1 and 0", len(store.results), len(store.heads))
		}
	})
}

func TestRetentionOutlivesAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &rows{back: time.Now().Add(15 * time.Minute)}
		store.fill(time.Hour)
		run(t, result.NewRetention(store, time.Minute, time.Minute, testenv.Log(t)), 25*time.Minute)
		if len(store.results) != 0 || len(store.heads) != 0 {
			t.Errorf("%d results and %d heads are left, want none", len(store.results), len(store.heads))
		}
	})
}

func TestRetentionTakesOtherTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &rows{}
		store.fill(time.Hour)
		r := result.NewRetention(store, 0, 2*time.Hour, testenv.Log(t))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		if len(store.results) != 3600 || len(store.heads) != 3600 || !r.KeepsPackets() {
			t.Errorf("%d results and %d heads are left, want 3600 of each", len(store.results), len(store.heads))
		}
		r.Keep(30*time.Minute, 0)
		synctest.Wait() // at once, not with the next look
		if len(store.results) != 1800 || len(store.heads) != 0 || r.KeepsPackets() {
			t.Errorf("%d results and %d heads are left, want 1800 and 0", len(store.results), len(store.heads))
		}
		calls := store.calls
		r.Keep(30*time.Minute, 0)
		synctest.Wait()
		if store.calls != calls {
			t.Error("the same times again are a change")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
