package cli

import (
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// latencyMetric is the collector's histogram of the time from hand-over to stored result, in seconds.
const latencyMetric = "sonde_collector_hand_over_to_stored_seconds"

// latencyLine tells within which bucket's bound half, and 99 of 100, of the hand-overs were stored.
func latencyLine(out io.Writer, metrics prometheus.Gatherer) error {
	families, err := metrics.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		if f.GetName() != latencyMetric || len(f.GetMetric()) == 0 {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if h.GetSampleCount() == 0 {
			return nil
		}
		_, err := fmt.Fprintf(out, "hand-over to stored result: %d hand-overs, p50 %s, p99 %s\n",
			h.GetSampleCount(), quantile(h, 50), quantile(h, 99))
		return err
	}
	return nil
}

// quantile is the upper bound of the bucket that the percentile falls into.
func quantile(h *dto.Histogram, percent uint64) string {
	for _, b := range h.GetBucket() {
		if b.GetCumulativeCount()*100 >= h.GetSampleCount()*percent {
			return fmt.Sprintf("<= %g s", b.GetUpperBound())
		}
	}
	return "above the last bucket"
}
