// Package capturetest is what every capture source must pass, and builds small capture files, sound and broken ones, for
// tests.
package capturetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"golang.org/x/net/bpf"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet/filter"
)

// Packet is one packet as a source yields it.
type Packet struct {
	Data []byte
	Info capture.Info
}

// Want is what a source under test yields.
type Want struct {
	// Packets in order; at least two. A Time of 0 is not compared.
	Packets []Packet
	// Endless sources go on after the packets; others return io.EOF.
	Endless bool
}

// Run checks the promises of capture.Source. Open is called once for each of them and returns a fresh source.
func Run(t *testing.T, open func(t *testing.T) capture.Source, want Want) {
	fresh := func(t *testing.T) capture.Source {
		source := open(t)
		t.Cleanup(func() {
			if err := source.Close(); err != nil {
				t.Error(err)
			}
		})
		return source
	}
	t.Run("yields its packets in order", func(t *testing.T) {
		source := fresh(t)
		for i := range want.Packets {
			expect(t, source, want, i)
		}
		if !want.Endless {
			expectEnd(t, source)
			expectEnd(t, source)
		}
		if stats := statsOf(t, source); stats.Packets != uint64(len(want.Packets)) || stats.Filtered != 0 {
			t.Errorf("got %+v after %d packets", stats, len(want.Packets))
		}
	})
	t.Run("names the first packet's link type", func(t *testing.T) {
		if got := fresh(t).LinkType(); got != want.Packets[0].Info.LinkType {
			t.Errorf("got %d, want %d", got, want.Packets[0].Info.LinkType)
		}
	})
	t.Run("loses nothing when the context ends", func(t *testing.T) {
		source := fresh(t)
		ctx, cancel := context.WithCancel(t.Context())
		expect(t, source, want, 0)
		cancel()
		if _, _, err := source.ReadPacket(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("got error %v", err)
		}
		expect(t, source, want, 1)
	})
	t.Run("swaps filters at once", func(t *testing.T) {
		source := fresh(t)
		expect(t, source, want, 0)
		nothing, err := filter.Parse("nothing", source.LinkType(), []bpf.RawInstruction{{Op: 6}})
		if err != nil {
			t.Fatal(err)
		}
		if err := source.SetFilter(nothing); err != nil {
			t.Fatal(err)
		}
		if err := source.SetFilter(filter.Program{}); err != nil {
			t.Fatal(err)
		}
		expect(t, source, want, 1)
		if want.Endless {
			return
		}
		if err := source.SetFilter(nothing); err != nil {
			t.Fatal(err)
		}
		expectEnd(t, source)
		if stats := statsOf(t, source); stats.Packets != 2 || stats.Filtered != uint64(len(want.Packets)-2) {
			t.Errorf("got %+v", stats)
		}
	})
	t.Run("is closed once", func(t *testing.T) {
		source := open(t)
		for range 2 {
			if err := source.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := source.ReadPacket(t.Context())
		_, statsErr := source.Stats()
		for _, err := range []error{err, statsErr, source.SetFilter(filter.Program{})} {
			if !errors.Is(err, capture.ErrClosed) {
				t.Errorf("got error %v", err)
			}
		}
	})
}

func expect(t *testing.T, source capture.Source, want Want, i int) {
	t.Helper()
	data, info, err := source.ReadPacket(t.Context())
	if err != nil {
		t.Fatalf("packet %d: %v", i, err)
	}
	wanted := want.Packets[i]
	if !slices.Equal(data, wanted.Data) {
		t.Errorf("packet %d: got %x, want %x", i, data, wanted.Data)
	}
	if wanted.Info.Time == 0 {
		wanted.Info.Time = info.Time
	}
	if info != wanted.Info {
		t.Errorf("packet %d: got %+v, want %+v", i, info, wanted.Info)
	}
}

func expectEnd(t *testing.T, source capture.Source) {
	t.Helper()
	if _, _, err := source.ReadPacket(t.Context()); err != io.EOF {
		t.Fatalf("got error %v, want io.EOF", err)
	}
}

func statsOf(t *testing.T, source capture.Source) capture.Stats {
	t.Helper()
	stats, err := source.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return stats
}
