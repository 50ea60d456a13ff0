package file

import (
	"context"
	"io"
	"os"
)

// bufferBytes is the size of the one buffer, unless the whole file is smaller: the longest packet with its header, and as much again, so that what is
// moved to the front when the buffer runs empty is little against what is read.
const bufferBytes = 2 * (MaxPacketBytes + 4096)

// input is a file behind the one buffer.
//
//	buffer: | consumed | next ... | free |
//	                   ^at        ^filled
type input struct {
	file     *os.File
	buffer   []byte
	at       int
	filled   int
	base     int64 // where in the file the buffer begins
	record   int64 // where in the file the record begins that is being read
	skipping int64 // what begin has to skip
	eof      bool
	waiting  bool // the file is a pipe or a terminal, whose reads may last
}

func (in *input) open(f *os.File) error {
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	in.file = f
	in.waiting = !stat.Mode().IsRegular()
	size := int64(bufferBytes)
	if !in.waiting {
		size = min(size, stat.Size()+1) // of thousands of small files the buffers would cost more than all else
	}
	in.buffer = make([]byte, size)
	return nil
}

// begin does what skip has promised, and takes note that a record begins here. An error leaves the rest of the skipping to
// be gone on with.
func (in *input) begin(ctx context.Context) error {
	for in.skipping > 0 {
		if in.at == in.filled {
			if err := in.fill(ctx, 1); err == io.EOF {
				return cutShort
			} else if err != nil {
				return err
			}
		}
		step := int(min(in.skipping, int64(in.filled-in.at)))
		in.at += step
		in.skipping -= int64(step)
	}
	in.record = in.base + int64(in.at)
	return nil
}

// peek returns the next n bytes, at most bufferBytes, without consuming them. At the end of the file it returns what
// there is, with io.EOF if that is nothing and cutShort otherwise. The bytes last until the next peek or skip.
func (in *input) peek(ctx context.Context, n int) ([]byte, error) {
	if in.filled-in.at < n {
		if err := in.fill(ctx, n); err != nil {
			return in.buffer[in.at:in.filled], err
		}
	}
	return in.buffer[in.at : in.at+n], nil
}

// fill reads until the buffer holds n bytes that are not consumed.
func (in *input) fill(ctx context.Context, n int) error {
	to := in.buffer
	if n > len(to) { // the file was smaller when it was opened, or it is cut short
		to = make([]byte, bufferBytes)
	}
	copy(to, in.buffer[in.at:in.filled])
	in.buffer = to
	in.base += int64(in.at)
	in.filled -= in.at
	in.at = 0
	for in.filled < n {
		if in.eof && in.filled == 0 {
			return io.EOF
		}
		if in.eof {
			return cutShort
		}
		if in.waiting {
			if err := wait(ctx, in.file); err != nil {
				return err
			}
		}
		read, err := in.file.Read(in.buffer[in.filled:])
		in.filled += read
		if err == io.EOF {
			in.eof = true
		} else if err != nil {
			return err
		}
	}
	return nil
}

// consume steps over n bytes that peek has returned.
func (in *input) consume(n int) { in.at += n }

// skip steps over n bytes, however many, at the next begin.
func (in *input) skip(n int64) { in.skipping += n }
