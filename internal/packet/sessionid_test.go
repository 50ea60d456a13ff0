package packet_test

import (
	"crypto/sha256"
	"math"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"sonde.example/internal/packet"
)

func TestSessionIDIsAULIDOfTimeAndIdentity(t *testing.T) {
	opened := time.UnixMilli(1_700_000_000_123)
	id := packet.SessionID(packet.Lane{Agent: "ab", Epoch: 3, Index: 4}, 5, opened)
	parsed, err := ulid.ParseStrict(id)
	if err != nil {
		t.Fatal(err)
	}
	if got := parsed.Time(); got != 1_700_000_000_123 {
		t.Errorf("got time %d", got)
	}
	digest := sha256.Sum256([]byte("\x00\x00\x00\x00\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x05"))
	if got := parsed.Entropy(); string(got) != string(digest[:10]) {
		t.Errorf("got %x, want %x", got, digest[:10])
	}
}

func TestSessionIDTellsEverythingApart(t *testing.T) {
	at := time.UnixMilli(1)
	seen := map[string]string{}
	for name, id := range map[string]string{
		"base":          packet.SessionID(packet.Lane{Agent: "a", Epoch: 1, Index: 1}, 1, at),
		"agent":         packet.SessionID(packet.Lane{Agent: "b", Epoch: 1, Index: 1}, 1, at),
		"epoch":         packet.SessionID(packet.Lane{Agent: "a", Epoch: 2, Index: 1}, 1, at),
		"lane":          packet.SessionID(packet.Lane{Agent: "a", Epoch: 1, Index: 2}, 1, at),
		"number":        packet.SessionID(packet.Lane{Agent: "a", Epoch: 1, Index: 1}, 2, at),
		"time":          packet.SessionID(packet.Lane{Agent: "a", Epoch: 1, Index: 1}, 1, time.UnixMilli(2)),
		"agent's end":   packet.SessionID(packet.Lane{Agent: "a\x00", Epoch: 1, Index: 1}, 1, at),
		"agent's start": packet.SessionID(packet.Lane{Agent: "", Epoch: 1, Index: 1}, 1, at),
	} {
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s have the same id", name, other)
		}
		seen[id] = name
	}
}

func TestSessionIDClampsTime(t *testing.T) {
	for want, opened := range map[string]time.Time{
		"0000000000": time.UnixMilli(-1),
		"7ZZZZZZZZZ": time.UnixMilli(1 << 48),
	} {
		if got := packet.SessionID(packet.Lane{}, 0, opened)[:10]; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestNumbersOnlyGrow(t *testing.T) {
	var numbers packet.Numbers
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	steps := []struct {
		time time.Time
		want uint64
	}{
		{at(-5), 1},
		{at(0), 2},
		{at(1), 1 << 20},
		{at(1), 1<<20 + 1},
		{at(0), 1<<20 + 2}, // the clock runs back
		{at(3), 3 << 20},
		{at(math.MaxInt64 / 2), (1<<44 - 1) << 20}, // beyond 44 bits
		{at(3), (1<<44-1)<<20 + 1},
	}
	for i, step := range steps {
		if got := numbers.Next(step.time); got != step.want || numbers.Last() != got {
			t.Errorf("step %d: got %d, last %d, want %d", i, got, numbers.Last(), step.want)
		}
	}
	// A counter that overflows goes on in the next millisecond, and a restart goes on where it was.
	numbers = packet.NumbersAfter(2<<20 - 1)
	if got := numbers.Next(at(1)); got != 2<<20 {
		t.Errorf("got %d", got)
	}
}
