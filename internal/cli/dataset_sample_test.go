package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/packet"
)

const samplePath = "sample/sample.pcapng"

// sampleCorpus makes a corpus of the sample capture, whose sessions are labelled by their server's port.
func sampleCorpus(t *testing.T) string {
	t.Helper()
	corpus := t.TempDir()
	capture, err := os.ReadFile(samplePath)
	if err != nil {
		t.Fatal(err)
	}
	captures := t.TempDir() // the corpus may be made of links
	if err := os.Symlink(captures, filepath.Join(corpus, "captures")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(corpus, "captures", "sample.pcapng"), capture, 0o600); err != nil {
		t.Fatal(err)
	}
	var labels strings.Builder
	labels.WriteString("file,proto,src_ip,src_port,dst_ip,dst_port,label,group\n")
	for _, c := range sampleConversations(t, false, false) {
		low, high := c.endpoints()
		fmt.Fprintf(&labels, "sample.pcapng,%s,%s,%d,%s,%d,port %d,own\n", protocolName(uint32(c.key.Protocol)), low.Address, low.Port,
			strings.ToUpper(high.Address.StringExpanded()), high.Port, c.server().Port)
	}
	if err := os.WriteFile(filepath.Join(corpus, "labels.csv"), []byte(labels.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return corpus
}

func sampleConversations(t *testing.T, payloadsOnly, keep bool) []*conversation {
	t.Helper()
	c := newCutter(packet.NewWalker(packet.DefaultOptions()), payloadsOnly, keep)
	if whole, err := c.read(t.Context(), samplePath); err != nil || !whole {
		t.Fatalf("the sample was read to the end: %v, %v", whole, err)
	}
	return c.conversations
}

// madeRow is a row of a dataset.
type madeRow struct {
	columns map[string]string
	tensors string
	bytes   string
}

func readDataset(t *testing.T, folder string) []madeRow {
	t.Helper()
	f, err := os.Open(filepath.Join(folder, "rows.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]madeRow, len(records)-1)
	for i, record := range records[1:] {
		rows[i].columns = map[string]string{}
		for j, value := range record {
			rows[i].columns[records[0][j]] = value
		}
	}
	for _, name := range []string{feature.TensorBytes, feature.TensorSeries, feature.TensorMeta} {
		tensor, err := os.ReadFile(filepath.Join(folder, name+".npy"))
		if err != nil {
			t.Fatal(err)
		}
		size := (len(tensor) - npyHeader) / len(rows)
		for i := range rows {
			row := string(tensor[npyHeader+i*size : npyHeader+(i+1)*size])
			rows[i].tensors += row
			if name == feature.TensorBytes {
				rows[i].bytes = row
			}
		}
	}
	return rows
}

func TestHeadsAreThoseOfTheAgentInEitherMode(t *testing.T) {
	agents, ours := sampleConversations(t, false, false), sampleConversations(t, false, true)
	if len(agents) != len(ours) || len(agents) < 50 {
		t.Fatalf("%d and %d sessions", len(agents), len(ours))
	}
	for i := range agents {
		a, b := agents[i], ours[i]
		if a.key != b.key || a.clientHigh != b.clientHigh || a.head.String() != b.head.String() {
			t.Errorf("session %d differs", i)
		}
	}
}

func TestAugmentedRows(t *testing.T) {
	corpus, plain, all, again := sampleCorpus(t), t.TempDir(), t.TempDir(), t.TempDir()
	runDataset(t, "--corpus", corpus, "--out", plain)
	runDataset(t, "--corpus", corpus, "--out", all, "--augment", strings.Join(variantNames(), ","))
	runDataset(t, "--corpus", corpus, "--out", again, "--augment", strings.Join(variantNames(), ","))
	whole, counts := map[string]madeRow{}, map[string]int{}
	var unchanged []string
	for _, r := range readDataset(t, all) {
		variant, session := r.columns["variant"], r.columns["session"]
		counts[variant]++
		switch {
		case variant == "":
			unchanged = append(unchanged, r.tensors)
			if r.columns["whole"] == "true" {
				whole[session] = r
			}
		case variant == "nat" && r.tensors != whole[session].tensors:
			t.Errorf("session %s, %s: other addresses make another row", session, r.columns["label"])
		case variant == "oneway" && r.columns["packets_held"] == whole[session].columns["packets_held"] && r.columns["packets_held"] != "24":
			t.Errorf("session %s: no packet is missing of one direction", session)
		}
	}
	for _, name := range variantNames() {
		if counts[name] < 10 {
			t.Errorf("%d rows of %s", counts[name], name)
		}
	}
	var want []string
	for _, r := range readDataset(t, plain) {
		want = append(want, r.tensors)
	}
	if strings.Join(unchanged, "") != strings.Join(want, "") {
		t.Error("rows that are not augmented depend on whether others are")
	}
	for _, name := range []string{"bytes.npy", "series.npy", "meta.npy", "rows.csv", "manifest.json"} {
		a, err := os.ReadFile(filepath.Join(all, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(again, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("the second run made another %s", name)
		}
	}
}

func TestExperimentsSayWhatTheyAre(t *testing.T) {
	corpus, plain, named, loaded := sampleCorpus(t), t.TempDir(), t.TempDir(), t.TempDir()
	runDataset(t, "--corpus", corpus, "--out", plain)
	runDataset(t, "--corpus", corpus, "--out", named, "--names")
	runDataset(t, "--corpus", corpus, "--out", loaded, "--payload-packets")
	const name = "sonde.test" // in names of servers and of hosts asked for
	visible := func(folder string) (rows int) {
		for _, r := range readDataset(t, folder) {
			if protocol := r.columns["label"]; strings.Contains(r.bytes, name) && (protocol == "port 443" || protocol == "port 80") {
				rows++
			}
		}
		return rows
	}
	if n := visible(plain); n != 0 {
		t.Errorf("%d rows show a server's name", n)
	}
	if n := visible(named); n < 10 {
		t.Errorf("with --names %d rows show a server's name", n)
	}
	for _, r := range readDataset(t, loaded) {
		if r.columns["packets_held"] != r.columns["payloads_held"] {
			t.Errorf("with --payload-packets %s packets are held, %s with payload", r.columns["packets_held"], r.columns["payloads_held"])
		}
	}
	for folder, want := range map[string]bool{plain: false, named: true, loaded: true} {
		text, err := os.ReadFile(filepath.Join(folder, "manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		var m manifest
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		if m.Experiment != want || len(m.Labels) != 64 || len(m.Captures["sample.pcapng"]) != 64 || m.SchemaSHA256 != feature.SchemaSHA256() || m.Program.Version == "" {
			t.Errorf("the manifest is %+v", m)
		}
	}
}

func TestCorrectionsBecomeRows(t *testing.T) {
	corpus, out := sampleCorpus(t), t.TempDir()
	var s feature.Session
	var long *conversation
	for _, c := range sampleConversations(t, false, false) {
		if c.key.Protocol == 6 && c.server().Port == 443 && len(c.head.GetCaptured()) == 24 {
			long = c
		}
	}
	if err := s.FromHead(packet.NewWalkers(packet.DefaultOptions()), uint32(long.key.Protocol), &long.head); err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	for _, c := range []*queryv1.Correction{
		{SessionId: "01A", Label: "secret", Session: s.Native()},
		{SessionId: "01B", Label: "silent", Session: &inferencev1.Session{IpProtocol: 17}},
	} {
		text, err := protojson.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(text, '\n'))
	}
	path := filepath.Join(t.TempDir(), "corrections.jsonl")
	if err := os.WriteFile(path, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	runDataset(t, "--corpus", corpus, "--out", out, "--heads", "2,4", "--corrections", path)
	rows := readDataset(t, out)
	var got []string
	var last madeRow
	for _, r := range rows[len(rows)-4:] {
		c := r.columns
		got = append(got, strings.Join([]string{c["packets_held"], c["whole"], c["variant"], c["proto"], c["label"], c["group"]}, " "))
		if c["label"] == "secret" {
			last = r
		}
	}
	want := []string{
		"2 false correction tcp secret correction:01A", "4 false correction tcp secret correction:01A",
		"24 true correction tcp secret correction:01A", "0 true correction udp silent correction:01B",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("rows are\n%s", strings.Join(got, "\n"))
	}
	found := false
	for _, r := range rows[:len(rows)-4] {
		found = found || r.tensors == last.tensors
	}
	if !found {
		t.Error("the correction's whole head gives another row than its packets")
	}
	if err := os.WriteFile(path, []byte("\n{\"session_id\":\"x\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newDataset(streams{out: &lines})
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs([]string{"--corpus", corpus, "--out", out, "--corrections", path})
	if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "corrections.jsonl:2: session_id, label and session are needed") {
		t.Errorf("half a correction came out as %v", err)
	}
}
