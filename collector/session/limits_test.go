package session_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sonde.example/collector/session"
	"sonde.example/collector/session/sessiontest"
	"sonde.example/internal/packet"
)

// TestLimitsChangeWhileTheStoreWorks measures when a session that goes on is handed over.
func TestLimitsChangeWhileTheStoreWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := session.OpenMemory(t.Context(), session.Options{Deadline: 10 * time.Second}, new(sessiontest.Results))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		sweeper := session.NewSweeper(m, func(err error) { t.Error(err) })
		ended := make(chan error, 2)
		go func() { ended <- m.Run(ctx) }()
		go func() { ended <- sweeper.Run(ctx) }()
		agent := sessiontest.NewAgent("a1", 7, 0)
		assembler := session.NewAssembler(m, packet.NewWalkers(packet.DefaultOptions()))
		_, fence, err := assembler.Resume(ctx, agent.Lane, agent.Hello(0))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		packets := func(client string) {
			t.Helper()
			agent.UDP(client, "10.0.0.2:53").Up("question")
			if _, err := assembler.Apply(ctx, agent.Lane, fence, agent.Batch()); err != nil {
				t.Fatal(err)
			}
			began = time.Now()
		}
		handedOver := func(want time.Duration) {
			t.Helper()
			taken, err := m.Take(ctx, time.Minute, 10)
			if err != nil || len(taken) != 1 {
				t.Fatalf("taken %v, %v", taken, err)
			}
			if got := time.Since(began); got < want || got > want+time.Second {
				t.Errorf("handed over after %v, want %v", got, want)
			}
			if err := errors.Join(m.Confirm(ctx, taken...), m.Settle(ctx, taken...)); err != nil {
				t.Fatal(err)
			}
		}
		packets("10.0.0.1:1000")
		handedOver(10 * time.Second)
		m.SetDeadline(30 * time.Second)
		packets("10.0.0.1:1001")
		handedOver(30 * time.Second)
		packets("10.0.0.1:1002")
		time.Sleep(3 * time.Second)
		m.SetDeadline(5 * time.Second) // for those that wait, too
		handedOver(5 * time.Second)
		packets("10.0.0.1:1003")
		m.SetBytes(1) // there is no room any more
		agent.UDP("10.0.0.1:1004", "10.0.0.2:53").Up("question")
		batch := agent.Batch()
		if _, err := assembler.Apply(ctx, agent.Lane, fence, batch); !errors.Is(err, session.ErrFull) {
			t.Errorf("without room: %v", err)
		}
		m.SetBytes(16 << 20)
		if _, err := assembler.Apply(ctx, agent.Lane, fence, batch); err != nil {
			t.Errorf("with room again: %v", err)
		}
		stop()
		if err := errors.Join(<-ended, <-ended, m.Close()); err != nil {
			t.Error(err)
		}
	})
}
