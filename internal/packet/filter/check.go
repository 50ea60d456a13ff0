package filter

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"
)

// Operation codes of classic BPF, as its inventors numbered them (McCanne and Jacobson, 1993; linux/bpf_common.h).
const (
	ldImmediate = 0x00 // A = k
	ldWord      = 0x20 // A = 4 bytes at k
	ldHalf      = 0x28
	ldByte      = 0x30
	ldWordX     = 0x40 // A = 4 bytes at X + k
	ldHalfX     = 0x48
	ldByteX     = 0x50
	ldScratch   = 0x60
	ldLength    = 0x80 // A = length on the wire

	ldxImmediate = 0x01
	ldxScratch   = 0x61
	ldxLength    = 0x81
	ldxIHL       = 0xb1 // X = 4 * (byte at k & 15)

	st  = 0x02
	stx = 0x03

	// Arithmetic: A = A op k; with useX instead A op X.
	useX   = 0x08
	aluAdd = 0x04
	aluSub = 0x14
	aluMul = 0x24
	aluDiv = 0x34
	aluOr  = 0x44
	aluAnd = 0x54
	aluLsh = 0x64
	aluRsh = 0x74
	aluNeg = 0x84
	aluMod = 0x94
	aluXor = 0xa4

	jump         = 0x05
	jumpEqual    = 0x15
	jumpGreater  = 0x25
	jumpGreaterE = 0x35
	jumpSet      = 0x45

	retConstant = 0x06
	retA        = 0x16

	tax = 0x07
	txa = 0x87
)

const scratchWords = 16

// check refuses what the kernel would refuse, for the same reasons: an unknown operation, a jump out of the program, a
// scratch word that is not there, a division by zero or a shift out of range that shows already, an end that is no return.
// Jumps only go forward, so a program that passes ends.
func check(program []bpf.RawInstruction) error {
	if len(program) > MaxInstructions {
		return fmt.Errorf("program of %d instructions is longer than %d", len(program), MaxInstructions)
	}
	for i, in := range program {
		if err := checkInstruction(in, len(program)-i-1); err != nil {
			return fmt.Errorf("instruction %d (%#02x %d %d %#x): %w", i, in.Op, in.Jt, in.Jf, in.K, err)
		}
	}
	if last := program[len(program)-1].Op; last != retConstant && last != retA {
		return errors.New("program does not end with a return")
	}
	return nil
}

// checkInstruction checks one instruction that has the given number of instructions behind it.
func checkInstruction(in bpf.RawInstruction, behind int) error {
	switch in.Op {
	case ldImmediate, ldWord, ldHalf, ldByte, ldWordX, ldHalfX, ldByteX, ldLength,
		ldxImmediate, ldxLength, ldxIHL, tax, txa, retConstant, retA, aluNeg:
		return nil
	case ldScratch, ldxScratch, st, stx:
		if in.K >= scratchWords {
			return errors.New("no such scratch word")
		}
		return nil
	case jump:
		if int64(in.K) >= int64(behind) {
			return errors.New("jump out of the program")
		}
		return nil
	}
	switch in.Op &^ useX {
	case jumpEqual, jumpGreater, jumpGreaterE, jumpSet:
		if max(int(in.Jt), int(in.Jf)) >= behind {
			return errors.New("jump out of the program")
		}
		return nil
	case aluDiv, aluMod:
		if in.Op&useX == 0 && in.K == 0 {
			return errors.New("division by zero")
		}
		return nil
	case aluLsh, aluRsh:
		if in.Op&useX == 0 && in.K > 31 {
			return errors.New("shift by more than 31")
		}
		return nil
	case aluAdd, aluSub, aluMul, aluOr, aluAnd, aluXor:
		return nil
	}
	return errors.New("unknown operation")
}
