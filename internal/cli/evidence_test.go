package cli_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/testenv"
)

// said is what a session says of itself, by kind; of one kind it may say more than one thing.
type said map[string][]string

func (s said) add(kind, value string) {
	if value != "" && !slices.Contains(s[kind], value) {
		s[kind] = append(s[kind], value)
	}
}

// kinds are what is compared.
var kinds = []string{"SNI", "ALPN", "JA4", "HTTP host", "DNS name", "SSH client", "SSH server"}

// heard returns what the results of sonde say, by five-tuple.
func heard(results []*queryv1.Result) map[string]said {
	all := map[string]said{}
	for _, r := range results {
		h := r.GetHandshake()
		key := fiveTuple(r.GetIpProtocol(), net.JoinHostPort(r.GetClient().GetAddress(), fmt.Sprint(r.GetClient().GetPort())),
			net.JoinHostPort(r.GetServer().GetAddress(), fmt.Sprint(r.GetServer().GetPort())))
		if all[key] == nil {
			all[key] = said{}
		}
		s := all[key]
		if h.GetJa4() != "" {
			s.add("SNI", h.GetServerName())
		} else {
			s.add("HTTP host", h.GetServerName())
		}
		s.add("ALPN", strings.Join(h.GetAlpn(), ","))
		if !strings.HasPrefix(h.GetJa4(), "d") {
			s.add("JA4", h.GetJa4())
		}
		s.add("DNS name", h.GetDnsName())
		s.add("SSH client", h.GetSshClient())
		s.add("SSH server", h.GetSshServer())
	}
	return all
}

// fiveTuple names a session without direction.
func fiveTuple(protocol uint32, a, b string) string {
	if b < a {
		a, b = b, a
	}
	return fmt.Sprint(protocol, " ", a, " ", b)
}

// tsharkFields are asked for in this order; of several values the last is the innermost header's.
var tsharkFields = []string{
	"ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "tls.handshake.type", "dtls.handshake.type",
	"tls.handshake.extensions_server_name", "dtls.handshake.extensions_server_name", "tls.handshake.extensions_alpn_str", "dtls.handshake.extensions_alpn_str",
	"http.host", "dns.qry.name", "ssh.protocol",
	"tls.handshake.version", "tls.handshake.extensions.supported_version", "tls.handshake.ciphersuite", "tls.handshake.extension.type",
	"tls.handshake.sig_hash_alg",
}

// ja4 makes the fingerprint of what tshark shows of a ClientHello, as its document says and not as we do it: this tshark
// may not know it itself. It is empty when tshark does not show enough.
func ja4(t *testing.T, column map[string]string, transport string) string {
	t.Helper()
	list := func(name string) (values []uint64) {
		for text := range strings.SplitSeq(column[name], "|") {
			value, err := strconv.ParseUint(text, 0, 16)
			if err != nil {
				continue // there is none
			}
			if value&0x0f0f != 0x0a0a || value>>8 != value&0xff { // GREASE
				values = append(values, value)
			}
		}
		return values
	}
	hash := func(values []uint64, more string) string {
		words := make([]string, len(values))
		for i, v := range values {
			words[i] = fmt.Sprintf("%04x", v)
		}
		if len(words) == 0 {
			return "000000000000"
		}
		return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(words, ",")+more)))[:12]
	}
	versions := append(list("tls.handshake.extensions.supported_version"), 0)
	version := slices.Max(versions)
	if version == 0 {
		version = list("tls.handshake.version")[0]
	}
	ciphers, kinds := list("tls.handshake.ciphersuite"), list("tls.handshake.extension.type")
	if slices.Contains(kinds, 34) || slices.Contains(kinds, 50) {
		return "" // tshark shows the signature algorithms of delegated credentials and certificates in the same column
	}
	name := "i"
	if slices.Contains(kinds, 0) {
		name = "d"
	}
	alpn, _, _ := strings.Cut(column["tls.handshake.extensions_alpn_str"], "|")
	ends := "00"
	if alpn != "" {
		ends = alpn[:1] + alpn[len(alpn)-1:]
	}
	var signatures string
	for _, v := range list("tls.handshake.sig_hash_alg") {
		signatures += fmt.Sprintf(",%04x", v)
	}
	if signatures != "" {
		signatures = "_" + signatures[1:]
	}
	counts := fmt.Sprintf("%02d%02d", min(len(ciphers), 99), min(len(kinds), 99))
	kinds = slices.DeleteFunc(kinds, func(kind uint64) bool { return kind == 0 || kind == 16 })
	slices.Sort(ciphers)
	slices.Sort(kinds)
	word, known := map[uint64]string{0x300: "s3", 0x301: "10", 0x302: "11", 0x303: "12", 0x304: "13"}[version]
	if !known { // a draft, for example
		word = "00"
	}
	return fmt.Sprintf("%s%s%s%s%s_%s_%s", transport, word, name, counts, ends, hash(ciphers, ""), hash(kinds, signatures))
}

// dissect returns what tshark reads in a capture, by five-tuple.
func dissect(t *testing.T, tshark, capture string) map[string]said {
	t.Helper()
	args := []string{"-n", "-r", capture, "-Y", "(tls.handshake.type == 1 || dtls.handshake.type == 1 || http.host || dns.qry.name || ssh.protocol) && !icmp && !icmpv6",
		"-T", "fields", "-E", "separator=/t", "-E", "aggregator=|"}
	for _, f := range tsharkFields {
		args = append(args, "-e", f)
	}
	var errs bytes.Buffer
	c := exec.CommandContext(t.Context(), tshark, args...)
	c.Stderr = &errs
	out, err := c.Output() // of a capture that is cut short it is an error, after what could be read
	if err != nil && !bytes.Contains(errs.Bytes(), []byte("cut short")) && !bytes.Contains(errs.Bytes(), []byte("isn't a capture file")) &&
		!bytes.Contains(errs.Bytes(), []byte("appears to be damaged")) {
		t.Fatalf("%s: %v\n%s", capture, err, errs.String())
	}
	all := map[string]said{}
	clients := map[string]string{} // of SSH: who spoke to the lower port
	for line := range strings.Lines(string(out)) {
		column := map[string]string{}
		for i, value := range strings.Split(strings.TrimSuffix(line, "\n"), "\t") {
			column[tsharkFields[i]] = value
		}
		last := func(names ...string) string {
			for _, name := range names {
				if value := column[name]; value != "" {
					return value[strings.LastIndexByte(value, '|')+1:]
				}
			}
			return ""
		}
		protocol, source, destination := uint32(6), last("tcp.srcport"), last("tcp.dstport")
		if source == "" {
			protocol, source, destination = 17, last("udp.srcport"), last("udp.dstport")
		}
		if source == "" {
			continue
		}
		from, to := net.JoinHostPort(last("ip.src", "ipv6.src"), source), net.JoinHostPort(last("ip.dst", "ipv6.dst"), destination)
		key := fiveTuple(protocol, from, to)
		if all[key] == nil {
			all[key] = said{}
			clients[key] = from
			if len(source) < len(destination) || len(source) == len(destination) && source < destination {
				clients[key] = to
			}
		}
		s := all[key]
		if hello := "|" + column["tls.handshake.type"] + "|" + column["dtls.handshake.type"] + "|"; strings.Contains(hello, "|1|") {
			s.add("SNI", last("tls.handshake.extensions_server_name", "dtls.handshake.extensions_server_name"))
			s.add("ALPN", strings.ReplaceAll(column["tls.handshake.extensions_alpn_str"]+column["dtls.handshake.extensions_alpn_str"], "|", ","))
		}
		// Of several hellos in a frame tshark shows the fields one behind the other, and nobody could say whose they are.
		messages := strings.Split(column["tls.handshake.type"], "|")
		if messages[0] == "1" && !slices.Contains(messages[1:], "1") {
			s.add("JA4", ja4(t, column, map[uint32]string{6: "t", 17: "q"}[protocol]))
		}
		for value := range strings.SplitSeq(column["http.host"], "|") {
			host := strings.TrimSuffix(strings.TrimPrefix(value, "["), "]")
			if h, _, err := net.SplitHostPort(value); err == nil {
				host = h
			}
			if protocol == 6 { // SSDP's names a multicast address
				s.add("HTTP host", host)
			}
		}
		for value := range strings.SplitSeq(column["dns.qry.name"], "|") {
			if value != "<Root>" {
				s.add("DNS name", value)
			}
		}
		kind := "SSH server"
		if clients[key] == from {
			kind = "SSH client"
		}
		s.add(kind, column["ssh.protocol"])
	}
	return all
}

// agreement counts the five-tuples of which both speak, and those of which they say the same.
type agreement struct{ both, equal, onlyOurs, onlyTheirs map[string]int }

func newAgreement() *agreement {
	return &agreement{map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}}
}

func (a *agreement) compare(t *testing.T, capture string, ours, theirs map[string]said) {
	t.Helper()
	keys := map[string]bool{}
	for key := range ours {
		keys[key] = true
	}
	for key := range theirs {
		keys[key] = true
	}
	for key := range keys {
		for _, kind := range kinds {
			us, them := ours[key][kind], theirs[key][kind]
			switch {
			case len(us) > 0 && len(them) > 0:
				a.both[kind]++
				if !slices.ContainsFunc(us, func(v string) bool { return !slices.Contains(them, v) }) {
					a.equal[kind]++
				} else {
					t.Logf("%s: %s: %s is %q, tshark says %q", capture, key, kind, us, them)
				}
			case len(us) > 0:
				a.onlyOurs[kind]++
				t.Logf("%s: %s: only sonde: %s %q", capture, key, kind, us)
			case len(them) > 0:
				a.onlyTheirs[kind]++
				t.Logf("%s: %s: only tshark: %s %q", capture, key, kind, them)
			}
		}
	}
}

// demand fails unless 99 of 100 are equal, for each kind of which there are enough.
func (a *agreement) demand(t *testing.T) {
	t.Helper()
	for _, kind := range kinds {
		t.Logf("%s: %d of %d equal; %d only sonde, %d only tshark", kind, a.equal[kind], a.both[kind], a.onlyOurs[kind], a.onlyTheirs[kind])
		if 100*a.equal[kind] < 99*a.both[kind] {
			t.Errorf("%s: only %d of %d are what tshark says", kind, a.equal[kind], a.both[kind])
		}
	}
}

// TestEvidenceIsWhatTsharkReads takes results of the whole way, from capture file to what sonde analyze prints.
func TestEvidenceIsWhatTsharkReads(t *testing.T) {
	tshark := testenv.Service(t, "tshark")
	a := newAgreement()
	a.compare(t, "sample", heard(analyze(t, "sample/sample.pcapng").results), dissect(t, tshark, "sample/sample.pcapng"))
	a.demand(t)
	for _, kind := range kinds {
		if a.both[kind] == 0 {
			t.Errorf("nothing of the sample has shown a %s", kind)
		}
	}
}

// TestEvidenceOfTheCorpusIsWhatTsharkReads reads all captures with TLS, DTLS, QUIC and SSH, and a tenth of those with HTTP
// and DNS. It is an extra where the corpus is; elsewhere the sample has to do.
func TestEvidenceOfTheCorpusIsWhatTsharkReads(t *testing.T) {
	tshark := testenv.Service(t, "tshark")
	corpus := testenv.Corpus(t)
	if corpus == "" {
		t.Log("no corpus here; the sample has to do")
		return
	}
	labels, err := os.Open(filepath.Join(corpus, "train", "labels.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer labels.Close()
	rows, err := csv.NewReader(labels).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	label := slices.Index(rows[0], "label")
	wanted := map[string]bool{} // whether for sure
	for _, row := range rows[1:] {
		switch row[label] {
		case "tls", "quic", "dtls", "ssh":
			wanted[row[0]] = true
		case "http", "dns", "mdns", "llmnr":
			wanted[row[0]] = wanted[row[0]] || false
		}
	}
	var files []string
	others := 0
	for _, row := range rows[1:] {
		sure, ok := wanted[row[0]]
		delete(wanted, row[0])
		if ok && !sure {
			others++
		}
		if ok && (sure || others%10 == 0) {
			files = append(files, filepath.Join(corpus, "train", "captures", row[0]))
		}
	}
	byFile := map[string][]*queryv1.Result{}
	for _, r := range analyze(t, files...).results {
		byFile[r.GetCapturePoint()] = append(byFile[r.GetCapturePoint()], r)
	}
	a := newAgreement()
	for _, f := range files {
		point := ""
		for p := range byFile {
			if strings.HasSuffix(p, f) {
				point = p
			}
		}
		a.compare(t, strings.TrimPrefix(f, corpus), heard(byFile[point]), dissect(t, tshark, f))
	}
	t.Logf("%d captures", len(files))
	a.demand(t)
}
