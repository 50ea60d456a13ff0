package collector

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sonde.example/collector/fleet"
	"sonde.example/collector/ingest"
	"sonde.example/collector/session"
)

// metrics are the collector's own; the stages count, and are asked at each scrape.
type metrics struct {
	sweepErrors prometheus.Counter
}

// newMetrics registers everything on reg.
func newMetrics(reg prometheus.Registerer, in *ingest.Service, assembler *session.Assembler, store sessions, law *law) *metrics {
	counter := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sonde_collector_" + name, Help: help}, value))
	}
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sonde_collector_" + name, Help: help}, value))
	}
	gauge("streams", "Lanes of agents that are connected.", func() float64 { return float64(in.Stats().Streams) })
	counter("batches_total", "Batches applied.", func() float64 { return float64(in.Stats().Batches) })
	counter("packets_total", "Packets in batches applied.", func() float64 { return float64(in.Stats().Packets) })
	counter("received_bytes_total", "Bytes of batches applied.", func() float64 { return float64(in.Stats().Bytes) })
	counter("mismatched_packets_total", "Packets whose headers contradict the session that the agent put them to.", func() float64 {
		_, mismatched := assembler.Stats()
		return float64(mismatched)
	})
	for _, reason := range ingest.RejectionReasons() {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sonde_collector_rejected_batches_total", Help: "Batches that were not taken, by reason.",
			ConstLabels: prometheus.Labels{"reason": reason},
		}, func() float64 { return float64(in.Stats().Rejected[reason]) }))
	}
	gauge("open_sessions", "Sessions in memory.", func() float64 { return float64(store.Usage().Sessions) })
	gauge("session_bytes", "Memory that sessions take.", func() float64 { return float64(store.Usage().Bytes) })
	gauge("outbox_sessions", "Sessions handed over that the queue has not confirmed.", func() float64 { return float64(store.Usage().Outbox) })
	gauge("sweep_lag_seconds", "Age of the oldest change of a session that was not handed over.", func() float64 {
		return store.Usage().OldestDirty.Seconds()
	})
	gauge("law_residual", "Packets that the conservation law leaves over, of all lanes; 0 at rest. -1: the result store did not answer.",
		func() float64 { return float64(law.residual.Load()) })
	m := &metrics{
		sweepErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sonde_collector_sweep_errors_total", Help: "Sweeps that failed and were tried again.",
		}),
	}
	reg.MustRegister(m.sweepErrors)
	return m
}

// law follows the ledger's residual, so that a scrape needs not wait for the result store.
type law struct {
	ledger   *fleet.Service
	residual atomic.Int64
}

const (
	lawInterval = 5 * time.Second
	lawTimeout  = time.Second
)

// Run asks for the ledger every few seconds until ctx ends.
func (l *law) Run(ctx context.Context) error {
	ticker := time.NewTicker(lawInterval)
	defer ticker.Stop()
	for {
		l.residual.Store(l.ask(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (l *law) ask(ctx context.Context) int64 {
	ctx, cancel := context.WithTimeout(ctx, lawTimeout)
	defer cancel()
	entries, err := l.ledger.Entries(ctx, "")
	if err != nil {
		return -1
	}
	return fleet.Total(entries).GetResidual()
}
