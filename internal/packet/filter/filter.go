// Package filter holds the programs by which capture points choose packets. Text such as "tcp port 443" goes through
// libpcap, once, in confsync or in the full binary; what comes out is classic BPF, which travels as instructions. Whoever
// receives a program checks it here, hands it to the kernel or runs it in user space, and never trusts it: a program
// that Parse has taken ends after at most as many steps as it has instructions and touches nothing but its packet.
package filter

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"

	"sonde.example/internal/packet"
)

// SnapLength is how many bytes of a packet compiled programs let through: libpcap's own maximum, which is every frame whole.
const SnapLength = 262144

// MaxInstructions is the longest program that the Linux kernel takes (BPF_MAXINSNS).
const MaxInstructions = 4096

// MaxText bounds filter text, in bytes, because libpcap's optimizer needs more than quadratic time and cannot be
// interrupted: 100 alternatives ("port 1 or port 2 or ...", 1 KB) take half a second, 350 (4 KB) twenty.
const MaxText = 4096

// ErrNoCompiler is returned by Compile in a binary without libpcap: it can run programs, not make them.
var ErrNoCompiler = errors.New("this binary has no filter compiler")

// Program is a checked filter for one link type. It does not change; the zero Program takes every packet.
type Program struct {
	text         string
	link         packet.LinkType
	instructions []bpf.RawInstruction
}

// Parse takes a program that was compiled elsewhere; text says what it was compiled from. The instructions are copied.
// No instructions are the program that takes every packet.
func Parse(text string, link packet.LinkType, instructions []bpf.RawInstruction) (Program, error) {
	if len(instructions) > 0 {
		if err := check(instructions); err != nil {
			return Program{}, fmt.Errorf("filter %q: %w", text, err)
		}
	}
	return Program{text, link, append([]bpf.RawInstruction(nil), instructions...)}, nil
}

// Text returns what the program was compiled from.
func (p Program) Text() string { return p.text }

// LinkType returns the link type whose frames the program understands.
func (p Program) LinkType() packet.LinkType { return p.link }

// Empty tells whether the program takes every packet of every link type.
func (p Program) Empty() bool { return len(p.instructions) == 0 }

// Instructions returns a copy of the program, for the kernel or for the wire; none when it is Empty.
func (p Program) Instructions() []bpf.RawInstruction {
	return append([]bpf.RawInstruction(nil), p.instructions...)
}

// Compile turns filter text (pcap-filter(7)) into a program for frames of the given link type. Empty text, or nothing but
// white space, takes every packet. Host names in it are looked up now, by this host. The error names the text and says
// what libpcap says; "protochain" is refused, since its programs have loops, which no kernel takes. Text with hundreds of
// alternatives takes seconds (MaxText).
func Compile(text string, link packet.LinkType) (Program, error) {
	return compileText(text, link)
}
