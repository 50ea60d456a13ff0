package session_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"sonde.example/collector/session"
	"sonde.example/collector/session/sessiontest"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
)

// mortal is a journal whose process can be killed: from then on it hears nothing.
type mortal struct {
	*sessiontest.Results
	dead atomic.Bool
}

func (m *mortal) PutLedger(ctx context.Context, entries ...*fleetv1.LedgerEntry) error {
	if m.dead.Load() {
		return errors.New("killed")
	}
	return m.Results.PutLedger(ctx, entries...)
}

func openMemory(t *testing.T, o sessiontest.Options, results *sessiontest.Results) sessiontest.Backend {
	journal := &mortal{Results: results}
	m, err := session.OpenMemory(t.Context(), session.Options{Bytes: o.Bytes, AgentBytes: o.Bytes, StepPackets: o.Steps}, journal)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return sessiontest.Backend{Store: m, Outbox: m, Ledger: m, Kill: func() {
		journal.dead.Store(true)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}}
}

func TestMemory(t *testing.T) {
	sessiontest.Run(t, sessiontest.Harness{
		Open: openMemory,
		Run: func(t *testing.T, name string, test func(*testing.T)) {
			t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
		},
	})
}
