package publish

import "github.com/prometheus/client_golang/prometheus"

// Metrics of a publisher.
type Metrics struct {
	published, lateRows, reconciles, brokenStatuses, lostReports prometheus.Counter
	invalidRows, held, leader, sourceLag                         prometheus.Gauge
	applied                                                      prometheus.Histogram
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "sonde_confsync_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "sonde_confsync_" + name, Help: help})
	}
	m := &Metrics{
		published:      counter("published_total", "Configurations written to the store, deletions included."),
		lateRows:       counter("late_rows_total", "Rows that came after a newer state of the same row and were left out."),
		reconciles:     counter("reconciles_total", "Times that the store was made as the tables are."),
		brokenStatuses: counter("broken_statuses_total", "Statuses in the store that could not be read, or spoke for another daemon."),
		lostReports:    counter("lost_reports_total", "Statuses that were not written into the tables because too many waited."),
		invalidRows:    gauge("invalid_rows", "Daemons whose row is wrong and not published."),
		held:           gauge("held_deletions", "Deletions of agents that are held because they are too many at once."),
		leader:         gauge("leader", "1 while this process publishes."),
		sourceLag:      gauge("source_lag_seconds", "From the commit of the newest row to its publication."),
		applied: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sonde_confsync_commit_to_applied_seconds", Help: "From the commit of a row until its daemon had it in force.",
			Buckets: []float64{.01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30},
		}),
	}
	for _, c := range []prometheus.Collector{
		m.published, m.lateRows, m.reconciles, m.brokenStatuses, m.lostReports, m.invalidRows, m.held, m.leader, m.sourceLag, m.applied,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
