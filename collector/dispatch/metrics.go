package dispatch

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

// Metrics count what the worker does. A nil Metrics counts nothing.
type Metrics struct {
	results *prometheus.CounterVec
	seconds prometheus.Histogram
	pauses  prometheus.Counter
}

// NewMetrics registers the worker's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sonde_collector_stored_results_total",
			Help: "Hand-overs whose result was committed, by the state of the result.",
		}, []string{"state"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sonde_collector_hand_over_to_stored_seconds",
			Help: "Time from a session's hand-over to its committed result.",
			// From an unloaded machine to one that lags.
			Buckets: []float64{0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30},
		}),
		pauses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sonde_collector_worker_pauses_total",
			Help: "Times that the worker waited because inference or the result store did not answer.",
		}),
	}
	reg.MustRegister(m.results, m.seconds, m.pauses)
	return m
}

func (m *Metrics) stored(state queryv1.ResultState, latency time.Duration) {
	if m == nil {
		return
	}
	m.results.WithLabelValues(strings.ToLower(strings.TrimPrefix(state.String(), "RESULT_STATE_"))).Inc()
	m.seconds.Observe(latency.Seconds())
}

func (m *Metrics) pause() {
	if m != nil {
		m.pauses.Inc()
	}
}
