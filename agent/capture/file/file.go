// Package file reads packets from pcap and pcapng files, and from standard input. Files are hostile: every length in them
// is checked before it is used, memory is one buffer of fixed size whatever they claim, and where a file stops making
// sense the packets before that point count, the source ends as if the file did, and Warning says where and why.
//
// The two readers are our own because gopacket's pcapgo gives up where a person would go on: it takes an unknown version
// inside a file for an error, an interface with a strange clock too, and tells no place. It also needs three times the
// time (BenchmarkReadFile has both), most of it in copying each packet and making a time.Time of its clock.
package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

// MaxPacketBytes is the longest packet that is read, libpcap's own limit. A file that claims a longer one is broken there.
const MaxPacketBytes = 262144

// maxWireBytes is the longest that a packet is believed to have been on the wire, which files claim without showing it. A
// batch that told more would break its contract.
const maxWireBytes = 1 << 30

// onWire returns a packet's length on the wire: what the file says, but no less than there is of it.
func onWire(original, captured uint32) int { return int(max(min(original, maxWireBytes), captured)) }

// Options for Open.
type Options struct {
	// Filter is in force from the first packet on.
	Filter filter.Program
	// Stdin stands for the path "-"; nil means os.Stdin. Open takes it over: Close closes it.
	Stdin *os.File
}

// Source reads one file. It is a capture.Source.
type Source struct {
	path     string
	in       input
	format   format
	matchers matchers
	stats    capture.Stats
	broken   error // what ended the file early, for Warning
	ended    bool
	closed   bool
}

var _ capture.Source = (*Source)(nil)

// A format reads the records of one file format.
type format interface {
	// next returns the next packet, which lies in the input's buffer. io.EOF is the end at a record's border; a
	// *defect means that the file is broken from here on; any other error comes from reading.
	next(ctx context.Context, in *input) ([]byte, capture.Info, error)
	// linkType returns the first interface's; false while there is none.
	linkType() (packet.LinkType, bool)
}

// A defect is why a file cannot be read on.
type defect string

func (d defect) Error() string { return string(d) }

const cutShort defect = "cut short"

// Open opens a capture file, "-" being standard input, and reads as far as it must to know what the file is. A file that
// is none is an error that names the file and says what it is instead; one with no packets is not.
func Open(ctx context.Context, path string, options Options) (*Source, error) {
	f := options.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, fmt.Errorf("open capture: %w", err)
		}
	} else if f == nil {
		f = os.Stdin
	}
	s := &Source{path: path}
	err := s.open(ctx, f, options.Filter)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (s *Source) open(ctx context.Context, f *os.File, program filter.Program) error {
	if err := s.in.open(f); err != nil {
		return fmt.Errorf("open capture: %w", err)
	}
	magic, err := s.in.peek(ctx, 4)
	switch {
	case err == io.EOF:
		return fmt.Errorf("%s: empty; want a pcap or pcapng file", s.path)
	case err != nil && !errors.Is(err, cutShort):
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	switch {
	case len(magic) < 4:
		err = defect(fmt.Sprintf("no capture, only %d bytes; want a pcap or pcapng file", len(magic)))
	case binary.BigEndian.Uint32(magic) == blockSection:
		s.format, err = openPcapng(ctx, &s.in)
	case pcapMagic(magic):
		s.format, err = openPcap(ctx, &s.in)
	case magic[0] == 0x1f && magic[1] == 0x8b, binary.LittleEndian.Uint32(magic) == 0xfd2fb528:
		err = defect("compressed; decompress it first")
	default:
		err = defect(fmt.Sprintf("no capture (it begins with % x); want a pcap or pcapng file", magic))
	}
	if err != nil {
		if d := defect(""); errors.As(err, &d) {
			return fmt.Errorf("%s: %w", s.path, err)
		}
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	if err := s.SetFilter(program); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return nil
}

// ReadPacket implements capture.Source. It takes about a memory copy of the file.
func (s *Source) ReadPacket(ctx context.Context) ([]byte, capture.Info, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, capture.Info{}, err
		}
		if s.closed {
			return nil, capture.Info{}, capture.ErrClosed
		}
		if s.ended {
			return nil, capture.Info{}, io.EOF
		}
		data, info, err := s.format.next(ctx, &s.in)
		if err != nil {
			return nil, capture.Info{}, s.end(err)
		}
		if s.matchers.match(data, &info) {
			s.stats.Packets++
			return data, info, nil
		}
		s.stats.Filtered++
	}
}

// end takes an error of the format. Only an interrupted wait or a failing disk reaches the caller.
func (s *Source) end(err error) error {
	good := s.stats.Packets + s.stats.Filtered
	var d defect
	switch {
	case err == io.EOF:
	case errors.As(err, &d):
		s.broken = fmt.Errorf("%s: %w in record %d at byte %d; %s", s.path, err, good+1, s.in.record, packetsBefore(good))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	default:
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	s.ended = true
	return io.EOF
}

func packetsBefore(n uint64) string {
	switch n {
	case 0:
		return "no packet before it"
	case 1:
		return "the packet before it is good"
	}
	return fmt.Sprintf("%d packets before it are good", n)
}

// Warning tells what was wrong with the file, once ReadPacket has returned io.EOF: where it broke off, or for which
// interface the filter could not be compiled; nil when all of it was read. What had been read until then is good.
func (s *Source) Warning() error {
	if s.matchers.failed == nil {
		return s.broken
	}
	return errors.Join(s.broken, fmt.Errorf("%s: %w", s.path, s.matchers.failed))
}

// SetFilter implements capture.Source.
func (s *Source) SetFilter(program filter.Program) error {
	if s.closed {
		return capture.ErrClosed
	}
	link, known := s.format.linkType()
	if !known {
		link = program.LinkType()
	}
	return s.matchers.set(program, link)
}

// Stats implements capture.Source. A file drops nothing.
func (s *Source) Stats() (capture.Stats, error) {
	if s.closed {
		return capture.Stats{}, capture.ErrClosed
	}
	return s.stats, nil
}

// LinkType implements capture.Source. It is 0 for a file without any interface.
func (s *Source) LinkType() packet.LinkType {
	link, _ := s.format.linkType()
	return link
}

// Close implements capture.Source.
func (s *Source) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return s.in.file.Close()
}
