package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sonde.example/internal/feature"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/packettest"
)

// writeCapture writes frames a millisecond apart as a pcap file.
func writeCapture(t *testing.T, path string, frames ...[]byte) {
	t.Helper()
	order := binary.LittleEndian
	b := order.AppendUint32(nil, 0xa1b2c3d4)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	b = append(b, make([]byte, 8)...)
	b = order.AppendUint32(order.AppendUint32(b, 65535), uint32(packet.LinkEthernet))
	for i, frame := range frames {
		b = order.AppendUint32(order.AppendUint32(b, 1700000000), uint32(1000*i))
		b = order.AppendUint32(order.AppendUint32(b, uint32(len(frame))), uint32(len(frame)))
		b = append(b, frame...)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDatasetOfACorpus(t *testing.T) {
	corpus, out := t.TempDir(), filepath.Join(t.TempDir(), "dataset")
	segment := func(back bool, flags uint8, seq uint32, payload string) []byte {
		if back {
			return packettest.Ethernet(0x0800, packettest.IPv4("192.0.2.2", "192.0.2.1", 6, packettest.TCP(80, 4000, flags, seq, 1, []byte(payload))))
		}
		return packettest.Ethernet(0x0800, packettest.IPv4("192.0.2.1", "192.0.2.2", 6, packettest.TCP(4000, 80, flags, seq, 1, []byte(payload))))
	}
	writeCapture(t, filepath.Join(corpus, "captures", "lab", "web.pcap"),
		segment(true, packet.SYN|packet.ACK, 9, ""), // the opening SYN was missed: the server is still the one that answers
		segment(false, packet.ACK, 5, "GET / HTTP/1.1\r\n\r\n"),
		segment(true, packet.ACK, 10, "HTTP/1.1 200 OK\r\n\r\n"),
		segment(false, packet.SYN, 70, ""), // the same five-tuple again
	)
	if err := os.WriteFile(filepath.Join(corpus, "captures", "lab", "README"), []byte("no capture"), 0o600); err != nil {
		t.Fatal(err)
	}
	labels := "file,proto,src_ip,src_port,dst_ip,dst_port,label,group\nlab/web.pcap,tcp,192.0.2.1,4000,192.0.2.2,80,http,g1\nlab/web.pcap,udp,192.0.2.1,1,192.0.2.2,2,dns,g1\n"
	if err := os.WriteFile(filepath.Join(corpus, "labels.csv"), []byte(labels), 0o600); err != nil {
		t.Fatal(err)
	}

	printed := runDataset(t, "--corpus", corpus, "--out", out)
	if want := "4 rows of 2 sessions with a label; 2 sessions found, 2 joined; 1 rows of labels.csv without a session; 1 captures not read"; !strings.HasPrefix(printed, want) {
		t.Errorf("it says %q", printed)
	}
	f, err := os.Open(filepath.Join(out, "rows.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows[1:] {
		got = append(got, strings.Join(r[:5], " ")+" "+r[12])
	}
	// Session, packets held, payloads held, whole, server port, label.
	want := []string{"1 1 0 false 80 http", "1 2 1 false 80 http", "1 3 2 true 80 http", "2 1 0 true 80 http"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("rows are\n%s", strings.Join(got, "\n"))
	}
	tensor, err := os.ReadFile(filepath.Join(out, "bytes.npy"))
	if err != nil {
		t.Fatal(err)
	}
	if len(tensor) != npyHeader+4*feature.ByteColumns || !bytes.Contains(tensor[:npyHeader], []byte("'shape': (4, 784)")) {
		t.Errorf("bytes.npy has %d bytes and begins with %q", len(tensor), tensor[:npyHeader])
	}
	if third := tensor[npyHeader+2*feature.ByteColumns:]; !bytes.HasPrefix(third, []byte("GET / HTTP/1.1")) {
		t.Errorf("the third row begins with %q", third[:16])
	}
	if manifest, err := os.ReadFile(filepath.Join(out, "manifest.json")); err != nil || !bytes.Contains(manifest, []byte(feature.SchemaSHA256())) {
		t.Errorf("the manifest is %s, %v", manifest, err)
	}
}

func TestDatasetNamesWhatIsWrong(t *testing.T) {
	corpus := t.TempDir()
	if err := os.WriteFile(filepath.Join(corpus, "labels.csv"), []byte("a,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	correct := filepath.Join(corpus, "good")
	if err := os.Mkdir(correct, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(correct, "labels.csv"), []byte("file,proto,src_ip,src_port,dst_ip,dst_port,label\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, arguments := range map[string][]string{
		"labels.csv":                        {"--corpus", t.TempDir(), "--out", t.TempDir()},
		"the first columns must be":         {"--corpus", corpus, "--out", t.TempDir()},
		"there is no column group":          {"--corpus", correct, "--out", t.TempDir()},
		"--out: needed":                     {"--corpus", corpus},
		"--heads: 24 is not from 1 to 23":   {"--corpus", corpus, "--out", t.TempDir(), "--heads", "1,24"},
		`--augment: "gain" is none of loss`: {"--corpus", corpus, "--out", t.TempDir(), "--augment", "gain"},
	} {
		c := newDataset(streams{out: io.Discard})
		c.SilenceErrors, c.SilenceUsage = true, true
		c.SetArgs(arguments)
		if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q came out as %v", name, err)
		}
	}
}

// runDataset runs the command and returns what it printed.
func runDataset(t *testing.T, arguments ...string) string {
	t.Helper()
	var printed bytes.Buffer
	c := newDataset(streams{out: &printed})
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(arguments)
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return printed.String()
}
