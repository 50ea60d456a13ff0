package config

import (
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/net/bpf"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

// instructionBytes is the size of an instruction of classic BPF.
const instructionBytes = 8

// EncodeProgram returns the program as it travels. Its text travels as the filter of the configuration.
func EncodeProgram(p filter.Program) *configv1.Program {
	instructions := p.Instructions()
	encoded := make([]byte, 0, instructionBytes*len(instructions))
	for _, in := range instructions {
		encoded = binary.LittleEndian.AppendUint16(encoded, in.Op)
		encoded = binary.LittleEndian.AppendUint32(append(encoded, in.Jt, in.Jf), in.K)
	}
	return &configv1.Program{LinkType: uint32(p.LinkType()), Instructions: encoded}
}

// DecodeProgram takes a program that came from outside, and trusts nothing of it: see filter.Parse. text is what it claims
// to have been compiled from.
func DecodeProgram(text string, p *configv1.Program) (filter.Program, error) {
	encoded := p.GetInstructions()
	switch {
	case p.GetLinkType() > math.MaxUint16:
		return filter.Program{}, fmt.Errorf("program for link type %d, which there is not", p.GetLinkType())
	case len(encoded)%instructionBytes != 0:
		return filter.Program{}, fmt.Errorf("program of %d bytes, which is no multiple of %d", len(encoded), instructionBytes)
	case len(encoded) > instructionBytes*filter.MaxInstructions:
		return filter.Program{}, fmt.Errorf("program of %d instructions is longer than %d", len(encoded)/instructionBytes, filter.MaxInstructions)
	}
	instructions := make([]bpf.RawInstruction, len(encoded)/instructionBytes)
	for i := range instructions {
		in := encoded[instructionBytes*i:]
		instructions[i] = bpf.RawInstruction{Op: binary.LittleEndian.Uint16(in), Jt: in[2], Jf: in[3], K: binary.LittleEndian.Uint32(in[4:])}
	}
	return filter.Parse(text, packet.LinkType(p.GetLinkType()), instructions)
}
