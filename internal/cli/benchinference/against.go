//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// against measures two builds of sonde in turns, and compares what each took at its best, so that a difference of a few
// percent shows on a machine that does other things, too.
func (b *bench) against(ctx context.Context, out io.Writer) error {
	var servers [2]*server
	for i, program := range []string{b.config.against, b.config.sonde} {
		var err error
		if servers[i], err = b.startSonde(ctx, program); err != nil {
			return errors.Join(err, stopAll(servers[:i]))
		}
	}
	return errors.Join(b.turns(ctx, out, servers), stopAll(servers[:]))
}

// least is the server's CPU a session in the run that was disturbed least.
func (m *measured) least() time.Duration {
	return slices.MinFunc(m.windows, func(a, b window) int { return cmp.Compare(a.server, b.server) }).server
}

func stopAll(servers []*server) error {
	var all []error
	for _, s := range servers {
		all = append(all, s.stop())
	}
	return errors.Join(all...)
}

func (b *bench) turns(ctx context.Context, out io.Writer, servers [2]*server) error {
	ctx, cancel := context.WithCancel(ctx) // ends the streams
	defer cancel()
	var streams [2]*streamed
	for i, s := range servers {
		var err error
		if streams[i], err = openStreams(ctx, s); err != nil {
			return err
		}
		defer streams[i].close()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "| call | sessions a request | least CPU us a session: %s | %s | change |\n|---|---|---|---|---|\n", b.config.against, b.config.sonde)
	for _, rows := range []int{64, 1} {
		rate := b.config.commonBatch
		if rows == 1 {
			rate = b.config.commonSingle
		}
		for _, c := range []struct {
			name    string
			targets [2]target
		}{
			{"ModelInfer", [2]target{unary{servers[0]}, unary{servers[1]}}},
			{"ModelStreamInfer", [2]target{streams[0], streams[1]}},
			{"Classify", [2]target{native{servers[0]}, native{servers[1]}}},
		} {
			if !strings.Contains(c.name, b.config.only) {
				continue
			}
			var sides [2]measured
			for n := range b.config.runs {
				for i, t := range c.targets {
					w, err := load(ctx, t, b.batches[rows], rate, b.config.window, uint64(n))
					if err != nil {
						return err
					}
					sides[i].windows = append(sides[i].windows, w)
				}
			}
			before, after := micros(sides[0].least()), micros(sides[1].least())
			fmt.Fprintf(&text, "| %s | %d | %.1f | %.1f | %+.0f %% |\n", c.name, rows, before, after, 100*(after/before-1))
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}
