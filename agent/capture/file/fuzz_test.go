package file_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"sonde.example/agent/capture/capturetest"
	"sonde.example/agent/capture/file"
	"sonde.example/internal/packet"
)

// FuzzReadFile reads any bytes as a file: no crash, no endless loop, nothing that is not in the file, the same twice, and
// what gopacket reads from it, too.
func FuzzReadFile(f *testing.F) {
	for _, s := range sources() {
		if len(s.content) < 4096 {
			f.Add(s.content)
			f.Add(s.content[:len(s.content)-3])
		}
	}
	directory := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(directory, "x")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		first, link := readPath(t, path)
		if second, _ := readPath(t, path); !slices.EqualFunc(first, second, same) {
			t.Fatal("the second reading differs")
		}
		total := 0
		for _, p := range first {
			total += len(p.Data)
			if p.Info.CaptureLength != len(p.Data) || p.Info.OriginalLength < len(p.Data) {
				t.Fatalf("got %d bytes with %+v", len(p.Data), p.Info)
			}
		}
		if total > len(content) || len(first) > len(content)/16 {
			t.Fatalf("got %d packets of %d bytes out of %d", len(first), total, len(content))
		}
		compare(t, content, first, link)
	})
}

func same(a, b capturetest.Packet) bool { return a.Info == b.Info && bytes.Equal(a.Data, b.Data) }

func readPath(t *testing.T, path string) ([]capturetest.Packet, packet.LinkType) {
	source, err := file.Open(t.Context(), path, file.Options{})
	if err != nil {
		return nil, 0
	}
	defer source.Close()
	return all(t, source), source.LinkType()
}

// compare checks that we and pcapgo see the same packets as far as both come.
func compare(t *testing.T, content []byte, ours []capturetest.Packet, link packet.LinkType) {
	t.Helper()
	if len(content) < 4 || content[0] == 0x1f {
		return // pcapgo unpacks
	}
	isNg := binary.BigEndian.Uint32(content) == 0x0a0d0d0a
	var reader interface {
		ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	}
	var err error
	if isNg {
		reader, err = pcapgo.NewNgReader(bytes.NewReader(content), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	} else {
		reader, err = pcapgo.NewReader(bytes.NewReader(content))
	}
	if err != nil {
		return
	}
	for i, our := range ours {
		data, info, err := reader.ReadPacketData()
		if err != nil {
			return
		}
		theirLink := link
		if isNg {
			l, ok := info.AncillaryData[0].(layers.LinkType)
			if !ok {
				t.Fatal("gopacket tells no link type")
			}
			theirLink = packet.LinkType(l)
		}
		if !bytes.Equal(data, our.Data) || our.Info.LinkType != theirLink {
			t.Fatalf("packet %d: gopacket reads %x of link type %d, we %x of %d", i, data, theirLink, our.Data, our.Info.LinkType)
		}
		if !isNg && our.Info.Time>>32/1e9 == 0 && info.Timestamp.UnixNano() != our.Info.Time {
			t.Fatalf("packet %d: gopacket reads time %d, we %d", i, info.Timestamp.UnixNano(), our.Info.Time)
		}
	}
	if _, _, err := reader.ReadPacketData(); err == nil && !isNg {
		t.Fatalf("gopacket reads more than our %d packets", len(ours))
	}
}

// BenchmarkReadFile reads a file of 100,000 packets of 60 to 1,500 bytes; beside it gopacket's reader, its faster way.
func BenchmarkReadFile(b *testing.B) {
	const packets = 100_000
	ng := capturetest.Pcapng{}
	contents := map[string][]byte{"pcap": capturetest.Pcap{LinkType: 1}.Header(), "pcapng": concat(ng.Section(), ng.Interface(1, 0))}
	frame := make([]byte, 1500)
	for i := range packets {
		size := 60 + i*7919%8*180 // mean 690
		contents["pcap"] = append(contents["pcap"], (capturetest.Pcap{}).Record(1, 1, frame[:size], size)...)
		contents["pcapng"] = append(contents["pcapng"], ng.Enhanced(0, uint64(i), frame[:size], size)...)
	}
	for name, content := range contents {
		path := write(b, content)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				source, err := file.Open(b.Context(), path, file.Options{})
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for ; ; n++ {
					if _, _, err := source.ReadPacket(b.Context()); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
				if err := source.Close(); err != nil || n != packets {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/packets, "ns/packet")
		})
		b.Run(name+"/pcapgo", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				f, err := os.Open(path)
				if err != nil {
					b.Fatal(err)
				}
				var next func() ([]byte, gopacket.CaptureInfo, error)
				if name == "pcap" {
					reader, err := pcapgo.NewReader(f)
					if err != nil {
						b.Fatal(err)
					}
					next = reader.ZeroCopyReadPacketData
				} else {
					reader, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
					if err != nil {
						b.Fatal(err)
					}
					next = reader.ZeroCopyReadPacketData
				}
				n := 0
				for ; ; n++ {
					if _, _, err := next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
				if err := f.Close(); err != nil || n != packets {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/packets, "ns/packet")
		})
	}
}
