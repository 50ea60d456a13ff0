package config

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	configv1 "sonde.example/gen/go/sonde/config/v1"
)

// State is how a follower stands.
type State struct {
	// State is unspecified until a configuration was seen.
	State configv1.ConfigState
	// Wanted is the newest revision seen, Running the one in force with its Hash; 0 means the flags.
	Wanted, Running uint64
	Hash            string
	// Error, Field and Warning are the status's.
	Error, Field, Warning string
	// Latency is from commit to in force; 0 when it is not known.
	Latency time.Duration
	// FromCache tells that what is in force comes from disk and the store has not confirmed it.
	FromCache bool
	// Leaving tells that the configuration was deleted and has its grace, Deleted that this is over.
	Leaving, Deleted bool
	// Confirmed is when the store last answered; zero means never.
	Confirmed time.Time
	// What was counted since the start.
	Applied, Refused, Drifts, Conflicts uint64
}

// State returns how things stand. Any goroutine may ask.
func (f *Follower[P]) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.state
	s.Conflicts = f.report.conflicts.Load()
	return s
}

// Metrics returns what the follower has to tell, under the names of a daemon.
func (f *Follower[P]) Metrics(daemon string) prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName("sonde", daemon, name), help, nil, nil)
	}
	return &metrics{
		state: f.State, began: time.Now(),
		wanted:    desc("config_wanted_revision", "Newest config revision seen; 0 when there is none."),
		running:   desc("config_running_revision", "Config revision in force; 0 when the flags are."),
		age:       desc("config_age_seconds", "Time since the configuration store last answered, or since the start."),
		failed:    desc("config_failed", "1 while the newest config revision is refused."),
		applied:   desc("config_applied_total", "Config revisions put in force."),
		refused:   desc("config_refused_total", "Config revisions refused."),
		drifts:    desc("config_drifts_total", "Times that another configuration came under a revision already in force."),
		conflicts: desc("config_name_conflicts_total", "Times that another daemon was seen under the same name."),
	}
}

// metrics reads the state at each scrape.
type metrics struct {
	state func() State
	began time.Time

	wanted, running, age, failed, applied, refused, drifts, conflicts *prometheus.Desc
}

// Describe tells the names.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.wanted, m.running, m.age, m.failed, m.applied, m.refused, m.drifts, m.conflicts} {
		to <- d
	}
}

// Collect reads the state.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	s := m.state()
	last := m.began
	if !s.Confirmed.IsZero() {
		last = s.Confirmed
	}
	failed := 0.0
	if s.State == configv1.ConfigState_CONFIG_STATE_FAILED {
		failed = 1
	}
	for d, value := range map[*prometheus.Desc]float64{
		m.wanted: float64(s.Wanted), m.running: float64(s.Running), m.age: time.Since(last).Seconds(), m.failed: failed,
	} {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	for d, value := range map[*prometheus.Desc]uint64{m.applied: s.Applied, m.refused: s.Refused, m.drifts: s.Drifts, m.conflicts: s.Conflicts} {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value))
	}
}

// laterError is an error that asks to be tried again.
type laterError struct {
	error
	wait time.Duration
}

func (e *laterError) Unwrap() error { return e.error }

// Later marks an error of Apply that may pass by itself, such as a server that does not answer: the configuration counts as
// refused, and is tried again after wait. Later(nil) is nil.
func Later(err error, wait time.Duration) error {
	if err == nil {
		return nil
	}
	return &laterError{err, wait}
}

// maxErrorBytes bounds an error on its way to a row.
const maxErrorBytes = 1024

// clip makes text short, and valid, or the status could not be written at all.
func clip(text string) string {
	if len(text) > maxErrorBytes {
		text = text[:maxErrorBytes-3] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

func short(hash string) string { return hash[:min(12, len(hash))] }
