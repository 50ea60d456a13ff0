package agent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are read from the books and the spool when they are asked for, so that they always agree with the ledger.
type metrics struct {
	agent *Agent

	seen, excluded, cut, accepted        *prometheus.Desc
	dropped, released, rejected          *prometheus.Desc
	opened, ended, open                  *prometheus.Desc
	captured                             *prometheus.Desc
	given, received, durable             *prometheus.Desc
	spoolBytes, spoolLimit, spoolAge     *prometheus.Desc
	pending, streams, revision, residual *prometheus.Desc
	waiting, loop                        *prometheus.Desc
}

var _ prometheus.Collector = (*metrics)(nil)

// newMetrics registers the agent's metrics.
func newMetrics(reg prometheus.Registerer, a *Agent) error {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sonde_agent_"+name, help, labels, nil)
	}
	return reg.Register(&metrics{
		agent:      a,
		seen:       desc("seen_packets_total", "Packets read from captures, those that a filter in user space turned away included."),
		excluded:   desc("excluded_packets_total", "Packets that belong to no session, by reason.", "reason"),
		cut:        desc("cut_packets_total", "Packets beyond their session's head, which only counts tell of."),
		accepted:   desc("accepted_packets_total", "Packets given to a batch."),
		dropped:    desc("dropped_packets_total", "Packets lost before a collector had received them, in the kernel or by the full spool.", "reason"),
		released:   desc("released_packets_total", "Packets that the full spool let go after they were received and before they were durable."),
		rejected:   desc("rejected_packets_total", "Packets in batches that a collector rejected for good."),
		opened:     desc("opened_sessions_total", "Sessions opened."),
		ended:      desc("ended_sessions_total", "Sessions ended."),
		open:       desc("open_sessions", "Sessions in the table."),
		captured:   desc("captured_bytes_total", "Bytes of packets read from captures."),
		given:      desc("given_batches_total", "Batches given to the spool."),
		received:   desc("received_batches_total", "Batches that a collector has received."),
		durable:    desc("durable_batches_total", "Batches that are durable at a collector."),
		spoolBytes: desc("spool_bytes", "Bytes that the spool holds."),
		spoolLimit: desc("spool_limit_bytes", "Bytes that the spool may hold."),
		spoolAge:   desc("spool_oldest_seconds", "Age of the oldest batch in the spool; 0 when it is empty."),
		pending:    desc("pending_packets", "Packets in batches that no collector has received yet."),
		streams:    desc("streams", "Lanes that have a stream to a collector."),
		revision:   desc("config_revision", "Config revision in force; 0 when started by flags."),
		waiting:    desc("waiting_capture_points", "Capture points whose device is down or away."),
		loop:       desc("uplink_loop_alarm", "1 when nearly as many bytes were sent in the last 30 seconds as were captured: the agent may capture its own uplink."),
		residual:   desc("law_residual", "What the conservation law leaves over; 0 unless there is a bug."),
	})
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	counter := func(desc *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(desc *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v)
	}
	var sum laneSums
	ledger := m.agent.Ledger()
	for i := range ledger.Lanes {
		sum.add(&ledger.Lanes[i])
	}
	counter(m.seen, sum.seen)
	for _, reason := range []struct {
		name  string
		count uint64
	}{
		{"filtered", sum.filtered}, {"non_ip", sum.nonIP}, {"undecodable", sum.undecodable},
		{"frag_unmatched", sum.unmatched}, {"dup", sum.dup},
	} {
		counter(m.excluded, reason.count, reason.name)
	}
	counter(m.cut, sum.cut)
	counter(m.accepted, sum.accepted)
	counter(m.dropped, sum.kernel, "kernel")
	counter(m.dropped, sum.dropped, "spool")
	counter(m.released, sum.released)
	counter(m.rejected, sum.rejected)
	counter(m.opened, sum.opened)
	counter(m.ended, sum.ended)
	gauge(m.open, float64(ledger.OpenSessions))
	counter(m.captured, m.agent.progress.bytes.Load())
	counter(m.given, sum.given)
	counter(m.received, sum.received)
	counter(m.durable, sum.durable)
	spool := m.agent.spool.State()
	oldest := time.Duration(0)
	for i := range spool.Lanes {
		if at := spool.Lanes[i].OldestUnixNano; at != 0 {
			oldest = max(oldest, time.Since(time.Unix(0, at)))
		}
	}
	gauge(m.spoolBytes, float64(spool.Bytes))
	gauge(m.spoolLimit, float64(spool.Limit))
	gauge(m.spoolAge, oldest.Seconds())
	gauge(m.pending, float64(sum.pending))
	gauge(m.streams, float64(m.agent.streams.Load()))
	gauge(m.revision, float64(m.agent.running.Load().revision))
	gauge(m.waiting, float64(len(m.agent.waitingPoints())))
	loop := 0.0
	if m.agent.loops.on.Load() {
		loop = 1
	}
	gauge(m.loop, loop)
	gauge(m.residual, float64(sum.residual))
}

// laneSums adds up the lanes.
type laneSums struct {
	seen, filtered, nonIP, undecodable, unmatched, dup, cut, accepted, kernel, opened, ended uint64
	dropped, released, rejected, given, received, durable, pending                           uint64
	residual                                                                                 int64
}

func (s *laneSums) add(l *LaneLedger) {
	c := l.Counters
	s.seen += c.GetSeen()
	s.filtered += c.GetFiltered()
	s.nonIP += c.GetNonIp()
	s.undecodable += c.GetUndecodable()
	s.unmatched += c.GetFragUnmatched()
	s.dup += c.GetDup()
	s.cut += c.GetCut()
	s.accepted += c.GetAccepted()
	s.kernel += c.GetKernelDropped()
	s.opened += c.GetOpenedSessions()
	s.ended += c.GetEndedSessions()
	s.dropped += l.Spool.GetDropped()
	s.released += l.Spool.GetReleased()
	s.rejected += l.Spool.GetRejected()
	s.given += l.Given
	s.received += l.Received
	s.durable += l.Durable
	s.pending += l.Pending
	s.residual += l.Residual()
}
