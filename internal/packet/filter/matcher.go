package filter

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
)

// Matcher runs a program in user space. It does not change; any number of goroutines may use one.
//
// It is an interpreter of our own because golang.org/x/net/bpf's needs twice the time (BenchmarkMatch has both), knows no
// length on the wire apart from the captured one, and cannot load it into X.
type Matcher struct {
	program []bpf.RawInstruction
}

// Matcher returns what runs the program.
func (p Program) Matcher() Matcher { return Matcher{p.instructions} }

// None returns the matcher that takes no packet.
func None() Matcher { return Matcher{[]bpf.RawInstruction{{Op: retConstant}}} }

// Match tells whether the program takes a frame; original is its length on the wire. A load from beyond the captured bytes
// ends the program and the frame is not taken, as in the kernel. It does not allocate.
func (m Matcher) Match(frame []byte, original int) bool {
	if len(m.program) == 0 {
		return true
	}
	return run(m.program, frame, uint32(original)) != 0
}

// run is the machine: an accumulator, an index, and sixteen words of scratch memory.
func run(program []bpf.RawInstruction, frame []byte, original uint32) uint32 {
	var a, x uint32
	var scratch [scratchWords]uint32
	for pc := 0; pc < len(program); pc++ {
		in := &program[pc]
		k := in.K
		switch in.Op {
		case ldHalf, ldHalfX, ldByte, ldByteX, ldWord, ldWordX:
			at := uint64(k)
			if in.Op&0xe0 == 0x40 {
				at += uint64(x) // beyond 32 bits it is out of range, too
			}
			value, ok := load(frame, at, in.Op&0x18)
			if !ok {
				return 0
			}
			a = value
		case jumpEqual, jumpEqual | useX:
			pc += branch(in, a == operand(in, x))
		case jumpGreater, jumpGreater | useX:
			pc += branch(in, a > operand(in, x))
		case jumpGreaterE, jumpGreaterE | useX:
			pc += branch(in, a >= operand(in, x))
		case jumpSet, jumpSet | useX:
			pc += branch(in, a&operand(in, x) != 0)
		case jump:
			pc += int(k)
		case retConstant:
			return k
		case retA:
			return a
		case ldxIHL:
			if uint64(k) >= uint64(len(frame)) {
				return 0
			}
			x = uint32(frame[k]&15) * 4
		case ldImmediate:
			a = k
		case ldLength:
			a = original
		case ldScratch:
			a = scratch[k&(scratchWords-1)]
		case ldxImmediate:
			x = k
		case ldxLength:
			x = original
		case ldxScratch:
			x = scratch[k&(scratchWords-1)]
		case st:
			scratch[k&(scratchWords-1)] = a
		case stx:
			scratch[k&(scratchWords-1)] = x
		case tax:
			x = a
		case txa:
			a = x
		case aluNeg:
			a = -a
		default:
			value, ok := arithmetic(in.Op&^useX, a, operand(in, x))
			if !ok {
				return 0
			}
			a = value
		}
	}
	return 0 // not reached: a checked program returns
}

func operand(in *bpf.RawInstruction, x uint32) uint32 {
	if in.Op&useX != 0 {
		return x
	}
	return in.K
}

func branch(in *bpf.RawInstruction, taken bool) int {
	if taken {
		return int(in.Jt)
	}
	return int(in.Jf)
}

// load reads 4, 2 or 1 bytes, as the size bits of the operation say.
func load(frame []byte, at uint64, size uint16) (uint32, bool) {
	if at >= uint64(len(frame)) {
		return 0, false
	}
	b := frame[at:]
	switch size {
	case 0x08:
		if len(b) >= 2 {
			return uint32(binary.BigEndian.Uint16(b)), true
		}
	case 0x10:
		return uint32(b[0]), true
	default:
		if len(b) >= 4 {
			return binary.BigEndian.Uint32(b), true
		}
	}
	return 0, false
}

// arithmetic computes a op b; false is a division by zero, which takes no packet.
func arithmetic(op uint16, a, b uint32) (uint32, bool) {
	switch op {
	case aluAdd:
		return a + b, true
	case aluSub:
		return a - b, true
	case aluMul:
		return a * b, true
	case aluDiv, aluMod:
		if b == 0 {
			return 0, false
		}
		if op == aluDiv {
			return a / b, true
		}
		return a % b, true
	case aluOr:
		return a | b, true
	case aluAnd:
		return a & b, true
	case aluXor:
		return a ^ b, true
	case aluLsh:
		return a << b, true // 0 from 32 on
	case aluRsh:
		return a >> b, true
	}
	return 0, false
}
