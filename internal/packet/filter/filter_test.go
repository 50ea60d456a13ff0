package filter_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	p "sonde.example/internal/packet/packettest"
)

// tcp80 is "ip and tcp port 80" for Ethernet without options and fragments, written by hand: it needs no compiler.
func tcp80() []bpf.RawInstruction {
	return []bpf.RawInstruction{
		{Op: 0x28, K: 12}, {Op: 0x15, Jf: 8, K: 0x800},
		{Op: 0x30, K: 23}, {Op: 0x15, Jf: 6, K: 6},
		{Op: 0xb1, K: 14},
		{Op: 0x48, K: 14}, {Op: 0x15, Jt: 2, K: 80},
		{Op: 0x48, K: 16}, {Op: 0x15, Jf: 1, K: 80},
		{Op: 0x06, K: 65535}, {Op: 0x06},
	}
}

func web(port uint16) []byte {
	return p.Ethernet(0x800, p.IPv4("10.0.0.1", "10.0.0.2", 6, p.TCP(1025, port, packet.SYN, 1, 0, nil)))
}

func TestProgramMatches(t *testing.T) {
	program, err := filter.Parse("ip and tcp port 80", packet.LinkEthernet, tcp80())
	if err != nil {
		t.Fatal(err)
	}
	m := program.Matcher()
	for name, test := range map[string]struct {
		frame []byte
		want  bool
	}{
		"port 80":      {web(80), true},
		"port 81":      {web(81), false},
		"UDP":          {p.Ethernet(0x800, p.IPv4("10.0.0.1", "10.0.0.2", 17, p.UDP(80, 80, nil))), false},
		"IPv6":         {p.Ethernet(0x86dd, make([]byte, 60)), false},
		"cut":          {web(80)[:36], false},
		"without port": {web(80)[:37], false},
		"empty":        {nil, false},
	} {
		if got := m.Match(test.frame, len(test.frame)); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	if program.Text() != "ip and tcp port 80" || program.LinkType() != packet.LinkEthernet || program.Empty() {
		t.Errorf("got %q for %d", program.Text(), program.LinkType())
	}
	copied := program.Instructions()
	if !slices.Equal(copied, tcp80()) {
		t.Errorf("got %v", copied)
	}
	copied[0].Op = 6
	if !m.Match(web(80), 54) {
		t.Error("the program was changed from outside")
	}
}

func TestEmptyProgramTakesEverything(t *testing.T) {
	parsed, err := filter.Parse("", packet.LinkRaw, nil)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := filter.Compile(" \n", packet.LinkRaw)
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []filter.Program{{}, parsed, compiled} {
		if !program.Empty() || len(program.Instructions()) != 0 || !program.Matcher().Match(nil, 0) {
			t.Errorf("got %v", program)
		}
	}
	if filter.None().Match(web(80), 54) {
		t.Error("None takes a packet")
	}
}

// TestMachine runs each operation. Every program ends with "return A" unless it returns itself.
func TestMachine(t *testing.T) {
	frame := []byte{0x45, 1, 2, 3, 0xff, 0xfe}
	i := func(op uint16, k uint32) bpf.RawInstruction { return bpf.RawInstruction{Op: op, K: k} }
	tests := map[string]struct {
		program []bpf.RawInstruction
		want    bool
	}{
		"length is the wire's":        {[]bpf.RawInstruction{i(0x80, 0), {Op: 0x15, Jf: 1, K: 1000}, i(0x06, 1), i(0x06, 0)}, true},
		"index length":                {[]bpf.RawInstruction{i(0x81, 0), i(0x87, 0), {Op: 0x15, Jf: 1, K: 1000}, i(0x06, 1), i(0x06, 0)}, true},
		"word":                        {[]bpf.RawInstruction{i(0x20, 0), {Op: 0x15, Jf: 1, K: 0x45010203}, i(0x06, 1), i(0x06, 0)}, true},
		"word past the end":           {[]bpf.RawInstruction{i(0x20, 3), i(0x06, 1)}, false},
		"half at the end":             {[]bpf.RawInstruction{i(0x28, 4), {Op: 0x15, Jf: 1, K: 0xfffe}, i(0x06, 1), i(0x06, 0)}, true},
		"half past the end":           {[]bpf.RawInstruction{i(0x28, 5), i(0x06, 1)}, false},
		"byte past the end":           {[]bpf.RawInstruction{i(0x30, 6), i(0x06, 1)}, false},
		"index":                       {[]bpf.RawInstruction{i(0x01, 2), i(0x50, 3), {Op: 0x15, Jf: 1, K: 0xfe}, i(0x06, 1), i(0x06, 0)}, true},
		"index does not wrap":         {[]bpf.RawInstruction{i(0x01, math.MaxUint32), i(0x50, 1), i(0x06, 1)}, false},
		"index half and word":         {[]bpf.RawInstruction{i(0x01, 1), i(0x48, 0), i(0x07, 0), i(0x40, 1<<32-0x102), {Op: 0x06, K: 1}}, false},
		"header length":               {[]bpf.RawInstruction{i(0xb1, 0), i(0x87, 0), {Op: 0x15, Jf: 1, K: 20}, i(0x06, 1), i(0x06, 0)}, true},
		"header length past the end":  {[]bpf.RawInstruction{i(0xb1, 6), i(0x06, 1)}, false},
		"scratch":                     {[]bpf.RawInstruction{i(0x00, 7), i(0x02, 15), i(0x00, 0), i(0x60, 15), i(0x16, 0)}, true},
		"index scratch":               {[]bpf.RawInstruction{i(0x01, 7), i(0x03, 1), i(0x01, 0), i(0x61, 1), i(0x87, 0), i(0x16, 0)}, true},
		"scratch begins empty":        {[]bpf.RawInstruction{i(0x60, 3), i(0x16, 0)}, false},
		"add, subtract":               {[]bpf.RawInstruction{i(0x00, 5), i(0x04, 3), i(0x14, 8), i(0x16, 0)}, false},
		"multiply, divide, remainder": {[]bpf.RawInstruction{i(0x00, 7), i(0x24, 6), i(0x34, 4), i(0x94, 5), i(0x16, 0)}, false},
		"or, and, xor":                {[]bpf.RawInstruction{i(0x00, 1), i(0x44, 6), i(0x54, 5), i(0xa4, 5), i(0x16, 0)}, false},
		"shifts":                      {[]bpf.RawInstruction{i(0x00, 1), i(0x64, 31), i(0x74, 31), {Op: 0x15, Jf: 1, K: 1}, i(0x06, 1), i(0x06, 0)}, true},
		"shift by index past 31":      {[]bpf.RawInstruction{i(0x00, 1), i(0x01, 32), i(0x6c, 0), i(0x16, 0)}, false},
		"negate":                      {[]bpf.RawInstruction{i(0x00, 1), i(0x84, 0), i(0x04, 1), i(0x16, 0)}, false},
		"division by index 0":         {[]bpf.RawInstruction{i(0x00, 1), i(0x01, 0), i(0x3c, 0), i(0x06, 1)}, false},
		"remainder by index 0":        {[]bpf.RawInstruction{i(0x00, 1), i(0x01, 0), i(0x9c, 0), i(0x06, 1)}, false},
		"arithmetic with index":       {[]bpf.RawInstruction{i(0x00, 9), i(0x07, 0), i(0x1c, 0), i(0x16, 0)}, false},
		"jump":                        {[]bpf.RawInstruction{i(0x05, 1), i(0x06, 0), i(0x06, 1)}, true},
		"jump greater":                {[]bpf.RawInstruction{i(0x00, 5), {Op: 0x25, Jt: 1, K: 4}, i(0x06, 0), i(0x06, 1)}, true},
		"jump greater, equal":         {[]bpf.RawInstruction{i(0x00, 5), {Op: 0x25, Jt: 1, K: 5}, i(0x06, 0), i(0x06, 1)}, false},
		"jump greater or equal":       {[]bpf.RawInstruction{i(0x00, 5), {Op: 0x35, Jt: 1, K: 5}, i(0x06, 0), i(0x06, 1)}, true},
		"jump set, index":             {[]bpf.RawInstruction{i(0x00, 5), i(0x01, 4), {Op: 0x4d, Jt: 1}, i(0x06, 0), i(0x06, 1)}, true},
		"return A":                    {[]bpf.RawInstruction{i(0x00, 0), i(0x16, 0)}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			program, err := filter.Parse(name, 1, test.program)
			if err != nil {
				t.Fatal(err)
			}
			if got := program.Matcher().Match(frame, 1000); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestParseRefusesHostilePrograms(t *testing.T) {
	ret := bpf.RawInstruction{Op: 6}
	for name, test := range map[string]struct {
		program []bpf.RawInstruction
		want    string
	}{
		"no return":               {[]bpf.RawInstruction{{Op: 0x20}}, "does not end with a return"},
		"unknown operation":       {[]bpf.RawInstruction{{Op: 0xffff}, ret}, "unknown operation"},
		"return X":                {[]bpf.RawInstruction{{Op: 0x0e}}, "unknown operation"},
		"jump with X":             {[]bpf.RawInstruction{{Op: 0x0d}, ret}, "unknown operation"},
		"jump past the end":       {[]bpf.RawInstruction{{Op: 0x05, K: 1}, ret}, "jump out"},
		"jump back":               {[]bpf.RawInstruction{{Op: 0x05, K: math.MaxUint32}, ret}, "jump out"},
		"branch past the end":     {[]bpf.RawInstruction{{Op: 0x15, Jt: 1}, ret}, "jump out"},
		"other branch":            {[]bpf.RawInstruction{{Op: 0x1d, Jf: 255}, ret}, "jump out"},
		"scratch word 16":         {[]bpf.RawInstruction{{Op: 0x02, K: 16}, ret}, "no such scratch word"},
		"scratch word far":        {[]bpf.RawInstruction{{Op: 0x61, K: math.MaxUint32}, ret}, "no such scratch word"},
		"division by zero":        {[]bpf.RawInstruction{{Op: 0x34}, ret}, "division by zero"},
		"remainder by zero":       {[]bpf.RawInstruction{{Op: 0x94}, ret}, "division by zero"},
		"shift by 32":             {[]bpf.RawInstruction{{Op: 0x64, K: 32}, ret}, "shift"},
		"longer than the kernels": {slices.Repeat([]bpf.RawInstruction{ret}, filter.MaxInstructions+1), "longer than 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := filter.Parse("bad text", 1, test.program)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), `"bad text"`) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
	if _, err := filter.Parse("", 1, slices.Repeat([]bpf.RawInstruction{ret}, filter.MaxInstructions)); err != nil {
		t.Error(err)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	program, err := filter.Parse("", 1, tcp80())
	if err != nil {
		t.Fatal(err)
	}
	m, frame := program.Matcher(), web(80)
	if n := testing.AllocsPerRun(100, func() { m.Match(frame, len(frame)) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}

// FuzzMatch runs any program that Parse takes over any frame, and compares it with golang.org/x/net/bpf.
func FuzzMatch(f *testing.F) {
	seed := make([]byte, 0, 8*len(tcp80()))
	for _, in := range tcp80() {
		seed = append(seed, byte(in.Op), in.Jt, in.Jf, 0, byte(in.K>>24), byte(in.K>>16), byte(in.K>>8), byte(in.K))
	}
	f.Add(seed, web(80))
	f.Fuzz(func(t *testing.T, code, frame []byte) {
		var raw []bpf.RawInstruction
		for ; len(code) >= 8; code = code[8:] {
			raw = append(raw, bpf.RawInstruction{Op: uint16(code[0]), Jt: code[1], Jf: code[2],
				K: uint32(code[4])<<24 | uint32(code[5])<<16 | uint32(code[6])<<8 | uint32(code[7])})
		}
		program, err := filter.Parse("fuzz", 1, raw)
		if err != nil || program.Empty() {
			return
		}
		got := program.Matcher().Match(frame, len(frame))
		instructions, known := bpf.Disassemble(raw)
		for _, in := range raw {
			// The kernel's extensions, which x/net/bpf knows and user space has not, and loads it lets wrap.
			known = known && (in.K < 1<<31 || in.Op&7 > 1) && in.Op != 0x81 && in.Op != 0x40 && in.Op != 0x48 && in.Op != 0x50
		}
		vm, err := bpf.NewVM(instructions)
		if !known || err != nil {
			return
		}
		n, err := vm.Run(frame)
		if err != nil {
			return
		}
		if got != (n != 0) {
			t.Fatalf("x/net/bpf takes %d bytes, we say %t", n, got)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	frame := web(80)
	program, err := filter.Parse("", 1, tcp80())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("sonde", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(frame)))
		m := program.Matcher()
		for b.Loop() {
			if !m.Match(frame, len(frame)) {
				b.Fatal("no match")
			}
		}
	})
	b.Run("x-net-bpf", func(b *testing.B) {
		instructions, _ := bpf.Disassemble(tcp80())
		vm, err := bpf.NewVM(instructions)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.SetBytes(int64(len(frame)))
		for b.Loop() {
			if n, err := vm.Run(frame); n == 0 || err != nil {
				b.Fatal("no match")
			}
		}
	})
}
