package retry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sonde.example/internal/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("away")

// most makes every wait as long as it can be.
func most() float64 { return 1 }

func TestDoWaitsLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []time.Duration
		policy := retry.Policy{Initial: time.Second, Max: 5 * time.Second, Random: most}
		err := retry.Do(t.Context(), policy, func(context.Context) error {
			at = append(at, time.Since(begun))
			if len(at) < 6 {
				return errAway
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, 1, 3, 7, 12, 17} // after 1, 2, 4, 5, 5 seconds
		for i, got := range at {
			if got != want[i]*time.Second {
				t.Errorf("attempt %d after %s, want %ds", i+1, got, want[i])
			}
		}
	})
}

func TestWaitHasFullJitter(t *testing.T) {
	const seed = 7
	policy := retry.Policy{Initial: time.Second, Max: 4 * time.Second, Random: rand.New(rand.NewPCG(seed, seed)).Float64}
	for failures, bound := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 100: 4 * time.Second} {
		var sum time.Duration
		const draws = 2000
		for range draws {
			wait := policy.Wait(failures)
			if wait < 0 || wait > bound {
				t.Fatalf("seed %d: wait %s after %d failures is not within %s", seed, wait, failures, bound)
			}
			sum += wait
		}
		if mean := sum / draws; mean < bound*45/100 || mean > bound*55/100 {
			t.Errorf("seed %d: mean wait after %d failures is %s, want about half of %s", seed, failures, mean, bound)
		}
	}
	if wait := (retry.Policy{}).Wait(1 << 30); wait < 0 || wait > 10*time.Second {
		t.Errorf("zero policy waits %s", wait)
	}
}

func TestDoGivesUp(t *testing.T) {
	for _, test := range []struct {
		name     string
		policy   retry.Policy
		err      error
		attempts int
	}{
		{"permanent", retry.Policy{}, retry.Permanent(errAway), 1},
		{"permanent inside", retry.Policy{}, fmt.Errorf("open: %w", retry.Permanent(errAway)), 1},
		{"attempts used up", retry.Policy{Attempts: 3}, errAway, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				err := retry.Do(t.Context(), test.policy, func(context.Context) error {
					attempts++
					return test.err
				})
				if !errors.Is(err, errAway) {
					t.Errorf("got %v, want it to wrap %v", err, errAway)
				}
				if attempts != test.attempts {
					t.Errorf("%d attempts, want %d", attempts, test.attempts)
				}
			})
		})
	}
}

func TestDoHeedsWhatTheErrorAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []time.Duration
		policy := retry.Policy{Max: time.Second, Random: most, OnRetry: func(err error, wait time.Duration) {
			if !errors.Is(err, errAway) {
				t.Errorf("told of %v", err)
			}
			told = append(told, wait)
		}}
		attempts := 0
		begun := time.Now()
		err := retry.Do(t.Context(), policy, func(context.Context) error {
			if attempts++; attempts == 1 {
				return fmt.Errorf("call: %w", retry.After(errAway, 40*time.Second))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begun); got != 50*time.Second { // 40 s and, with the most jitter, a quarter more
			t.Errorf("waited %s, want 50s", got)
		}
		if len(told) != 1 || told[0] != 50*time.Second {
			t.Errorf("told of %v", told)
		}
	})
}

func TestDoEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		begun := time.Now()
		err := retry.Do(ctx, retry.Policy{}, func(context.Context) error { return retry.After(errAway, time.Hour) })
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errAway) {
			t.Errorf("got %v, want it to wrap both the context's and the last error", err)
		}
		if got := time.Since(begun); got != 30*time.Second {
			t.Errorf("took %s", got)
		}
	})
}

func TestMarks(t *testing.T) {
	if retry.Permanent(nil) != nil || retry.After(nil, time.Second) != nil {
		t.Error("nil is marked")
	}
	if retry.IsPermanent(errAway) {
		t.Error("an error is permanent without a mark")
	}
	if _, ok := retry.Asked(errAway); ok {
		t.Error("an error asks without a mark")
	}
	if wait, ok := retry.Asked(fmt.Errorf("call: %w", retry.After(errAway, -time.Second))); !ok || wait != 0 {
		t.Errorf("got %s, %v", wait, ok)
	}
	if got, want := retry.Permanent(errAway).Error(), errAway.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
