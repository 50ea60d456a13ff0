package inference

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sonde.example/inference/route"
	"sonde.example/internal/serving"
)

// metrics are ours, and beside them Triton's under Triton's names, so that its
// dashboards work. What belongs to a version is counted by the version itself and
// read when somebody looks; like Triton's it begins anew when the version is loaded
// again.
type metrics struct {
	queueSeconds, runSeconds, runRows prometheus.Histogram
	shadowRows                        *prometheus.CounterVec
	versions                          *versionCollector
}

func newMetrics(reg prometheus.Registerer, d *Daemon) *metrics {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "sonde", Subsystem: "inference", Name: name, Help: help, Buckets: buckets})
	}
	m := &metrics{
		queueSeconds: histogram("queue_seconds", "How long the oldest request of each run waited in the queue.", prometheus.ExponentialBuckets(0.00005, 4, 9)),
		runSeconds:   histogram("run_seconds", "How long each run of a model took.", prometheus.ExponentialBuckets(0.00005, 4, 9)),
		runRows:      histogram("run_rows", "Rows in each run of a model, or in each request that ran alone.", prometheus.ExponentialBuckets(1, 2, 13)),
		shadowRows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sonde", Subsystem: "inference", Name: "shadow_rows_total",
			Help: "Rows for the shadow version, by what became of them: agree or differ with the served version, dropped when it was behind, failed.",
		}, []string{"outcome"}),
		versions: newVersionCollector(d),
	}
	for _, outcome := range route.Outcomes() {
		m.shadowRows.WithLabelValues(string(outcome))
	}
	if reg != nil {
		reg.MustRegister(m.queueSeconds, m.runSeconds, m.runRows, m.shadowRows, m.versions)
	}
	return m
}

// observe takes note of a run; the batcher calls it once a run.
func (m *metrics) observe(_ *serving.Info, r serving.Run) {
	m.queueSeconds.Observe(r.Longest.Seconds())
	m.runSeconds.Observe(r.Infer.Seconds())
	m.runRows.Observe(float64(r.Rows))
}

// compared takes note of what the shadow did with rows.
func (m *metrics) compared(outcome route.Outcome, rows int) {
	m.shadowRows.WithLabelValues(string(outcome)).Add(float64(rows))
}

// versionCollector reads what the loaded versions have counted.
type versionCollector struct {
	daemon *Daemon

	info, rows, queueRows, planned                           *prometheus.Desc
	drift, unknown                                           *prometheus.Desc
	success, failure, count, runs, pending                   *prometheus.Desc
	requestTime, queueTime, inputTime, inferTime, outputTime *prometheus.Desc
}

func newVersionCollector(d *Daemon) *versionCollector {
	desc := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"model", "version"}, more...), nil)
	}
	return &versionCollector{
		daemon:      d,
		info:        prometheus.NewDesc("sonde_inference_model_info", "1 for each version that is loaded.", []string{"name", "version", "sha256"}, nil),
		rows:        desc("sonde_inference_rows_total", "Rows that were run."),
		planned:     prometheus.NewDesc("sonde_inference_planned_info", "1 for each version that is to serve, by its part: served (newest unless configured), shadow or canary.", []string{"model", "version", "part"}, nil),
		queueRows:   prometheus.NewDesc("sonde_inference_queue_rows", "Rows in the queue.", nil, nil),
		drift:       desc("sonde_inference_drift_psi", "How far traffic has moved from what a version was trained on, by feature, confidence, energy and class: the population stability index since it was loaded, 0 until it has seen 1000 sessions. Above 0.25 is much.", "feature"),
		unknown:     desc("sonde_inference_unknown_ratio", "Share of sessions that a version with a reference has called unknown since it was loaded, 0 until it has seen 1000."),
		success:     desc("nv_inference_request_success", "Requests that were answered."),
		failure:     desc("nv_inference_request_failure", "Requests that failed, by reason.", "reason"),
		count:       desc("nv_inference_count", "Rows that were run."),
		runs:        desc("nv_inference_exec_count", "Runs."),
		pending:     desc("nv_inference_pending_request_count", "Requests in the queue."),
		requestTime: desc("nv_inference_request_duration_us", "Time of answered requests, from arrival to answer, in microseconds."),
		queueTime:   desc("nv_inference_queue_duration_us", "Time of answered requests in the queue, in microseconds."),
		inputTime:   desc("nv_inference_compute_input_duration_us", "Time in which inputs of answered requests were put together, in microseconds."),
		inferTime:   desc("nv_inference_compute_infer_duration_us", "Time in which the model ran for answered requests, in microseconds."),
		outputTime:  desc("nv_inference_compute_output_duration_us", "Time in which outputs of answered requests were taken apart, in microseconds."),
	}
}

// Describe tells the names.
func (c *versionCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.info, c.rows, c.queueRows, c.planned, c.drift, c.unknown, c.success, c.failure, c.count, c.runs, c.pending,
		c.requestTime, c.queueTime, c.inputTime, c.inferTime, c.outputTime,
	} {
		to <- d
	}
}

// Collect reads the counters.
func (c *versionCollector) Collect(to chan<- prometheus.Metric) {
	_, rows := c.daemon.batcher.Waiting()
	to <- prometheus.MustNewConstMetric(c.queueRows, prometheus.GaugeValue, float64(rows))
	plan := c.daemon.router.Plan()
	for part, version := range map[string]string{"served": cmp.Or(plan.Version, "newest"), "shadow": plan.Shadow, "canary": plan.Canary} {
		if version != "" {
			to <- prometheus.MustNewConstMetric(c.planned, prometheus.GaugeValue, 1, plan.Model, version, part)
		}
	}
	for _, lease := range c.daemon.models.Loaded() {
		info, s := lease.Info(), lease.Stats().Snapshot()
		c.collectDrift(to, info, lease.Drift())
		lease.Release()
		name, version := info.Name, info.VersionString()
		counter := func(d *prometheus.Desc, value float64, more ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, append([]string{name, version}, more...)...)
		}
		micros := func(d *prometheus.Desc, t time.Duration) { counter(d, float64(t.Microseconds())) }
		to <- prometheus.MustNewConstMetric(c.info, prometheus.GaugeValue, 1, name, version, info.SHA256)
		to <- prometheus.MustNewConstMetric(c.pending, prometheus.GaugeValue, float64(s.Pending), name, version)
		counter(c.rows, float64(s.Rows))
		counter(c.count, float64(s.Rows))
		counter(c.runs, float64(s.Runs))
		counter(c.success, float64(s.Success.Count))
		for _, reason := range serving.Failures() {
			counter(c.failure, float64(s.Failed[reason].Count), string(reason))
		}
		micros(c.requestTime, s.Success.Time)
		micros(c.queueTime, s.Queue.Time)
		micros(c.inputTime, s.Input.Time)
		micros(c.inferTime, s.Infer.Time)
		micros(c.outputTime, s.Output.Time)
	}
}

// driftRows is from how many rows on the drift is told: with fewer, chance alone gives an index that alarms (about bins
// divided by rows).
const driftRows = 1000

func (c *versionCollector) collectDrift(to chan<- prometheus.Metric, info *serving.Info, d *serving.Drift) {
	if d == nil {
		return
	}
	r, enough := d.Report(), 1.0
	if r.Rows < driftRows {
		enough = 0
	}
	gauge := func(seen serving.Seen, feature string) {
		to <- prometheus.MustNewConstMetric(c.drift, prometheus.GaugeValue, enough*seen.PSI, info.Name, info.VersionString(), feature)
	}
	for i, f := range info.Reference.Features {
		gauge(r.Features[i], f.Name)
	}
	gauge(r.Confidence, "confidence")
	gauge(r.Energy, "energy")
	gauge(r.Classes, "class")
	to <- prometheus.MustNewConstMetric(c.unknown, prometheus.GaugeValue, enough*r.UnknownRate, info.Name, info.VersionString())
}
