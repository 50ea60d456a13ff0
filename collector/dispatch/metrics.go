package dispatch

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

// Metrics count what the worker does. A nil Metrics counts nothing.
type Metrics struct {
	results  map[queryv1.ResultState]prometheus.Counter
	seconds  prometheus.Histogram
	pauses   prometheus.Counter
	rejected prometheus.Counter
	retried  prometheus.Counter
}

// NewMetrics registers the worker's metrics, and, unless it is nil, what length tells of the queue, in messages and bytes;
// Memory.Len fits it.
func NewMetrics(reg prometheus.Registerer, length func() (messages, bytes int)) *Metrics {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sonde_collector_stored_results_total",
		Help: "Hand-overs whose result was committed, by the state of the result.",
	}, []string{"state"})
	m := &Metrics{
		results: map[queryv1.ResultState]prometheus.Counter{},
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sonde_collector_hand_over_to_stored_seconds",
			Help: "Time from a session's hand-over to its committed result.",
			// From an unloaded machine to one that lags.
			Buckets: []float64{0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30},
		}),
		pauses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sonde_collector_worker_pauses_total",
			Help: "Times that the worker waited because inference or a store did not answer.",
		}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sonde_collector_rejected_hand_overs_total",
			Help: "Hand-overs that failed by themselves and were sent back to the queue.",
		}),
		retried: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sonde_collector_retried_results_total",
			Help: "Failed results whose sessions were put into the queue once more, for a new model, after inference was away, or each hour.",
		}),
	}
	for _, state := range []queryv1.ResultState{
		queryv1.ResultState_RESULT_STATE_CLASSIFIED, queryv1.ResultState_RESULT_STATE_COUNTED, queryv1.ResultState_RESULT_STATE_FAILED,
	} {
		m.results[state] = results.WithLabelValues(strings.ToLower(strings.TrimPrefix(state.String(), "RESULT_STATE_")))
	}
	reg.MustRegister(results, m.seconds, m.pauses, m.rejected, m.retried)
	if length != nil {
		reg.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "sonde_collector_queue_messages",
				Help: "Hand-overs that wait in the queue.",
			}, func() float64 { messages, _ := length(); return float64(messages) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "sonde_collector_queue_bytes",
				Help: "Memory that the hand-overs waiting in the queue take.",
			}, func() float64 { _, bytes := length(); return float64(bytes) }),
		)
	}
	return m
}

// store counts results that were committed for sessions.
func (m *Metrics) store(results []*queryv1.Result, sessions []*flowv1.Session, now time.Time) {
	if m == nil {
		return
	}
	states := map[queryv1.ResultState]float64{}
	for i, r := range results {
		states[r.GetState()]++
		m.seconds.Observe(max(0, time.Duration(now.UnixNano()-sessions[i].GetHandedOverTimeNs()).Seconds()))
	}
	for state, count := range states {
		if counter := m.results[state]; counter != nil {
			counter.Add(count)
		}
	}
}

func (m *Metrics) reject(count int) {
	if m != nil && count > 0 {
		m.rejected.Add(float64(count))
	}
}

func (m *Metrics) again(count int) {
	if m != nil {
		m.retried.Add(float64(count))
	}
}

func (m *Metrics) pause() {
	if m != nil {
		m.pauses.Inc()
	}
}
