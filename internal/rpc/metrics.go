package rpc

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// metrics count calls by method. A method that is not in the table is counted as "unlisted", so that callers cannot make
// up series.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	table    Table
}

func newMetrics(registry prometheus.Registerer, daemon string, table Table) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sonde", Subsystem: daemon, Name: "rpc_requests_total",
			Help: "Calls that have ended, by method and status code.",
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "sonde", Subsystem: daemon, Name: "rpc_seconds",
			Help:    "How long calls without streams took.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9), // 0.5 ms to 33 s
		}, []string{"method"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "sonde", Subsystem: daemon, Name: "rpc_in_flight",
			Help: "Calls under way, by method.",
		}, []string{"method"}),
		table: table,
	}
	if registry != nil {
		registry.MustRegister(m.requests, m.seconds, m.inFlight)
	}
	return m
}

// begin counts a call that begins; the function it returns counts its end.
func (m *metrics) begin(method string, stream bool) (end func(codes.Code)) {
	if _, listed := m.table[method]; !listed {
		method = "unlisted"
	}
	begun := time.Now()
	m.inFlight.WithLabelValues(method).Inc()
	return func(code codes.Code) {
		m.inFlight.WithLabelValues(method).Dec()
		m.requests.WithLabelValues(method, code.String()).Inc()
		if !stream {
			m.seconds.WithLabelValues(method).Observe(time.Since(begun).Seconds())
		}
	}
}
