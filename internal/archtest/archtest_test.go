package archtest_test

import (
	"slices"
	"strings"
	"testing"

	"sonde.example/internal/archtest"
)

func TestHouseKeepsItsImportRules(t *testing.T) {
	graph, err := archtest.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(graph.Imports) == 0 || len(graph.Links) == 0 {
		t.Fatal("no imports were read")
	}
	for _, broken := range archtest.Check(graph) {
		t.Error(broken)
	}
}

func TestCheckFindsForbiddenImports(t *testing.T) {
	const (
		gopacket = "github.com/gopacket/gopacket"
		embedded = "./internal/confstore/etcd/embedded"
	)
	tests := []struct {
		imports archtest.Import
		want    string // part of the rule's name; empty: allowed
	}{
		{archtest.Import{From: "./agent/cut", File: "cut.go", To: "./collector/session"}, "another daemon"},
		{archtest.Import{From: "./collector/ingest", File: "ingest_test.go", To: "./agent/uplink"}, ""},
		{archtest.Import{From: "./agent", File: "agent.go", To: "./agent/cut"}, ""},
		{archtest.Import{From: "./internal/rpc", File: "rpc_test.go", To: "./agent"}, "internal never imports a daemon"},
		{archtest.Import{From: "./internal/cli", File: "all.go", To: "./agent"}, ""},
		{archtest.Import{From: "./agent/cmd/sonde-agent", File: "main.go", To: "./agent"}, ""},
		{archtest.Import{From: "./agent/cmd/sonde-agent", File: "main.go", To: "./internal/cli"}, "never imports internal/cli"},
		{archtest.Import{From: ".", File: "main.go", To: "./internal/cli"}, ""},
		{archtest.Import{From: ".", File: "main.go", To: "./agent"}, "main package"},
		{archtest.Import{From: "./gen/go/sonde/query/v1", File: "query.pb.go", To: "./gen/go/sonde/flow/v1"}, ""},
		{archtest.Import{From: "./gen/go/sonde/query/v1", File: "query.pb.go", To: "./internal/packet"}, "generated code"},
		{archtest.Import{From: "./agent/batch", File: "batch.go", To: "./agent/cut"}, "sibling"},
		{archtest.Import{From: "./agent/batch", File: "batch_test.go", To: "./agent/cut"}, ""},
		{archtest.Import{From: "./inference/batcher", File: "batcher.go", To: "./inference/model"}, ""},
		{archtest.Import{From: "./inference/server", File: "server.go", To: "./inference/batcher"}, "sibling"},
		{archtest.Import{From: "./collector/session/redis", File: "redis.go", To: "./collector/session"}, ""},
		{archtest.Import{From: "./collector/session/redis", File: "redis.go", To: "./collector/result"}, "sibling"},
		{archtest.Import{From: "./internal/packet", File: "packet.go", To: "./internal/packet/filter"}, "its child"},
		{archtest.Import{From: "./agent/capture", File: "capture.go", To: "./agent/capture/file"}, "its child"},
		{archtest.Import{From: "./agent", File: "backends.go", To: "./agent/capture/file"}, ""},
		{archtest.Import{From: "./agent", File: "agent.go", To: "./agent/capture/file"}, "only backends.go"},
		{archtest.Import{From: "./internal/cli", File: "backends.go", To: "./collector/result/sqlite"}, "only backends.go"},
		{archtest.Import{From: "./confsync", File: "backends.go", To: "./internal/confstore/etcd"}, ""},
		{archtest.Import{From: embedded, File: "embedded.go", To: "./internal/confstore/etcd"}, ""},
		{archtest.Import{From: "./internal/cli", File: "all.go", To: embedded}, ""},
		{archtest.Import{From: "./confsync", File: "backends.go", To: embedded}, "embedded etcd"},
		{archtest.Import{From: "./confsync/publish", File: "publish_test.go", To: embedded}, ""},
		{archtest.Import{From: "./agent/spool/disk", File: "disk.go", To: "./agent/spool/spooltest"}, "test packages"},
		{archtest.Import{From: "./agent/spool/disk", File: "disk_test.go", To: "./agent/spool/spooltest"}, ""},
		{archtest.Import{From: "./agent/spool/spooltest", File: "suite.go", To: "./internal/testenv"}, ""},
		{archtest.Import{From: "./internal/cli", File: "cli.go", To: "./internal/testenv"}, "test packages"},
		{archtest.Import{From: "./agent/capture/file", File: "file.go", To: gopacket + "/layers", Names: []string{"LinkType", "LinkTypeRaw"}}, ""},
		{archtest.Import{From: "./agent/capture/file", File: "file.go", To: gopacket + "/layers", Names: []string{"TCP"}}, "LinkType"},
		{archtest.Import{From: "./internal/packet", File: "walk_test.go", To: gopacket + "/layers", Names: []string{"TCP"}}, ""},
		{archtest.Import{From: "./collector/query", File: "pcapng.go", To: gopacket + "/pcapgo"}, ""},
		{archtest.Import{From: "./collector/ingest", File: "ingest.go", To: gopacket + "/pcapgo"}, "pcapgo"},
		{archtest.Import{From: "./confsync/publish", File: "publish.go", To: gopacket + "/pcap"}, "libpcap"},
		{archtest.Import{From: "./collector/result", File: "result.go", To: "github.com/mattn/go-sqlite3"}, "SQLite"},
		{archtest.Import{From: "./agent/uplink", File: "uplink.go", To: "google.golang.org/grpc/codes"}, ""},
		{archtest.Import{From: "./agent/cut", File: "cut.go", To: "google.golang.org/grpc/codes"}, "grpc"},
		{archtest.Import{From: "./inference/batcher", File: "batcher.go", To: "github.com/yalue/onnxruntime_go"}, "onnxruntime_go"},
	}
	for _, test := range tests {
		name := test.imports.From + "/" + test.imports.File + " imports " + test.imports.To
		broken := archtest.Check(archtest.Graph{Imports: []archtest.Import{test.imports}})
		switch {
		case test.want == "" && len(broken) > 0:
			t.Errorf("%s: got %v, want nothing broken", name, broken)
		case test.want != "" && !slices.ContainsFunc(broken, func(v archtest.Violation) bool { return strings.Contains(v.Rule, test.want) }):
			t.Errorf("%s: got %v, want a violation of %q", name, broken, test.want)
		}
	}
}

func TestCheckFindsWhatTheStaticAgentLinks(t *testing.T) {
	links := map[string][]string{
		"./agent/cmd/sonde-agent":   {"fmt", "./agent"},
		"./agent":                   {"./agent/cut", "./internal/confstore/etcd"},
		"./internal/confstore/etcd": {"go.etcd.io/etcd/client/v3"},
	}
	if broken := archtest.Check(archtest.Graph{Links: links}); len(broken) > 0 {
		t.Errorf("got %v, want nothing broken", broken)
	}
	links["go.etcd.io/etcd/client/v3"] = []string{"go.etcd.io/etcd/server/v3/embed"}
	broken := archtest.Check(archtest.Graph{Links: links})
	want := "./agent/cmd/sonde-agent -> ./agent -> ./internal/confstore/etcd -> go.etcd.io/etcd/client/v3 -> go.etcd.io/etcd/server/v3/embed"
	if len(broken) != 1 || !strings.HasPrefix(broken[0].String(), want) {
		t.Errorf("got %v, want the chain %s", broken, want)
	}
}
