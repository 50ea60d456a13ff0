//go:build linux

package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a server that takes some time for each request: of any number at once, or, with a turn, of one.
type slow struct {
	takes time.Duration
	turn  chan struct{} // has room for one; (a mutex would hold up the bubble's clock)
	err   error
}

func (s *slow) call(context.Context, *batch, bool) error {
	if s.turn != nil {
		s.turn <- struct{}{}
		defer func() { <-s.turn }()
	}
	<-time.After(s.takes)
	return s.err
}

func (s *slow) used() (time.Duration, error) { return 0, nil }

func (s *slow) runs(context.Context) (rows, runs uint64, err error) { return 0, 0, nil }

func TestLoadComesAtItsRateWhateverTheServerDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := load(t.Context(), &slow{takes: 5 * time.Millisecond}, []*batch{{rows: 64}}, 64_000, 4*time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		if w.p50 != 5*time.Millisecond || w.p999 != 5*time.Millisecond || !w.sustained() {
			t.Errorf("got %+v, want 5 ms for each", w)
		}
		if w.rate < 60_000 || w.rate > 68_000 {
			t.Errorf("%.0f sessions/s, 64,000 were asked for", w.rate)
		}
	})
}

func TestWaitingForAServerThatFallsBehindCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Takes 1 ms, asked every 1.25 ms: the queue in front of it makes most of the time.
		w, err := load(t.Context(), &slow{takes: time.Millisecond, turn: make(chan struct{}, 1)}, []*batch{{rows: 1}}, 800, 20*time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		if w.p50 <= time.Millisecond || w.p99 < 4*time.Millisecond {
			t.Errorf("got %+v, want the time in the queue with it", w)
		}
		// Asked twice as often as it can answer.
		w, err = load(t.Context(), &slow{takes: time.Millisecond, turn: make(chan struct{}, 1)}, []*batch{{rows: 1}}, 2000, 5*time.Second, 1)
		if err != nil {
			t.Fatal(err)
		}
		if w.sustained() {
			t.Errorf("got %+v, want more than it can do", w)
		}
	})
}

func TestAFullQueueIsTooMuchAndAnythingElseAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := load(t.Context(), &slow{err: errRefused}, []*batch{{rows: 1}}, 1000, time.Second, 1)
		if err != nil || !w.overloaded {
			t.Errorf("got %+v, %v, want too much", w, err)
		}
		broken := errors.New("broken")
		if _, err := load(t.Context(), &slow{err: broken}, []*batch{{rows: 1}}, 1000, time.Second, 1); !errors.Is(err, broken) {
			t.Errorf("got %v, want what the server said", err)
		}
	})
}

func TestSearchEndsBelowWhatAServerCanDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate, err := search(t.Context(), &slow{takes: time.Millisecond, turn: make(chan struct{}, 1)}, []*batch{{rows: 64}}, 400*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if rate < 32_000 || rate > 64_000 {
			t.Errorf("got %.0f sessions/s of a server that does 64,000", rate)
		}
	})
}

func TestAnswersAreCompared(t *testing.T) {
	b := &batch{rows: 2, probs: []float32{0.7, 0.3, 0.499999, 0.500001}, labels: []string{"dns", "tls"}}
	for _, test := range []struct {
		answer string
		want   string // part of the error; empty: none
	}{
		{`{"probs": [[0.7, 0.3], [0.499999, 0.500001]]}`, ""},
		{`{"probs": [[0.700005, 0.299995], [0.499999, 0.500001]]}`, ""},
		{`{"probs": [[0.70002, 0.29998], [0.499999, 0.500001]]}`, "row 0: probability of dns"},
		{`{"probs": [[0.7, 0.3], [0.500001, 0.499999]]}`, "row 1: the most probable label is dns"},
		{`{"probs": [[0.7, 0.3]]}`, "2 probabilities came"},
		{`{`, "no JSON"},
	} {
		err := b.checkJSON([]byte(test.answer))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.answer, err, test.want)
		}
	}
}

func TestSessionsComeFromTheSample(t *testing.T) {
	sessions, err := readSessions(t.Context(), "../sample/sample.pcapng")
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for _, s := range sessions {
		if len(s.GetSignedSizes()) == 24 {
			whole++
		}
	}
	if len(sessions) < 500 || whole < 20 {
		t.Errorf("%d heads, %d of them full", len(sessions), whole)
	}
}
