package archtest

import (
	"path"
	"slices"
	"strings"
)

const (
	gopacket       = "github.com/gopacket/gopacket"
	gopacketLayers = gopacket + "/layers"
	embeddedEtcd   = "./internal/confstore/etcd/embedded"
	// These are no stages that data passes through: every room of the daemon works on inference's models, and on rows of
	// confsync's tables.
	whatInferenceServes = "./inference/model"
	whatConfsyncCarries = "./confsync/change"
)

// daemons are the rooms that meet on the wire only.
func daemons() []string { return []string{"agent", "collector", "inference", "confsync"} }

// rule judges one import at a time.
type rule struct {
	name, reason string
	tests        bool // whether tests are bound too
	denies       func(Import) bool
}

// houseRules are those of the rooms.
func houseRules() []rule {
	return []rule{{
		name:   "a daemon never imports another daemon",
		reason: "they run on machines of their own and meet on the wire (gen) and in internal/{confstore,feature,packet}",
		denies: func(i Import) bool {
			from, to := daemon(i.From), daemon(i.To)
			return from != "" && to != "" && from != to
		},
	}, {
		name:   "internal never imports a daemon, except internal/cli",
		reason: "what every daemon uses must not know any of them",
		tests:  true,
		denies: func(i Import) bool {
			return match("./internal/...", i.From) && !match("./internal/cli/...", i.From) && daemon(i.To) != ""
		},
	}, {
		name:   "a daemon never imports internal/cli",
		reason: "the commands know the daemons; the static agent would link all of them",
		tests:  true,
		denies: func(i Import) bool { return daemon(i.From) != "" && match("./internal/cli/...", i.To) },
	}, {
		name:   "the main package imports internal/cli and nothing else of the house",
		reason: "the program is a library; main is ten lines",
		tests:  true,
		denies: func(i Import) bool { return i.From == "." && local(i.To) && i.To != "./internal/cli" },
	}, {
		name:   "generated code imports generated code only",
		reason: "it is what others may take without the house",
		denies: func(i Import) bool { return match("./gen/...", i.From) && local(i.To) && !match("./gen/...", i.To) },
	}, {
		name:   "a stage never imports a sibling",
		reason: "data walks one way through interfaces of the reader's own; the daemon's root introduces the stages to each other",
		denies: func(i Import) bool {
			from, to := stage(i.From), stage(i.To)
			return from != "" && to != "" && from != to && path.Dir(from) == path.Dir(to) && i.To != whatInferenceServes && i.To != whatConfsyncCarries
		},
	}, {
		name:   "a parent never imports its child",
		reason: "the interface must not know its backends",
		denies: func(i Import) bool {
			parent := stage(i.From) != "" || match("./internal/...", i.From) && !match("./internal/cli/...", i.From)
			return parent && strings.HasPrefix(i.To, i.From+"/")
		},
	}, {
		name:   "only backends.go of a daemon imports a backend",
		reason: "one switch on the URL's scheme picks it",
		denies: func(i Import) bool {
			switch {
			case !matchAny(products(), i.To) || isTestPackage(i.To), i.To == embeddedEtcd:
				return false
			case strings.HasPrefix(i.From, i.To+"/"): // a child and its parent
				return false
			case i.From == "./internal/cli" && strings.HasPrefix(i.File, "dataset"), // reads training captures without an agent
				i.From == "./internal/cli/benchinference": // measures ONNX Runtime alone, on sessions that no agent brought
				return false
			}
			return !isDaemon(i.From) || i.File != "backends.go"
		},
	}, {
		name:   "only internal/cli and tests import the embedded etcd server",
		reason: "it is the default of `sonde all`, and 20 MB that no other program needs",
		denies: func(i Import) bool { return i.To == embeddedEtcd && i.From != "./internal/cli" },
	}, {
		name:   "only tests import test packages",
		reason: "suites and fakes must not be linked into a daemon",
		denies: func(i Import) bool { return local(i.To) && isTestPackage(i.To) },
	}, {
		name:   "of gopacket's layers only LinkType is used",
		reason: "its decoders allocate, and are the tests' oracle for our own header walker",
		denies: func(i Import) bool {
			return i.To == gopacketLayers && slices.ContainsFunc(i.Names, func(name string) bool { return !strings.HasPrefix(name, "LinkType") })
		},
	}}
}

// products are the folders whose children are backends.
func products() []string {
	return []string{
		"./agent/capture/*", "./agent/spool/*", "./collector/session/*", "./collector/dispatch/*", "./collector/result/*",
		"./inference/model/*", "./confsync/change/*", "./internal/confstore/*", embeddedEtcd,
	}
}

// client is a foreign package and the folders that may import it.
type client struct {
	what     string
	is, home []string
}

// clients have one home each, so that a product can be replaced in one folder; tests may use them as oracles.
func clients() []client {
	return []client{
		{"go-redis", []string{"github.com/redis/go-redis/..."}, []string{"./collector/session/redis"}},
		{"amqp091-go", []string{"github.com/rabbitmq/amqp091-go/..."}, []string{"./collector/dispatch/rabbitmq"}},
		{"the MySQL driver", []string{"github.com/go-sql-driver/mysql/..."}, []string{"./collector/result/mysql"}},
		{
			"the SQLite driver", []string{"github.com/mattn/go-sqlite3/...", "modernc.org/sqlite/..."},
			[]string{"./collector/result/sqlite", "./confsync/change/sqlite"},
		},
		{"go-mysql", []string{"github.com/go-mysql-org/go-mysql/..."}, []string{"./confsync/change/binlog"}},
		{
			"the Kafka client", []string{"github.com/segmentio/kafka-go/...", "github.com/twmb/franz-go/..."},
			[]string{"./confsync/change/kafka"},
		},
		{
			"the etcd client", []string{"go.etcd.io/etcd/client/...", "go.etcd.io/etcd/api/..."},
			[]string{"./internal/confstore/etcd", embeddedEtcd, "./confsync/zkfront"},
		},
		{"the etcd server", []string{"go.etcd.io/etcd/server/..."}, []string{embeddedEtcd}},
		{"the ZooKeeper client", []string{"github.com/go-zookeeper/zk/..."}, []string{"./internal/confstore/zookeeper"}},
		{"onnxruntime_go", []string{"github.com/yalue/onnxruntime_go/..."}, []string{"./inference/model/onnx"}},
		{"gopacket's pcapgo", []string{gopacket + "/pcapgo"}, []string{"./agent/capture/file", "./collector/query"}},
		{"gopacket's pcap (libpcap)", []string{gopacket + "/pcap"}, []string{"./agent/capture/libpcap", "./internal/packet/filter"}},
		{
			"gopacket", []string{gopacket},
			[]string{"./agent/capture/file", "./agent/capture/libpcap", "./collector/query", "./internal/packet/filter"},
		},
		{"grpc", []string{"google.golang.org/grpc/..."}, []string{
			"./agent/uplink", "./collector/ingest", "./collector/classify", "./collector/query", "./collector/fleet",
			"./inference/server", "./inference/kserve", "./internal/rpc", "./internal/mtls", "./internal/cli",
			"./internal/confstore/etcd", "./internal/confstore/relay", "./gen/...",
		}},
	}
}

// clientRules are those of the foreign clients.
func clientRules() []rule {
	var all []rule
	for _, c := range clients() {
		all = append(all, rule{
			name:   c.what + " is imported only by " + strings.Join(c.home, ", "),
			reason: "a foreign client has one home",
			denies: func(i Import) bool { return matchAny(c.is, i.To) && !matchAny(c.home, i.From) },
		})
	}
	return all
}

// linkRule judges everything that a program links.
type linkRule struct {
	name, reason string
	from         string
	to           []string
}

func linkRules() []linkRule {
	return []linkRule{{
		name:   "sonde-agent links no server, no model runtime, no database, no C and no other daemon",
		reason: "it is static, at most 20 MB, and runs on routers",
		from:   "./agent/cmd/sonde-agent",
		to: []string{
			"go.etcd.io/etcd/server/...", "github.com/yalue/onnxruntime_go/...", "github.com/mattn/go-sqlite3/...",
			"modernc.org/sqlite/...", "./collector/...", "./inference/...", "./confsync/...", "./internal/cli/...", "runtime/cgo",
		},
	}}
}

// match reports whether a pattern fits a package: "a/..." is a and all below it, "a/*" its children, other patterns
// themselves.
func match(pattern, name string) bool {
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == root || strings.HasPrefix(name, root+"/")
	}
	if parent, ok := strings.CutSuffix(pattern, "/*"); ok {
		return path.Dir(strings.TrimPrefix(name, "./")) == strings.TrimPrefix(parent, "./")
	}
	return pattern == name
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, name) })
}

func local(name string) bool { return name == "." || strings.HasPrefix(name, "./") }

// daemon returns the daemon whose room or root a package is, or "".
func daemon(name string) string {
	root, _, _ := strings.Cut(strings.TrimPrefix(name, "./"), "/")
	if local(name) && slices.Contains(daemons(), root) {
		return root
	}
	return ""
}

func isDaemon(name string) bool { return "./"+daemon(name) == name }

// stage returns the daemon's stage that a package is or lies in, or "". Commands are no stages.
func stage(name string) string {
	parts := strings.Split(name, "/")
	if daemon(name) == "" || len(parts) < 3 || parts[2] == "cmd" {
		return ""
	}
	return strings.Join(parts[:3], "/")
}

// isTestPackage tells suites and fakes (spool/spooltest), testenv with what lies in it, and archtest.
func isTestPackage(name string) bool {
	base := path.Base(name)
	return local(name) && (base == "testenv" || match("./internal/testenv/...", name) || strings.HasSuffix(base, "test") && base != "test")
}
