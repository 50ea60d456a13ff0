package afpacket

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/bpf"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

// Operations of classic BPF that the guard needs, and the kernel's extensions (linux/filter.h).
const (
	opLoadWord    = 0x20
	opLoadHalf    = 0x28
	opLoadByte    = 0x30
	opLoadWordX   = 0x40
	opLoadHalfX   = 0x48
	opLoadByteX   = 0x50
	opLoadLength  = 0x80
	opLoadScratch = 0x60
	opSet         = 0x00
	opSetX        = 0x01
	opStore       = 0x02
	opToX         = 0x07
	opAddX        = 0x0c
	opSub         = 0x14
	opAnd         = 0x54
	opShiftLeft   = 0x64
	opJump        = 0x05
	opEqual       = 0x15
	opAtLeast     = 0x35
	opAtLeastX    = 0x3d
	opAnyBit      = 0x45
	opReturn      = 0x06

	extension    = 0xfffff000 // SKF_AD_OFF
	loadType     = extension + 4
	loadTagged   = extension + 48 // SKF_AD_VLAN_TAG_PRESENT
	outgoingType = 4              // PACKET_OUTGOING
)

const (
	takeAll   = filter.SnapLength
	takeNone  = 0
	tcp       = 6
	minTCP4   = 40 // the shortest TCP packet: two headers without options
	minTCP6   = 60
	maxTags   = 2 // that the guard steps over, beside the one that the kernel has taken off
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
)

// assembler builds a program whose far jumps go forward to labels: conditional ones reach only 255 instructions, so these
// step over an unconditional one.
type assembler struct {
	code    []bpf.RawInstruction
	pending map[string][]int // jumps to a label that is not placed yet
}

func (a *assembler) emit(op uint16, k uint32) {
	a.code = append(a.code, bpf.RawInstruction{Op: op, K: k})
}

// test emits a conditional jump over so many instructions.
func (a *assembler) test(op uint16, k uint32, whenTrue, whenFalse int) {
	a.code = append(a.code, bpf.RawInstruction{Op: op, Jt: uint8(whenTrue), Jf: uint8(whenFalse), K: k})
}

func (a *assembler) jump(label string) {
	if a.pending == nil {
		a.pending = map[string][]int{}
	}
	a.pending[label] = append(a.pending[label], len(a.code))
	a.emit(opJump, 0)
}

// when goes to a label if a condition holds.
func (a *assembler) when(op uint16, k uint32, label string) {
	a.test(op, k, 0, 1)
	a.jump(label)
}

// require leaves the guard for the program unless a condition holds.
func (a *assembler) require(op uint16, k uint32) {
	a.test(op, k, 1, 0)
	a.jump("program")
}

func (a *assembler) place(label string) {
	for _, at := range a.pending[label] {
		a.code[at].K = uint32(len(a.code) - at - 1)
	}
	delete(a.pending, label)
}

// kernelProgram returns what a socket gets: a guard that turns away one copy of what passes a loopback device twice, and
// both directions of flows; then, where tags can be apart, tagged frames let through; then the program. Programs that do
// not fit the kernel's bound are refused.
func kernelProgram(program filter.Program, link packet.LinkType, loopback bool, flows []capture.Flow) ([]bpf.RawInstruction, error) {
	var a assembler
	if loopback {
		a.emit(opLoadByte, loadType)
		a.test(opEqual, outgoingType, 0, 1)
		a.emit(opReturn, takeNone)
	}
	if len(flows) > 0 {
		a.guard(link, flows)
	}
	guard := len(a.code)
	if program.Empty() {
		a.emit(opReturn, takeAll)
		return a.code, nil
	}
	if link == packet.LinkEthernet {
		a.emit(opLoadByte, loadTagged)
		a.test(opEqual, 0, 1, 0)
		a.emit(opReturn, takeAll)
	}
	// The program finds the machine as it would alone.
	a.emit(opSet, 0)
	a.emit(opSetX, 0)
	for _, in := range program.Instructions() {
		switch {
		case in.Op == opReturn && in.K != 0:
			in.K = takeAll // taken is taken whole: the snap length is the reader's
		case (in.Op == opLoadWord || in.Op == opLoadHalf || in.Op == opLoadByte) && in.K >= 1<<31:
			return nil, fmt.Errorf("filter %q: reads what the kernel knows beside the packet (load from %#x)", program.Text(), in.K)
		}
		a.code = append(a.code, in)
	}
	if len(a.code) > filter.MaxInstructions {
		return nil, fmt.Errorf("filter %q: %d instructions, and %d before them for %d flows left out, are more than the kernel takes, %d",
			program.Text(), len(program.Instructions()), guard, len(flows), filter.MaxInstructions)
	}
	return a.code, nil
}

// Scratch words of the guard: source and destination addresses, one word each or four, and both ports in one.
const (
	source4, destination4 = 0, 1
	source6, destination6 = 0, 4
	bothPorts             = 8
)

// guard turns away both directions of TCP flows. It reads nothing that a frame might be too short for, since that
// would turn the frame away. Only the first of a packet's fragments has ports, so later ones pass.
func (a *assembler) guard(link packet.LinkType, flows []capture.Flow) {
	if link == packet.LinkEthernet {
		a.networkHeader()
	} else {
		a.emit(opLoadLength, 0)
		a.require(opAtLeast, minTCP4)
		a.emit(opSetX, 0)
		a.emit(opLoadByte, 0)
		a.emit(opAnd, 0xf0)
		a.when(opEqual, 0x40, "ipv4")
		a.require(opEqual, 0x60)
	}
	a.guard6(flows)
	a.place("ipv4")
	a.guard4(flows)
	a.place("program")
}

// networkHeader sets X to where the network header of an Ethernet frame begins, and goes to "ipv4", on for IPv6, or to
// "program".
func (a *assembler) networkHeader() {
	a.emit(opLoadLength, 0)
	a.require(opAtLeast, 14+minTCP4)
	for tags := range uint32(maxTags + 1) {
		at := 12 + 4*tags
		a.emit(opSetX, at+2)
		a.emit(opLoadHalf, at)
		a.when(opEqual, etherIPv4, "ipv4")
		a.when(opEqual, etherIPv6, "ipv6")
		if tags == maxTags {
			a.jump("program")
			break
		}
		a.test(opEqual, 0x8100, 3, 0) // IEEE 802.1Q
		a.test(opEqual, 0x88a8, 2, 0) // IEEE 802.1ad
		a.require(opEqual, 0x9100)
	}
	a.place("ipv6")
}

func (a *assembler) guard4(flows []capture.Flow) {
	a.emit(opLoadLength, 0)
	a.emit(opSub, minTCP4)
	a.require(opAtLeastX, 0)
	a.emit(opLoadByteX, 9)
	a.require(opEqual, tcp)
	a.emit(opLoadHalfX, 6)
	a.when(opAnyBit, 0x1fff, "program") // a later fragment
	a.load(12, source4)
	a.load(16, destination4)
	a.emit(opLoadByteX, 0)
	a.emit(opAnd, 0x0f)
	a.emit(opShiftLeft, 2)
	a.emit(opAddX, 0)
	a.emit(opToX, 0)
	a.emit(opLoadLength, 0)
	a.emit(opSub, 4)
	a.require(opAtLeastX, 0)
	a.load(0, bothPorts)
	for _, f := range flows {
		if remote := f.Remote.Addr().Unmap(); remote.Is4() {
			a.leaveOut(f, source4, destination4, remote.AsSlice())
		}
	}
	a.jump("program")
}

func (a *assembler) guard6(flows []capture.Flow) {
	a.emit(opLoadLength, 0)
	a.require(opAtLeast, minTCP6) // below it would wrap
	a.emit(opSub, minTCP6)
	a.require(opAtLeastX, 0)
	a.emit(opLoadByteX, 6)
	a.require(opEqual, tcp) // a host sends no extension headers with its own TCP
	for i := range uint32(8) {
		a.load(8+4*i, source6+i)
	}
	a.load(40, bothPorts)
	for _, f := range flows {
		if remote := f.Remote.Addr().Unmap(); remote.Is6() {
			a.leaveOut(f, source6, destination6, remote.AsSlice())
		}
	}
	a.jump("program")
}

// load puts a word of the packet, from X on, into a scratch word.
func (a *assembler) load(offset, scratch uint32) {
	a.emit(opLoadWordX, offset)
	a.emit(opStore, scratch)
}

// leaveOut turns away one flow, whose addresses lie in scratch words from source and destination on.
func (a *assembler) leaveOut(f capture.Flow, source, destination uint32, remote []byte) {
	var local []byte
	if address := f.Local.Addr().Unmap(); address.IsValid() && !address.IsUnspecified() {
		local = address.AsSlice()
	}
	a.turnAway(f.Local.Port(), f.Remote.Port(), source, local, destination, remote)
	a.turnAway(f.Remote.Port(), f.Local.Port(), source, remote, destination, local)
}

// turnAway compares ports and addresses; an address that is nil is any.
func (a *assembler) turnAway(from, to uint16, source uint32, sender []byte, destination uint32, receiver []byte) {
	words := (len(sender) + len(receiver)) / 4
	a.emit(opLoadScratch, bothPorts)
	a.test(opEqual, uint32(from)<<16|uint32(to), 0, 2*words+1)
	compare := func(scratch uint32, address []byte) {
		for ; len(address) > 0; address = address[4:] {
			words--
			a.emit(opLoadScratch, scratch)
			a.test(opEqual, binary.BigEndian.Uint32(address), 0, 2*words+1)
			scratch++
		}
	}
	compare(source, sender)
	compare(destination, receiver)
	a.emit(opReturn, takeNone)
}

// sameFamily tells whether a flow's addresses, where both are given, belong together.
func sameFamily(f capture.Flow) bool {
	local, remote := f.Local.Addr().Unmap(), f.Remote.Addr().Unmap()
	return !local.IsValid() || local.IsUnspecified() || local.Is4() == remote.Is4()
}

// checkFlows is capture.CheckFlows, and refuses what no packet can be.
func checkFlows(flows []capture.Flow) error {
	for _, f := range flows {
		if !sameFamily(f) {
			return fmt.Errorf("flow from %v to %v: one is IPv4, the other IPv6", f.Local, f.Remote)
		}
	}
	return capture.CheckFlows(flows)
}
