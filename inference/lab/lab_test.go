//go:build linux

// Package lab_test runs a few of the lab's recipes and compares labels.csv with what gopacket finds in the captures.
package lab_test

import (
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"sonde.example/internal/testenv"
)

// tuple is a session as labels.csv writes it.
type tuple struct {
	proto    string
	src, dst netip.AddrPort
}

func (t tuple) reverse() tuple { return tuple{t.proto, t.dst, t.src} }

// counts are what labels.csv says of a session, and what the capture holds.
type counts struct{ packets, bytes, payloadPackets, payloadBytes int }

func TestLab(t *testing.T) {
	testenv.Service(t, "netns") // rooms are namespaces
	t.Parallel()
	out := t.TempDir()
	started := time.Now()
	lab := exec.CommandContext(t.Context(), "python3", "lab.py", "--out", out, "--only", "curl,ssh,dig", "--variants", "near", "--jobs", "3", "--tools", filepath.Join(out, "none"))
	said, err := lab.CombinedOutput()
	t.Logf("%v\n%s", time.Since(started), said)
	if err != nil {
		t.Fatal(err)
	}

	ran := 0
	for _, program := range table(t, filepath.Join(out, "programs.csv")) {
		switch {
		case program["status"] == "ok" && program["version"] != "":
			ran++
		case program["status"] != "absent": // what no machine can run is in the table too
			t.Errorf("%s: %s: %s", program["program"], program["status"], program["problems"])
		}
	}

	if ran != 3 {
		t.Errorf("%d programs ran, want 3", ran)
	}

	// What port the server of each label is known to listen at: the lab's own word for it is another table.
	ports := map[string]uint16{"ssh": 22, "dns": 53, "http": 80, "tls": 443}
	found := map[string]int{}
	files := map[string]map[tuple]counts{}
	for _, row := range table(t, filepath.Join(out, "labels.csv")) {
		file := row["file"]
		if files[file] == nil {
			files[file] = read(t, filepath.Join(out, "captures", file))
		}
		key := tuple{row["proto"], address(t, row["src_ip"], row["src_port"]), address(t, row["dst_ip"], row["dst_port"])}
		want := counts{number(t, row["packets"]), number(t, row["bytes"]), number(t, row["payload_packets"]), number(t, row["payload_bytes"])}
		if got, ok := files[file][key]; !ok || got != want {
			t.Errorf("%s: %v is labelled with %+v, the capture has %+v", file, key, want, got)
		}
		delete(files[file], key)
		if port, ok := ports[row["label"]]; ok && key.dst.Port() != port {
			t.Errorf("%s: %v is labelled %s", file, key, row["label"])
		} else if !ok && row["label"] != "icmpv6" && row["label"] != "icmp" && row["label"] != "igmp" {
			t.Errorf("%s: %v is labelled %q", file, key, row["label"])
		}
		if row["confidence"] != "process" || row["group"] != row["program"] || row["version"] == "" || row["command"] == "" || row["category"] == "" {
			t.Errorf("%s: %v does not tell where it is from: %v", file, key, row)
		}
		if row["usable"] == "1" && row["dup"] == "0" {
			found[row["label"]]++
		}
	}
	for file, rest := range files {
		if len(rest) > 0 {
			t.Errorf("%s: without a label: %v", file, rest)
		}
	}
	for label, least := range map[string]int{"ssh": 4, "dns": 8, "http": 4, "tls": 4} {
		if found[label] < least {
			t.Errorf("%d sessions of %s, want %d or more", found[label], label, least)
		}
	}
}

// table reads a table with a header.
func table(t *testing.T, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // only read
	records, err := csv.NewReader(f).ReadAll()
	if err != nil || len(records) < 2 {
		t.Fatalf("%s: %d lines, %v", path, len(records), err)
	}
	var rows []map[string]string
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, column := range records[0] {
			row[column] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// read counts a capture's sessions, as gopacket sees them, by the direction of the first packet.
func read(t *testing.T, path string) map[tuple]counts {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // only read
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	sessions := map[tuple]counts{}
	for p := range gopacket.NewPacketSource(r, layers.LinkTypeEthernet).Packets() {
		key, payload, answer, ok := decode(p)
		if !ok {
			continue
		}
		if _, ok := sessions[key.reverse()]; ok {
			key = key.reverse()
		} else if _, ok := sessions[key]; !ok && answer {
			key = key.reverse()
		}
		c := sessions[key]
		c.packets++
		c.bytes += len(p.Data())
		if payload > 0 {
			c.payloadPackets++
			c.payloadBytes += payload
		}
		sessions[key] = c
	}
	return sessions
}

// decode returns a packet's tuple, the length of its payload, and whether it is the answer to a SYN.
func decode(p gopacket.Packet) (key tuple, payload int, answer, ok bool) {
	if p.NetworkLayer() == nil {
		return key, 0, false, false
	}
	src, dst := p.NetworkLayer().NetworkFlow().Endpoints()
	var sport, dport uint16
	switch l := p.TransportLayer().(type) {
	case *layers.TCP:
		key.proto, sport, dport, payload, answer = "tcp", uint16(l.SrcPort), uint16(l.DstPort), len(l.Payload), l.SYN && l.ACK
	case *layers.UDP:
		key.proto, sport, dport, payload = "udp", uint16(l.SrcPort), uint16(l.DstPort), len(l.Payload)
	default:
		switch {
		case p.Layer(layers.LayerTypeICMPv6) != nil:
			key.proto = "icmpv6"
		case p.Layer(layers.LayerTypeICMPv4) != nil:
			key.proto = "icmp"
		case p.Layer(layers.LayerTypeIGMP) != nil:
			key.proto = "igmp"
		default:
			key.proto = fmt.Sprint(p.Layers())
		}
	}
	from, fromOK := netip.AddrFromSlice(src.Raw())
	to, toOK := netip.AddrFromSlice(dst.Raw())
	key.src, key.dst = netip.AddrPortFrom(from, sport), netip.AddrPortFrom(to, dport)
	return key, payload, answer, fromOK && toOK
}

func address(t *testing.T, ip, port string) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddr(ip)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(a, uint16(number(t, port))) //nolint:gosec // a port
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
