//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// printConditions says where and on what it was measured.
func printConditions(out *strings.Builder, b *bench) {
	fmt.Fprintf(out, "%s, %d cores, load average %s, %s; model %.12s, %d sessions of %s, at most %v for 99 of 100 requests; median of %d runs\n\n",
		processor(), runtime.NumCPU(), loadAverage(), runtime.Version(), b.raw.info.SHA256, len(b.sessions), b.config.capture, limit, b.config.runs)
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
			}
		}
	}
	return runtime.GOARCH
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(text))[0]
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func printRows(out *strings.Builder, rows []*measured) {
	fmt.Fprintln(out, "| server | sessions a request | sessions/s | p50 / p99 / p99.9 ms | CPU us a session: server | client | rows a run | RSS MiB |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|")
	for _, m := range rows {
		w := m.median()
		rate, batch, resident := fmt.Sprintf("%.0f", w.rate), "", ""
		if !w.sustained() {
			rate = "none"
		}
		if w.batch > 0 {
			batch = fmt.Sprintf("%.1f", w.batch)
		}
		if m.resident > 0 {
			resident = fmt.Sprint(m.resident >> 20)
		}
		fmt.Fprintf(out, "| %s | %d | %s | %.1f / %.1f / %.1f | %.1f | %.1f | %s | %s |\n",
			m.name, m.rows, rate, millis(w.p50), millis(w.p99), millis(w.p999), micros(w.server), micros(w.client), batch, resident)
	}
}

func printShared(out *strings.Builder, all []*comparison) {
	fmt.Fprintln(out, "\nCPU us a session at the same rate, in turns:")
	fmt.Fprintln(out, "\n| calls | sessions a request | sessions/s | raw | echo: server + client | sonde: server + client | server / (echo + raw) | with clients |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|")
	for _, c := range all {
		raw, echo, sonde := c.raws.median(), c.echoes.median(), c.measured.median()
		fmt.Fprintf(out, "| %s | %d | %.0f | %.1f | %.1f + %.1f | %.1f + %.1f | %.2f | %.2f |\n", c.name, c.rows, c.rate, micros(raw.server),
			micros(echo.server), micros(echo.client), micros(sonde.server), micros(sonde.client), c.ratio(), c.whole())
	}
}

// ratio is what the daemon takes, in parts of the two floors together.
func (c *comparison) ratio() float64 {
	return float64(c.measured.median().server) / float64(c.raws.median().server+c.echoes.median().server)
}

// whole is the same with the clients on both sides.
func (c *comparison) whole() float64 {
	sonde, echo := c.measured.median(), c.echoes.median()
	return float64(sonde.server+sonde.client) / float64(c.raws.median().server+echo.server+echo.client)
}

// printAims sets what was aimed at beside what was reached. Flask, at the highest rate that it could take, is compared with
// what the daemon takes in the table above, since a daemon that idles takes more for each session.
func printAims(out *strings.Builder, rows []*measured, shared []*comparison) {
	find := func(name string, n int) *measured {
		at := slices.IndexFunc(rows, func(m *measured) bool { return m.name == name && m.rows == n })
		if at < 0 {
			return nil
		}
		return rows[at]
	}
	fmt.Fprintln(out, "\n| aim | reached |\n|---|---|")
	for _, name := range []string{"sonde, ModelInfer", "sonde, ModelStreamInfer"} {
		if m := find(name, 64); m != nil {
			w := m.median()
			if reached := fmt.Sprintf("%.0f", w.rate); w.sustained() {
				fmt.Fprintf(out, "| 20,000 sessions/s on two cores, the client on them too: %s | %s |\n", name, reached)
			} else {
				fmt.Fprintf(out, "| the same: %s | at %s a p99 of %.0f ms: not found in the time given |\n", name, reached, millis(w.p99))
			}
		}
	}
	for _, c := range shared {
		fmt.Fprintf(out, "| at most 1.3 times the CPU of echo and raw ONNX Runtime: %s, %d a request | %.2f; with the clients %.2f |\n", c.name, c.rows, c.ratio(), c.whole())
		if !strings.Contains(c.name, "unary") {
			continue
		}
		for _, name := range []string{"Flask + PyTorch, JSON", "gunicorn, Flask + PyTorch, binary"} {
			if flask := find(name, c.rows); flask != nil {
				fmt.Fprintf(out, "| a tenth of the CPU of %s, %d a request | 1/%.1f |\n", name, c.rows, float64(flask.median().server)/float64(c.measured.median().server))
			}
		}
	}
}
