//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/mtls"
)

// bench is what stays the same from row to row.
type bench struct {
	config   config
	progress *log.Logger
	dir      string
	certs    mtls.Development
	raw      *rawTarget
	sessions []*inferencev1.Session
	batches  map[int][]*batch // by rows
}

// measured is one row of the table.
type measured struct {
	name     string
	rows     int
	windows  []window // at the highest rate
	resident int64    // bytes; 0 where it is not a process of its own
}

func openBench(ctx context.Context, c config, progress *log.Logger) (_ *bench, err error) {
	b := &bench{config: c, progress: progress, batches: map[int][]*batch{}}
	if b.sessions, err = readSessions(ctx, c.capture); err != nil {
		return nil, err
	}
	if b.raw, err = openRaw(ctx, c.library, filepath.Join(c.models, modelName, "1", "model.onnx")); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(1, 2))
	for rows, count := range map[int]int{1: 1024, 64: 48} {
		if b.batches[rows], err = makeBatches(random, b.raw.info, b.sessions, count, rows); err != nil {
			return nil, err
		}
		if err := b.raw.answer(b.batches[rows]); err != nil {
			return nil, err
		}
	}
	if b.dir, err = os.MkdirTemp("", "benchinference-*"); err != nil {
		return nil, err
	}
	b.certs, err = mtls.EnsureDevelopment(filepath.Join(b.dir, "certs"), mtls.DevelopmentOptions{})
	return b, err
}

func (b *bench) close() error { return errors.Join(b.raw.close(), os.RemoveAll(b.dir)) }

func (b *bench) startEcho(ctx context.Context) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startServer(ctx, b.certs, false, self, "echo", fmt.Sprintf("--labels=%d", len(b.raw.info.Labels.Labels)))
}

func (b *bench) startSonde(ctx context.Context, program string) (*server, error) {
	return startServer(ctx, b.certs, true, program, "inference", "--models="+b.config.models, "--onnxruntime="+b.config.library, "--admin="+b.config.admin, "--log-level=warn")
}

// measure prints the tables.
func (b *bench) measure(ctx context.Context, out io.Writer) error {
	var text strings.Builder
	printConditions(&text, b)
	echo, err := b.startEcho(ctx)
	if err != nil {
		return err
	}
	sonde, err := b.startSonde(ctx, b.config.sonde)
	if err != nil {
		return errors.Join(err, echo.stop())
	}
	rows, shared, err := b.grpc(ctx, echo, sonde)
	if err = errors.Join(err, echo.stop(), sonde.stop()); err != nil {
		return err
	}
	if !installed(b.config.python) {
		b.progress.Printf("%s: not there, Flask is left out", b.config.python)
	} else {
		flask, err := b.flask(ctx)
		if err != nil {
			return err
		}
		rows = append(rows, flask...)
	}
	printRows(&text, rows)
	printShared(&text, shared)
	printAims(&text, rows, shared)
	_, err = io.WriteString(out, text.String())
	return err
}

// grpc measures everything but Flask.
func (b *bench) grpc(ctx context.Context, echo, sonde *server) (rows []*measured, shared []*comparison, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends the streams
	defer cancel()
	echoStream, err := openStreams(ctx, echo)
	if err != nil {
		return nil, nil, err
	}
	defer echoStream.close()
	sondeStream, err := openStreams(ctx, sonde)
	if err != nil {
		return nil, nil, err
	}
	defer sondeStream.close()
	for _, n := range []int{64, 1} {
		for _, t := range []struct {
			name   string
			target target
			server *server
		}{
			{"raw ONNX Runtime, in process", b.raw, nil},
			{"gRPC echo, unary", unary{echo}, echo},
			{"gRPC echo, stream", echoStream, echo},
			{"sonde, ModelInfer", unary{sonde}, sonde},
			{"sonde, ModelStreamInfer", sondeStream, sonde},
			{"sonde, Classify", native{sonde}, sonde},
		} {
			if !strings.Contains(t.name, b.config.only) {
				continue
			}
			row, err := b.row(ctx, t.name, t.target, n)
			if err != nil {
				return nil, nil, err
			}
			if t.server != nil {
				if row.resident, err = t.server.resident(); err != nil {
					return nil, nil, err
				}
			}
			rows = append(rows, row)
		}
	}
	for _, s := range []*comparison{
		{name: "same rate, unary", rows: 64, rate: b.config.commonBatch, echo: unary{echo}, sonde: unary{sonde}},
		{name: "same rate, stream", rows: 64, rate: b.config.commonBatch, echo: echoStream, sonde: sondeStream},
		{name: "same rate, unary", rows: 1, rate: b.config.commonSingle, echo: unary{echo}, sonde: unary{sonde}},
		{name: "same rate, stream", rows: 1, rate: b.config.commonSingle, echo: echoStream, sonde: sondeStream},
	} {
		if !strings.Contains(s.name, b.config.only) {
			continue
		}
		if err := s.measure(ctx, b); err != nil {
			return nil, nil, err
		}
		shared = append(shared, s)
	}
	return rows, shared, nil
}

func (b *bench) flask(ctx context.Context) ([]*measured, error) {
	var rows []*measured
	for _, f := range []struct {
		name   string
		binary bool
	}{{"Flask + PyTorch, JSON", false}, {"gunicorn, Flask + PyTorch, binary", true}} {
		if !strings.Contains(f.name, b.config.only) {
			continue
		}
		t, err := startFlask(ctx, b.config.python, filepath.Join(b.config.models, modelName, "1", "model.onnx"), f.binary)
		if err != nil {
			b.progress.Printf("%s: left out: %v", f.name, err)
			continue
		}
		for _, n := range []int{64, 1} {
			row, err := b.row(ctx, f.name, t, n)
			if err == nil {
				row.resident, err = t.resident()
			}
			if err != nil {
				return nil, errors.Join(err, t.stop())
			}
			rows = append(rows, row)
		}
		if err := t.stop(); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// row checks a target's answers, finds how much it can do, and measures it there.
func (b *bench) row(ctx context.Context, name string, t target, rows int) (*measured, error) {
	batches := b.batches[rows]
	for _, batch := range batches {
		if err := t.call(ctx, batch, true); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	rate, err := search(ctx, t, batches, b.config.step)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m := &measured{name: name, rows: rows}
	for range 4 { // what held for a moment must hold again
		m.windows = nil
		for n := range b.config.runs {
			w, err := load(ctx, t, batches, rate, b.config.window, uint64(100+n))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			m.windows = append(m.windows, w)
		}
		if middle := m.median(); middle.sustained() {
			break
		}
		rate *= 0.85
	}
	b.progress.Printf("%s, %d a request: %.0f sessions/s", name, rows, m.median().rate)
	return m, nil
}

// median takes each figure's median by itself.
func (m *measured) median() window {
	overloaded := 0
	for _, w := range m.windows {
		if w.overloaded {
			overloaded++
		}
	}
	return window{
		rate: median(m.windows, func(w window) float64 { return w.rate }), p50: median(m.windows, func(w window) time.Duration { return w.p50 }),
		p99: median(m.windows, func(w window) time.Duration { return w.p99 }), p999: median(m.windows, func(w window) time.Duration { return w.p999 }),
		server: median(m.windows, func(w window) time.Duration { return w.server }), client: median(m.windows, func(w window) time.Duration { return w.client }),
		batch: median(m.windows, func(w window) float64 { return w.batch }), overloaded: 2*overloaded > len(m.windows),
	}
}

func median[T cmp.Ordered](windows []window, of func(window) T) T {
	values := make([]T, len(windows))
	for i, w := range windows {
		values[i] = of(w)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// comparison takes CPU at the same rate, which all can do, in turns, so that a busy moment of the machine meets all.
type comparison struct {
	name             string
	rows             int
	rate             float64
	echo, sonde      target
	raws             measured
	echoes, measured measured
}

func (c *comparison) measure(ctx context.Context, b *bench) error {
	for n := range b.config.runs {
		for _, side := range []struct {
			target target
			into   *measured
		}{{b.raw, &c.raws}, {c.echo, &c.echoes}, {c.sonde, &c.measured}} {
			w, err := load(ctx, side.target, b.batches[c.rows], c.rate, b.config.window, uint64(n))
			if err != nil {
				return err
			}
			side.into.windows = append(side.into.windows, w)
		}
	}
	return nil
}
