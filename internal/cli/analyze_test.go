package cli_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/agent/capture/capturetest"
	"sonde.example/internal/cli"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/testenv"
)

// analysis is what sonde analyze --json has answered.
type analysis struct {
	code    int
	lines   []string // of standard output
	results []*queryv1.Result
	errs    string
	ledger  map[string]uint64 // nil when there was none
}

var ledgerTerm = regexp.MustCompile(`(\w+)=(\d+)`)

func analyze(t *testing.T, args ...string) *analysis {
	t.Helper()
	return analyzeUntil(t.Context(), t, args...)
}

func analyzeUntil(ctx context.Context, t *testing.T, args ...string) *analysis {
	t.Helper()
	var out, errs bytes.Buffer
	a := &analysis{code: cli.Main(ctx, append([]string{"analyze", "--json"}, args...), strings.NewReader(""), &out, &errs)}
	a.errs = errs.String()
	for line := range strings.Lines(out.String()) {
		r := new(queryv1.Result)
		if err := protojson.Unmarshal([]byte(line), r); err != nil {
			t.Fatalf("%s\n%v", line, err)
		}
		a.lines, a.results = append(a.lines, line), append(a.results, r)
	}
	for line := range strings.Lines(a.errs) {
		if terms, ok := strings.CutPrefix(line, "ledger: "); ok {
			a.ledger = map[string]uint64{}
			for _, m := range ledgerTerm.FindAllStringSubmatch(terms, -1) {
				value, err := strconv.ParseUint(m[2], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				a.ledger[m[1]] = value
			}
		}
	}
	return a
}

// books fails the test unless everything was taken and the ledger leaves nothing over.
func (a *analysis) books(t *testing.T) {
	t.Helper()
	l := a.ledger
	if l == nil {
		t.Fatalf("no ledger\n%s", a.errs)
	}
	if l["residual"] != 0 || l["pending"] != 0 || l["rejected"] != 0 || l["dropped"] != 0 || l["mismatched"] != 0 {
		t.Errorf("ledger %v: something is lost or left over\n%s", l, a.errs)
	}
	var counted uint64
	for _, r := range a.results {
		counted += r.GetForward().GetPackets() + r.GetReverse().GetPackets()
		if !r.GetEnded() {
			t.Errorf("session %s has not ended", r.GetSessionId())
		}
	}
	if counted != l["accepted"]+l["cut"] || uint64(len(a.results)) != l["results"] {
		t.Errorf("%d results count %d packets; ledger %v", len(a.results), counted, l)
	}
}

// readCSV returns the rows of a file with a header, each by column.
func readCSV(t *testing.T, path string) (rows []map[string]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// conversation is who spoke to which service.
type conversation struct {
	protocol       uint32
	client, server string
	port           uint32
}

// labelOf is the class that a session of sample.csv shows: of one that is encrypted from its first byte, no more can be seen.
func labelOf(label string, c conversation) string {
	if label == "mailbox" && c.port == 993 {
		return "tls"
	}
	return label
}

// mustNotBeWrong are labels that users see every day: of these the model may say that it does not know, and nothing else.
var mustNotBeWrong = []string{"http", "tls", "dns", "ssh", "smtp", "ntp", "icmp"}

func TestSampleIsRight(t *testing.T) {
	path := filepath.Join("sample", "sample.pcapng")
	a := analyze(t, path)
	if a.code != 0 {
		t.Fatalf("exit code %d\n%s", a.code, a.errs)
	}
	a.books(t)

	want, label := map[conversation]int{}, map[conversation]string{}
	protocols := map[string]uint32{"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
	for _, row := range readCSV(t, filepath.Join("sample", "sample.csv")) {
		c := conversation{protocols[row["ip_protocol"]], row["client"], row["server"], uint32(number(t, row["server_port"]))}
		want[c] += number(t, row["sessions"])
		label[c] = row["label"]
	}
	got := map[conversation]int{}
	for _, r := range a.results {
		c := conversation{r.GetIpProtocol(), r.GetClient().GetAddress(), r.GetServer().GetAddress(), r.GetServer().GetPort()}
		got[c]++
		if r.GetCapturePoint() != path {
			t.Errorf("capture point %q, want %q", r.GetCapturePoint(), path)
		}
		classified := r.GetClassification()
		if classified.GetUnknown() == (label[c] == "unknown") &&
			(classified.GetUnknown() || classified.GetLabel() == labelOf(label[c], c)) {
			continue
		}
		wrong := fmt.Sprintf("%v is %s; got %s with %.2f, unknown %v", c, label[c], classified.GetLabel(), classified.GetProbability(), classified.GetUnknown())
		strict := slices.Contains(mustNotBeWrong, label[c]) || label[c] == "message-queue" && c.port == 1883
		if strict && !classified.GetUnknown() {
			t.Error(wrong)
		} else {
			t.Log(wrong)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("sessions\n%v\nwant\n%v", got, want)
	}
}

// present are the fields on which scripts rely, whatever a session is like.
var present = []string{
	"session_id", "agent", "capture_point", "community_id", "start_time", "end_time", "ip_protocol",
	"client.address", "client.port", "server.address", "server.port",
	"forward.packets", "forward.bytes", "reverse.packets", "reverse.bytes", "ended", "end_reason",
	"classification.label", "classification.category", "classification.probability", "classification.unknown",
	"classification.packets", "classification.top", "classification.model", "classification.model_version", "handshake",
	"evidence.packets_held", "evidence.gaps", "evidence.drops", "evidence.truncated", "evidence.config_revision",
}

func TestJSONHasEveryField(t *testing.T) {
	a := analyze(t, filepath.Join("sample", "sample.pcapng"))
	handshakes := 0
	for _, line := range a.lines {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatal(err)
		}
		fields := present
		if object["handshake"] != nil {
			handshakes++
			fields = append(slices.Clone(fields), "handshake.server_name", "handshake.alpn")
		}
		for _, name := range fields {
			if !has(object, strings.Split(name, ".")) {
				t.Errorf("no %s in %s", name, line)
			}
		}
	}
	if len(a.lines) == 0 || handshakes == 0 {
		t.Errorf("%d results, %d with a handshake", len(a.lines), handshakes)
	}
}

func has(object map[string]any, path []string) bool {
	value, ok := object[path[0]]
	if !ok || len(path) == 1 {
		return ok
	}
	inner, ok := value.(map[string]any)
	return ok && has(inner, path[1:])
}

// TestManyFiles has more files than a process may open, a batch may name interfaces, or a Hello capture points.
func TestManyFiles(t *testing.T) {
	const files = 2500
	dir := t.TempDir()
	frame := packettest.Ethernet(0x0800, packettest.IPv4("10.0.0.1", "10.0.0.2", 17, packettest.UDP(5000, 53, []byte("hello"))))
	content := pcapOf(frame)
	var args []string
	for i := range files {
		path := filepath.Join(dir, fmt.Sprintf("%d.pcap", i))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	a := analyze(t, args...)
	if a.code != 0 {
		t.Fatalf("exit code %d\n%s", a.code, a.errs)
	}
	a.books(t)
	got := map[string]int{}
	for _, r := range a.results {
		got[r.GetCapturePoint()]++
	}
	if len(got) != files || len(a.results) != files {
		t.Errorf("%d results of %d files, want one for each of %d", len(a.results), len(got), files)
	}
}

// pcapOf returns a capture file with the given Ethernet frames, a second apart.
func pcapOf(frames ...[]byte) []byte {
	pcap := capturetest.Pcap{LinkType: 1}
	var records []byte
	for i, frame := range frames {
		records = append(records, pcap.Record(1_700_000_000+uint32(i), 0, frame, len(frame))...)
	}
	return append(pcap.Header(), records...)
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	sample, err := os.ReadFile(filepath.Join("sample", "sample.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	good := pcapOf(packettest.Ethernet(0x0800, packettest.IPv4("10.0.0.1", "10.0.0.2", 17, packettest.UDP(5000, 53, []byte("hello")))))
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bad := []string{
		filepath.Join(dir, "missing.pcap"),
		dir,
		file("empty.pcap", nil),
		file("magic.pcap", []byte{0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0}),
		file("text.pcap", []byte("This is not a capture.\n")),
		file("short.pcap", good[:20]),
		file("short.pcapng", sample[:10]),
		file("zipped.pcap", []byte{0x1f, 0x8b, 8, 0}),
	}
	fine, tail := file("good.pcap", good), file("tail.pcap", append(slices.Clone(good), 1, 2, 3))

	t.Run("beside good ones", func(t *testing.T) {
		a := analyze(t, append(slices.Clone(bad), fine, tail)...)
		if a.code != 1 || len(a.results) != 2 {
			t.Errorf("exit code %d, %d results; want 1, 2", a.code, len(a.results))
		}
		a.books(t)
		namedOnce(t, a, bad)
	})
	t.Run("alone", func(t *testing.T) {
		a := analyze(t, bad...)
		if a.code != 1 || len(a.results) != 0 || a.ledger != nil {
			t.Errorf("exit code %d, %d results, ledger %v; want 1, none, none", a.code, len(a.results), a.ledger)
		}
		namedOnce(t, a, bad)
	})
	t.Run("broken tail", func(t *testing.T) {
		a := analyze(t, tail)
		if a.code != 0 || len(a.results) != 1 {
			t.Errorf("exit code %d, %d results; want 0, 1", a.code, len(a.results))
		}
		a.books(t)
		if lines := strings.Split(strings.TrimSpace(a.errs), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "tail.pcap") {
			t.Errorf("want one warning and the ledger; got\n%s", a.errs)
		}
	})
	t.Run("name that is no UTF-8", func(t *testing.T) {
		a := analyze(t, file("caf\xe9.pcap", good))
		if a.code != 0 || len(a.results) != 1 || a.results[0].GetCapturePoint() != filepath.Join(dir, "caf\uFFFD.pcap") {
			t.Errorf("exit code %d, %v\n%s", a.code, a.results, a.errs)
		}
	})
	t.Run("wrong filter", func(t *testing.T) {
		a := analyze(t, "--filter", "udp or (", fine, tail)
		if a.code != 1 || len(a.results) != 0 || a.ledger != nil {
			t.Errorf("exit code %d, %d results, ledger %v; want 1, none, none", a.code, len(a.results), a.ledger)
		}
		if lines := strings.Split(strings.TrimSpace(a.errs), "\n"); len(lines) != 1 || !strings.Contains(lines[0], "udp or (") {
			t.Errorf("want one line; got\n%s", a.errs)
		}
	})
}

// namedOnce wants one line for each of the paths, and no other but the ledger and warnings.
func namedOnce(t *testing.T, a *analysis, paths []string) {
	t.Helper()
	var complaints []string
	for line := range strings.Lines(a.errs) {
		if strings.HasPrefix(line, "sonde: ") {
			complaints = append(complaints, line)
		}
	}
	if len(complaints) != len(paths) {
		t.Errorf("%d complaints, want %d\n%s", len(complaints), len(paths), a.errs)
	}
	for _, path := range paths {
		if !slices.ContainsFunc(complaints, func(line string) bool { return strings.Contains(line, path) }) {
			t.Errorf("nothing is said of %s\n%s", path, a.errs)
		}
	}
}

func TestInterruptedAnalysisSaysSo(t *testing.T) {
	sample, err := os.ReadFile(filepath.Join("sample", "sample.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "live.pcapng")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	ended, written := make(chan struct{}), make(chan error, 1)
	go func() {
		pipe, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = pipe.Write(sample) // nearly all of it is read when this returns, for a pipe holds little
			interrupt()
			<-ended // until then there could be more
			err = errors.Join(err, pipe.Close())
		}
		written <- err
	}()
	a := analyzeUntil(ctx, t, path)
	close(ended)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if a.code != 1 || !strings.Contains(a.errs, "sonde: interrupted") || len(a.results) == 0 {
		t.Errorf("exit code %d, %d results\n%s", a.code, len(a.results), a.errs)
	}
	a.books(t)
}

// TestOddCaptures needs the corpus: strange captures with known answers in one run, and those without in another.
func TestOddCaptures(t *testing.T) {
	corpus := testenv.Corpus(t)
	if corpus == "" {
		t.Log("no corpus here; the files that the other tests write have to do")
		return
	}
	var paths, bad []string
	want, seen := map[string]int{}, 0
	for _, row := range readCSV(t, filepath.Join(corpus, "odd", "made.csv")) {
		path := filepath.Join(corpus, "odd", row["file"])
		paths = append(paths, path)
		if row["broken"] == "file" {
			bad = append(bad, path)
		}
		if n := row["sessions_inner"]; n != "" && !strings.Contains(row["what"], "either answer is good") {
			want[path] = number(t, n)
		}
		if strings.Contains(row["what"], "two sessions for a collector with time-outs") {
			want[path] = 2
		}
		seen += number(t, row["packets"])
	}
	a := analyze(t, paths...)
	if a.code != 1 {
		t.Errorf("exit code %d, want 1 for the files that are none", a.code)
	}
	a.books(t)
	namedOnce(t, a, bad)
	if a.ledger["seen"] != uint64(seen) {
		t.Errorf("seen = %d packets, want %d", a.ledger["seen"], seen)
	}
	got := map[string]int{}
	for _, r := range a.results {
		got[r.GetCapturePoint()]++
	}
	for path, n := range want {
		if got[path] != n {
			t.Errorf("%s: %d sessions, want %d", path, got[path], n)
		}
	}

	found, err := filepath.Glob(filepath.Join(corpus, "odd", "captures", "*", "*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no odd captures: %v", err)
	}
	a = analyze(t, found...)
	a.books(t)
	for line := range strings.Lines(a.errs) {
		t.Log(strings.TrimSpace(line))
	}
}
