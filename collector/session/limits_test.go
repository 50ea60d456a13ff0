package session_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sonde.example/collector/session"
	"sonde.example/collector/session/sessiontest"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
)

// patience is how long a test waits for what must come, by the clock of its bubble.
const patience = 10 * time.Minute

// memory is a store of its own with one agent's lane, swept as a collector sweeps it.
type memory struct {
	*session.Memory
	t         *testing.T
	agent     *sessiontest.Agent
	assembler *session.Assembler
	fence     uint64
}

// newMemory returns a store; it must be stopped.
func newMemory(t *testing.T, o session.Options) (m *memory, stop func()) {
	t.Helper()
	backend, done := &sessiontest.Results{}, make(chan error, 2)
	store, err := session.OpenMemory(t.Context(), o, backend)
	if err != nil {
		t.Fatal(err)
	}
	m = &memory{
		Memory: store, t: t, agent: sessiontest.NewAgent("agent-1", 7, 0),
		assembler: session.NewAssembler(store, packet.NewWalkers(packet.DefaultOptions())),
	}
	if _, m.fence, err = m.Resume(t.Context(), m.agent.Lane, m.agent.Hello(0)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- m.Run(ctx) }()
	go func() { done <- session.NewSweeper(m, func(err error) { t.Error(err) }).Run(ctx) }()
	return m, func() {
		cancel()
		if err := errors.Join(<-done, <-done, m.Close()); err != nil {
			t.Error(err)
		}
	}
}

func (m *memory) apply() error {
	_, err := m.assembler.Apply(m.t.Context(), m.agent.Lane, m.fence, m.agent.Batch())
	return err
}

// handedOver waits for one hand-over, and returns how long it took.
func (m *memory) handedOver() time.Duration {
	m.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	taken, err := m.Take(ctx, time.Minute, 1)
	if err != nil || len(taken) != 1 {
		m.t.Fatalf("took %d, %v", len(taken), err)
	}
	if err := errors.Join(m.Confirm(m.t.Context(), taken...), m.Settle(m.t.Context(), taken...)); err != nil {
		m.t.Fatal(err)
	}
	return time.Since(began)
}

func TestSetDeadlineIsInForceForSessionsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, stop := newMemory(t, session.Options{})
		defer stop()
		expect := func(what string, got, want time.Duration) {
			t.Helper()
			if got < want || got > want+time.Second {
				t.Errorf("%s: handed over after %v, want %v", what, got, want)
			}
		}
		flow := m.agent.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1")
		if err := m.apply(); err != nil {
			t.Fatal(err)
		}
		expect("as opened", m.handedOver(), 10*time.Second)
		m.SetDeadline(2 * time.Second)
		flow.Up("2")
		if err := m.apply(); err != nil {
			t.Fatal(err)
		}
		expect("from then on", m.handedOver(), 2*time.Second)
		m.SetDeadline(time.Minute)
		flow.Up("3")
		if err := m.apply(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		m.SetDeadline(5 * time.Second)
		expect("one that has waited so long", m.handedOver(), 0)
	})
}

func TestSetBytesIsInForceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const scarce, plenty = 1 << 10, 64 << 20
		m, stop := newMemory(t, session.Options{Deadline: time.Hour, Bytes: scarce})
		defer stop()
		marks := &ingestv1.Ack{}
		window := func(open bool) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for first := true; first || marks.GetWindowBytes() > 0 != open; first = false {
				var err error
				if marks, err = m.NextMarks(ctx, m.agent.Lane, marks); err != nil {
					t.Fatal(err)
				}
			}
		}
		batch := func(client string) *ingestv1.Batch {
			m.agent.TCP(client, "10.0.0.2:80").Up(strings.Repeat("x", 1000))
			return m.agent.Batch()
		}
		apply := func(b *ingestv1.Batch) error {
			_, err := m.assembler.Apply(t.Context(), m.agent.Lane, m.fence, b)
			return err
		}
		if err := apply(batch("10.0.0.1:1")); err != nil { // the first that is too much is still taken
			t.Fatal(err)
		}
		second, third := batch("10.0.0.1:2"), batch("10.0.0.1:3")
		if err := apply(second); !errors.Is(err, session.ErrFull) {
			t.Fatalf("a store beyond its budget took a batch: %v", err)
		}
		window(false)
		m.SetBytes(plenty)
		window(true)
		if err := apply(second); err != nil {
			t.Fatal(err)
		}
		m.SetBytes(scarce)
		if err := apply(third); !errors.Is(err, session.ErrFull) {
			t.Fatalf("a store beyond its new budget took a batch: %v", err)
		}
		window(false)
		for range 2 { // long before their deadline, since memory is scarce
			if waited := m.handedOver(); waited > time.Second {
				t.Errorf("handed over after %v", waited)
			}
		}
		m.SetBytes(plenty)
		window(true)
		if err := apply(third); err != nil {
			t.Error(err)
		}
	})
}
