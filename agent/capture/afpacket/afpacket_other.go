//go:build !linux

package afpacket

import (
	"errors"
	"runtime"

	"sonde.example/agent/capture"
)

// Set is a capture.Live. There is none on this system.
type Set struct{ capture.Live }

// Open returns an error: rings shared with the kernel are Linux's alone.
func Open(Options) (*Set, error) {
	return nil, errors.New("afpacket captures on Linux only; this is " + runtime.GOOS)
}
