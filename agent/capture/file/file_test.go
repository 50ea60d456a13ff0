package file_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"sonde.example/agent/capture"
	"sonde.example/agent/capture/capturetest"
	"sonde.example/agent/capture/file"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	p "sonde.example/internal/packet/packettest"
)

// write puts bytes into a file and returns its path.
func write(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pcap")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, content []byte, options file.Options) *file.Source {
	t.Helper()
	source, err := file.Open(t.Context(), write(t, content), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	})
	return source
}

// all reads a source to its end.
func all(t testing.TB, source *file.Source) []capturetest.Packet {
	t.Helper()
	var packets []capturetest.Packet
	for {
		data, info, err := source.ReadPacket(t.Context())
		if err == io.EOF {
			return packets
		}
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, capturetest.Packet{Data: slices.Clone(data), Info: info})
	}
}

// at returns what is wanted of a packet: its time in nanoseconds, where it came in, and its original length.
func at(time int64, index int, link packet.LinkType, data string, original int) capturetest.Packet {
	return capturetest.Packet{Data: []byte(data), Info: capture.Info{
		Time: time, CaptureLength: len(data), OriginalLength: original, InterfaceIndex: index, LinkType: link,
	}}
}

func concat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func sources() map[string]struct {
	content []byte
	want    []capturetest.Packet
} {
	type entry = struct {
		content []byte
		want    []capturetest.Packet
	}
	const base = 1_000_000_000_000_000 // ns at 1,000,000 s
	m := map[string]entry{}
	for name, file := range map[string]capturetest.Pcap{
		"pcap":                         {LinkType: 1},
		"pcap, ns":                     {LinkType: 1, Nanoseconds: true},
		"pcap, big-endian":             {LinkType: 1, BigEndian: true},
		"pcap, big-endian, ns":         {LinkType: 1, BigEndian: true, Nanoseconds: true},
		"pcap, smaller snap length":    {LinkType: 1, SnapLength: 2},
		"pcap, cooked 2 in big-endian": {LinkType: 276, BigEndian: true},
	} {
		m[name] = entry{file.File([]byte("one"), []byte{}, []byte("three")), []capturetest.Packet{
			at(base, 0, file.LinkType, "one", 3), at(base+1e6, 0, file.LinkType, "", 0), at(base+2e6, 0, file.LinkType, "three", 5)}}
	}
	plain := capturetest.Pcap{LinkType: 101}
	m["pcap, snapped, and a length that cannot be"] = entry{concat(plain.Header(), plain.Record(1, 0, []byte("ab"), 900), plain.Record(2, 0, []byte("abc"), 1)),
		[]capturetest.Packet{at(1e9, 0, 101, "ab", 900), at(2e9, 0, 101, "abc", 3)}}
	m["pcap, 4 GiB on the wire"] = entry{concat(plain.Header(), plain.Record(1, 0, []byte("ab"), 1<<32-1), plain.Record(2, 0, []byte("c"), 1)), []capturetest.Packet{at(1e9, 0, 101, "ab", 1<<30), at(2e9, 0, 101, "c", 1)}}
	m["pcap, seconds that wrap and run back"] = entry{concat(plain.Header(), plain.Record(1<<32-1, 0, []byte("a"), 1), plain.Record(1, 0, []byte("b"), 1), plain.Record(1<<32-1, 0, []byte("c"), 1)),
		[]capturetest.Packet{at((1<<32-1)*1e9, 0, 101, "a", 1), at((1<<32+1)*1e9, 0, 101, "b", 1), at((1<<32-1)*1e9, 0, 101, "c", 1)}}
	m["pcap, frame check sequence in the link type"] = entry{func() []byte {
		b := plain.File([]byte("a"), []byte("b"))
		b[23] = 0x24
		return b
	}(), []capturetest.Packet{at(base, 0, 101, "a", 1), at(base+1e6, 0, 101, "b", 1)}}

	little, big := capturetest.Pcapng{}, capturetest.Pcapng{BigEndian: true}
	for name, ng := range map[string]capturetest.Pcapng{"pcapng": little, "pcapng, big-endian": big} {
		m[name] = entry{concat(ng.Section(), ng.Interface(1, 0),
			ng.Enhanced(0, 5_000_000, []byte("one"), 3), ng.Enhanced(0, 6_000_001, []byte("to"), 20)),
			[]capturetest.Packet{at(5e9, 0, 1, "one", 3), at(6_000_001_000, 0, 1, "to", 20)}}
		m[name+", 4 GiB on the wire"] = entry{concat(ng.Section(), ng.Interface(1, 0), ng.Enhanced(0, 5_000_000, []byte("ab"), 1<<32-1), ng.Simple([]byte("cdef"), 1<<32-1)),
			[]capturetest.Packet{at(5e9, 0, 1, "ab", 1<<30), at(5e9, 0, 1, "cdef", 1<<30)}}
		m[name+", three interfaces"] = entry{concat(ng.Section(),
			ng.Interface(1, 0), ng.Enhanced(0, 1, []byte("a"), 1),
			ng.Interface(101, 0, capturetest.Option{Code: 9, Value: []byte{9}}), ng.Interface(113, 0, capturetest.Option{Code: 2, Value: []byte("eth0")}, capturetest.Option{Code: 9, Value: []byte{0x80 | 20}}),
			ng.Enhanced(2, 3<<20|1<<19, []byte("c"), 1), ng.Enhanced(1, 7, []byte("b"), 1)),
			[]capturetest.Packet{at(1000, 0, 1, "a", 1), at(3_500_000_000, 2, 113, "c", 1), at(7, 1, 101, "b", 1)}}
		offset := func(seconds int64) capturetest.Option {
			v := make([]byte, 8)
			for i := range v {
				shift := 8 * i
				if ng.BigEndian {
					shift = 56 - shift
				}
				v[i] = byte(seconds >> shift)
			}
			return capturetest.Option{Code: 14, Value: v}
		}
		m[name+", clock offsets and extremes"] = entry{concat(ng.Section(),
			ng.Interface(1, 0, offset(1000)), ng.Interface(1, 0, offset(-1000)), ng.Interface(1, 0, capturetest.Option{Code: 9, Value: []byte{0}}),
			ng.Interface(1, 0, offset(1<<62)), ng.Interface(1, 0, capturetest.Option{Code: 9, Value: []byte{255}}), ng.Interface(1, 0, capturetest.Option{Code: 9, Value: []byte{19}}),
			ng.Enhanced(0, 1, nil, 0), ng.Enhanced(1, 1, nil, 0), ng.Enhanced(2, 7, nil, 0), ng.Enhanced(2, 1<<63, nil, 0), ng.Enhanced(3, 1<<60, nil, 0), ng.Enhanced(4, 1<<63, nil, 0), ng.Enhanced(5, 1e19, nil, 0)),
			[]capturetest.Packet{at(1000e9+1000, 0, 1, "", 0), at(-1000e9+1000, 1, 1, "", 0), at(7e9, 2, 1, "", 0), at(1<<63-1, 2, 1, "", 0), at(1<<63-1, 3, 1, "", 0), at(1e9, 4, 1, "", 0), at(1e9, 5, 1, "", 0)}}
	}
	m["pcapng, sections of both byte orders"] = entry{concat(little.Section(), little.Interface(1, 0), little.Enhanced(0, 1, []byte("a"), 1),
		big.Section(), big.Interface(228, 0), big.Interface(229, 0), big.Enhanced(1, 2, []byte("b"), 1)),
		[]capturetest.Packet{at(1000, 0, 1, "a", 1), at(2000, 2, 229, "b", 1)}}
	m["pcapng, simple and obsolete blocks"] = entry{concat(little.Section(), little.Interface(1, 4), little.Simple([]byte("abc"), 3),
		little.Obsolete(0, 9, []byte("de"), 2), little.Simple([]byte("fghi"), 700), little.Simple([]byte("jk"), 2)),
		[]capturetest.Packet{at(0, 0, 1, "abc", 3), at(9000, 0, 1, "de", 2), at(9000, 0, 1, "fghi", 700), at(9000, 0, 1, "jk", 2)}}
	m["pcapng, other blocks between"] = entry{concat(little.Section(), little.Block(0xbad, make([]byte, 3<<20)), little.Interface(1, 0), little.Block(4, nil),
		little.Enhanced(0, 1, []byte("a"), 1), little.Block(5, make([]byte, 12)), little.Block(0x40000bad, []byte("custom")), little.Enhanced(0, 2, []byte("b"), 1), little.Block(0xbad, make([]byte, 600<<10))),
		[]capturetest.Packet{at(1000, 0, 1, "a", 1), at(2000, 0, 1, "b", 1)}}
	inbound := func(time int64, d capture.Direction) capturetest.Packet {
		w := at(time, 0, 1, "a", 1)
		w.Info.Direction = d
		return w
	}
	m["pcapng, directions"] = entry{concat(little.Section(), little.Interface(1, 0),
		little.Enhanced(0, 1, []byte("a"), 1, capturetest.Option{Code: 1, Value: []byte("comment")}, capturetest.Option{Code: 2, Value: []byte{1, 0, 0, 0}}),
		little.Enhanced(0, 2, []byte("a"), 1, capturetest.Option{Code: 2, Value: []byte{0xfe, 0, 0, 0}}),
		little.Enhanced(0, 3, []byte("a"), 1, capturetest.Option{Code: 1, Value: []byte("comment")})),
		[]capturetest.Packet{inbound(1000, capture.Inbound), inbound(2000, capture.Outbound), inbound(3000, capture.UnknownDirection)}}
	return m
}

func TestSourceKeepsThePromises(t *testing.T) {
	for name, s := range sources() {
		t.Run(name, func(t *testing.T) {
			path := write(t, s.content)
			capturetest.Run(t, func(t *testing.T) capture.Source {
				source, err := file.Open(t.Context(), path, file.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return source
			}, capturetest.Want{Packets: s.want})
		})
	}
}

func TestSoundFileHasNoWarning(t *testing.T) {
	for name, s := range sources() {
		source := open(t, s.content, file.Options{})
		if got := len(all(t, source)); got != len(s.want) {
			t.Errorf("%s: got %d packets, want %d", name, got, len(s.want))
		}
		if err := source.Warning(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFileWithoutPackets(t *testing.T) {
	ng := capturetest.Pcapng{}
	for name, content := range map[string][]byte{
		"pcap":                       capturetest.Pcap{LinkType: 1}.Header(),
		"pcapng":                     ng.Section(),
		"pcapng with an interface":   concat(ng.Section(), ng.Interface(1, 0)),
		"pcapng with an other block": concat(ng.Section(), ng.Block(77, nil)),
	} {
		t.Run(name, func(t *testing.T) {
			// A filter for some link type is no error where there is none yet.
			program, err := filter.Parse("x", 1, []bpf.RawInstruction{{Op: 6}})
			if err != nil {
				t.Fatal(err)
			}
			source := open(t, content, file.Options{Filter: program})
			if packets := all(t, source); len(packets) > 0 || source.Warning() != nil {
				t.Errorf("got %d packets, warning %v", len(packets), source.Warning())
			}
		})
	}
}

func TestBrokenTailIsReportedAndWhatIsBeforeItCounts(t *testing.T) {
	pcap, ng := capturetest.Pcap{LinkType: 1}, capturetest.Pcapng{}
	two := pcap.File([]byte("one"), []byte("two"))
	one := concat(ng.Section(), ng.Interface(1, 0), ng.Enhanced(0, 1, []byte("one!"), 4))
	lied := ng.Enhanced(0, 1, []byte("two!"), 4)
	lied[8+12] = 5 // captured length beyond the block
	unequal := ng.Enhanced(0, 1, []byte("two!"), 4)
	unequal[len(unequal)-4]++
	version := ng.Section()
	version[12] = 9
	magic := ng.Section()
	magic[8]++
	tests := []struct {
		name    string
		content []byte
		packets int
		want    string
	}{
		{"record cut", two[:len(two)-1], 1, "cut short in record 2 at byte 43; the packet before it is good"},
		{"record header cut", two[:len(two)-4], 1, "cut short in record 2 at byte 43; the packet before it is good"},
		{"first record cut", two[:30], 0, "cut short in record 1 at byte 24; no packet before it"},
		{"record of 4 GiB", concat(two, pcap.RecordHeader(1, 1, 1<<32-1, 1<<32-1), make([]byte, 64)), 2, "packet of 4294967295 bytes is longer than 262144 in record 3 at byte 62; 2 packets before it are good"},
		{"record of 64 MiB", concat(two, pcap.RecordHeader(1, 1, 64<<20, 64<<20), make([]byte, 64)), 2, "packet of 67108864 bytes is longer than 262144 in record 3 at byte 62"},
		{"block cut", concat(one, lied[:len(lied)-1]), 1, "cut short in record 2 at byte 84"},
		{"block header cut", concat(one, lied[:7]), 1, "cut short in record 2 at byte 84"},
		{"unknown block cut", concat(one, ng.Block(77, make([]byte, 1<<20))[:1<<19]), 1, "cut short in record 2"},
		{"block of length 0", concat(one, []byte{6, 0, 0, 0, 0, 0, 0, 0}, lied), 1, "block of length 0 in record 2 at byte 84"},
		{"block of odd length", concat(one, []byte{77, 0, 0, 0, 13, 0, 0, 0, 0, 13, 0, 0, 0}), 1, "block of length 13 in record 2"},
		{"packet block of 1 GiB", concat(one, []byte{6, 0, 0, 0, 0, 0, 0, 64}, make([]byte, 100)), 1, "block of length 1073741824 is longer than"},
		{"lengths unequal", concat(one, unequal), 1, "block of length 36 that ends with length 37 in record 2"},
		{"packet longer than its block", concat(one, lied), 1, "packet of 5 bytes in a block that has 4 in record 2"},
		{"packet block too short", concat(one, ng.Block(6, make([]byte, 16))), 1, "packet block too short in record 2"},
		{"simple block too short", concat(one, ng.Block(3, nil)), 1, "packet block too short in record 2"},
		{"interface too short", concat(one, ng.Block(1, make([]byte, 4))), 1, "interface description too short in record 2"},
		{"no such interface", concat(one, ng.Enhanced(1, 1, []byte("two!"), 4), ng.Enhanced(0, 1, []byte("good"), 4)), 1, "packet of interface 1, where there are 1, in record 2"},
		{"no interface", concat(ng.Section(), ng.Enhanced(0, 1, []byte("two!"), 4)), 0, "packet of interface 0, where there are 0, in record 1 at byte 28; no packet before it"},
		{"no interface, simple", concat(ng.Section(), ng.Simple([]byte("two!"), 4)), 0, "packet of interface 0, where there are none, in record 1"},
		{"interfaces end with their section", concat(one, ng.Section(), ng.Enhanced(0, 1, []byte("two!"), 4)), 1, "packet of interface 0, where there are 0, in record 2"},
		{"section of another version", concat(one, version, lied), 1, "pcapng version 9.0 is not known; want 1.0 in record 2"},
		{"section without byte order", concat(one, magic), 1, "pcapng byte-order magic 4e 3c 2b 1a in record 2"},
		{"section header cut", concat(one, ng.Section()[:20]), 1, "cut short in record 2"},
		{"broken before the first interface", concat(ng.Section(), []byte{77, 0, 0, 0, 0, 0, 0, 0}), 0, "block of length 0 in record 1 at byte 28"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source := open(t, test.content, file.Options{})
			if got := len(all(t, source)); got != test.packets {
				t.Errorf("got %d packets, want %d", got, test.packets)
			}
			if _, _, err := source.ReadPacket(t.Context()); err != io.EOF {
				t.Errorf("got error %v behind the end", err)
			}
			err := source.Warning()
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "x.pcap: ") {
				t.Errorf("got warning %v, want %q", err, test.want)
			}
		})
	}
}

func TestFileThatIsNoCaptureIsOneClearError(t *testing.T) {
	header := capturetest.Pcap{LinkType: 1}.Header()
	old := slices.Clone(header)
	old[4] = 9
	oldBig := capturetest.Pcap{BigEndian: true}.Header()
	oldBig[5] = 9
	ng := capturetest.Pcapng{}.Section()
	magic := slices.Clone(ng)
	magic[8]++
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":                      {nil, "x.pcap: empty; want a pcap or pcapng file"},
		"two bytes":                  {[]byte("hi"), "x.pcap: no capture, only 2 bytes; want a pcap or pcapng file"},
		"text":                       {[]byte("hello world, this is text"), "x.pcap: no capture (it begins with 68 65 6c 6c); want a pcap or pcapng file"},
		"gzip":                       {[]byte{0x1f, 0x8b, 8, 0}, "x.pcap: compressed; decompress it first"},
		"zstd":                       {[]byte{0x28, 0xb5, 0x2f, 0xfd}, "x.pcap: compressed; decompress it first"},
		"pcap header cut":            {header[:23], "x.pcap: pcap header cut short after 23 of 24 bytes"},
		"pcap version":               {old, "x.pcap: pcap version 9.4 is not known; want 2.4"},
		"pcap version in big-endian": {oldBig, "x.pcap: pcap version 9.4 is not known; want 2.4"},
		"pcapng header cut":          {ng[:20], "x.pcap: pcapng section header cut short after 20 of 28 bytes"},
		"pcapng byte order":          {magic, "x.pcap: pcapng byte-order magic 4e 3c 2b 1a"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := file.Open(t.Context(), write(t, test.content), file.Options{})
			if err == nil || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
	if _, err := file.Open(t.Context(), filepath.Join(t.TempDir(), "absent"), file.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v", err)
	}
	if _, err := file.Open(t.Context(), t.TempDir(), file.Options{}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("got error %v", err)
	}
}

func TestHugeClaimsTakeNoMemory(t *testing.T) {
	pcap := capturetest.Pcap{LinkType: 1, SnapLength: 1<<32 - 1}
	content := concat(pcap.File([]byte("one")), pcap.RecordHeader(1, 1, 1<<31, 1<<31))
	path := write(t, content)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	source, err := file.Open(t.Context(), path, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	all(t, source)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4*file.MaxPacketBytes {
		t.Errorf("allocated %d bytes", grown)
	}
}

func TestLongestPacketIsRead(t *testing.T) {
	long := make([]byte, file.MaxPacketBytes)
	long[len(long)-1] = 7
	ng := capturetest.Pcapng{}
	for _, content := range [][]byte{
		capturetest.Pcap{LinkType: 1}.File([]byte("a"), long, long, long, []byte("b")),
		concat(ng.Section(), ng.Interface(1, 0), ng.Enhanced(0, 1, []byte("a"), 1), ng.Enhanced(0, 1, long, len(long)), ng.Simple(long, len(long)), ng.Obsolete(0, 1, long, len(long)), ng.Enhanced(0, 1, []byte("b"), 1)),
	} {
		source := open(t, content, file.Options{})
		packets := all(t, source)
		if len(packets) != 5 || source.Warning() != nil {
			t.Fatalf("got %d packets, warning %v", len(packets), source.Warning())
		}
		for _, p := range packets[1:4] {
			if !slices.Equal(p.Data, long) {
				t.Error("a long packet has changed")
			}
		}
	}
}

// TestStandardInput reads a file that arrives byte by byte through a pipe.
func TestFileThatGrowsIsRead(t *testing.T) {
	pcap := capturetest.Pcap{LinkType: 1}
	path := write(t, pcap.File([]byte("a")))
	source, err := file.Open(t.Context(), path, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close() //nolint:errcheck // it was only read
	long := slices.Repeat([]byte("long"), file.MaxPacketBytes/4)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(concat(pcap.Record(1, 0, long, len(long)), pcap.Record(2, 0, []byte("b"), 1))); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := all(t, source); len(got) != 3 || string(got[1].Data) != string(long) || string(got[2].Data) != "b" {
		t.Errorf("%d packets, %v", len(got), source.Warning())
	}
}

func TestStandardInput(t *testing.T) {
	for name, s := range sources() {
		if len(s.content) > 4096 {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		written := make(chan error, 1)
		go func() {
			for _, b := range s.content {
				if _, err := w.Write([]byte{b}); err != nil {
					written <- err
					return
				}
			}
			written <- w.Close()
		}()
		source, err := file.Open(t.Context(), "-", file.Options{Stdin: r})
		if err != nil {
			t.Fatal(err)
		}
		if got := all(t, source); len(got) != len(s.want) {
			t.Errorf("%s: got %d packets, want %d", name, len(got), len(s.want))
		}
		if err := errors.Join(<-written, source.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestWaitingForAPipeEndsWithTheContext(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(capturetest.Pcap{LinkType: 1}.Header()); err != nil {
		t.Fatal(err)
	}
	source, err := file.Open(t.Context(), "-", file.Options{Stdin: r})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	if _, _, err := source.ReadPacket(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got error %v", err)
	}
	if _, err := w.Write((capturetest.Pcap{}).Record(1, 1, []byte("late"), 4)); err != nil {
		t.Fatal(err)
	}
	if data, _, err := source.ReadPacket(t.Context()); err != nil || string(data) != "late" {
		t.Fatalf("got %q, %v", data, err)
	}
}

func TestReadPacketDoesNotAllocate(t *testing.T) {
	frame := p.Ethernet(0x800, p.IPv4("10.0.0.1", "10.0.0.2", 17, p.UDP(1, 2, make([]byte, 100))))
	ng := capturetest.Pcapng{}
	files := [][]byte{capturetest.Pcap{LinkType: 1}.Header(), concat(ng.Section(), ng.Interface(1, 0))}
	for range 3000 {
		files[0] = append(files[0], (capturetest.Pcap{}).Record(1, 1, frame, len(frame))...)
		files[1] = append(files[1], ng.Enhanced(0, 1, frame, len(frame))...)
	}
	for _, content := range files {
		source := open(t, content, file.Options{})
		if n := testing.AllocsPerRun(2000, func() {
			if _, _, err := source.ReadPacket(t.Context()); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("got %v allocations a packet", n)
		}
	}
}
