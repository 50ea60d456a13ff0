// Package capture is where packets enter Sonde. A Source is one capture point: a capture file, a ring shared with the
// kernel, a libpcap handle. It yields packets one at a time with their time and lengths as the kernel or the file tells
// them, and lends the bytes only until the next call, so that nothing is copied before the cut has decided what to keep.
// What a source cannot keep up with is lost in the kernel; it is counted there, and Stats tells.
package capture

import (
	"context"
	"errors"
	"time"

	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

// ErrClosed is returned by a source after Close.
var ErrClosed = errors.New("capture source is closed")

// Source yields packets from one capture point. Only the goroutine that opened it touches it.
type Source interface {
	// ReadPacket waits for a packet; io.EOF ends a finite source, and stays. The bytes last until the next call. When ctx
	// ends it returns ctx.Err(), and no packet is lost by it.
	ReadPacket(ctx context.Context) ([]byte, Info, error)
	// SetFilter replaces the program on the live source, at once; after an error the old one is in force. A zero Program
	// takes every packet.
	SetFilter(program filter.Program) error
	// Stats counts since Open and never goes back.
	Stats() (Stats, error)
	// LinkType tells how frames begin; where they differ, how the first interface's do. Info has each packet's.
	LinkType() packet.LinkType
	// Close lets go of everything. Closing again does nothing; the other methods return ErrClosed.
	Close() error
}

// Info is what a source knows about a packet beside its bytes.
type Info struct {
	// Time is when the packet was captured, in nanoseconds since 1970 in UTC, between the years 1678 and 2262.
	Time int64
	// CaptureLength is how many bytes of the packet there are: the length of the slice that ReadPacket returns.
	CaptureLength int
	// OriginalLength is how long the packet was on the wire, at least CaptureLength.
	OriginalLength int
	// InterfaceIndex tells a source's interfaces apart: the kernel's index, or for a file their order in it, from 0.
	InterfaceIndex int
	LinkType       packet.LinkType
	Direction      Direction
}

// Timestamp returns Time as a time in UTC.
func (i Info) Timestamp() time.Time { return time.Unix(0, i.Time).UTC() }

// Direction tells how a packet passed the capturing host.
type Direction uint8

// Directions. Most capture files do not tell.
const (
	UnknownDirection Direction = iota
	Inbound
	Outbound
)

// Stats is what a source has counted since it was opened. Each packet that came is in Packets,
// in Filtered or in Dup.
type Stats struct {
	Packets  uint64 // returned by ReadPacket
	Filtered uint64 // turned down by the program in user space; what the kernel turned down is not seen
	Drops    uint64 // lost because nobody fetched them in time, as the kernel tells; beside the others
	Dup      uint64 // seen a second time while one capture took over from another; not in Packets
}
