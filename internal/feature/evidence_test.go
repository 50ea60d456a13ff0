package feature

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"sonde.example/internal/packet"
)

func TestNameAskedFor(t *testing.T) {
	answer := append([]byte{0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0}, "\x04_ipp\x05local\x00\x00\x0c\x00\x01\x00\x00\x00\x0a\x00\x02\xc0\x0c"...)
	odd := dnsQuery("a.b")
	odd[13] = '.' // "..b": a dot inside of a label
	blank := dnsQuery("a.b")
	blank[13] = ' '
	control, foreign := dnsQuery("a.b"), dnsQuery("a\u00fc.b")
	control[13], foreign[15] = 7, 0xff
	netBIOS := dnsQuery(strings.Repeat("CA", 16))
	netBIOS[len(netBIOS)-3] = 0x20
	for name, c := range map[string]struct {
		message []byte
		want    string
	}{
		"plain":            {dnsQuery("www.Example.org"), "www.Example.org"},
		"root":             {[]byte{1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1}, ""},
		"dot in a label":   {odd, "\\..b"},
		"blank in a label": {blank, " .b"},
		"bell in a label":  {control, "\\007.b"},
		"another script":   {dnsQuery("caf\u00e9.b"), "caf\u00e9.b"},
		"broken script":    {foreign, "a\\195\\255.b"},
		"only an answer":   {answer, ""},
		"NetBIOS":          {netBIOS, ""},
		"no DNS":           {[]byte("hello, this is not DNS"), ""},
	} {
		if got := read(t, 17, headOf(here.udp, step{payload: c.message})).Handshake().GetDnsName(); got != c.want {
			t.Errorf("%s: the name is %q, want %q", name, got, c.want)
		}
		stream := append(binary.BigEndian.AppendUint16(nil, uint16(len(c.message))), c.message...)
		if got := read(t, 6, headOf(here.tcp, step{flags: packet.ACK, payload: stream})).Handshake().GetDnsName(); got != c.want {
			t.Errorf("%s, over TCP: the name is %q, want %q", name, got, c.want)
		}
	}
	if got := read(t, 17, headOf(here.udp, step{back: true, payload: dnsQuery("www.example")})).Handshake().GetDnsName(); got != "www.example" {
		t.Errorf("of an answer alone the name is %q", got)
	}
}

func TestIdentificationOfSSH(t *testing.T) {
	for line, want := range map[string]string{
		"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n":  "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3",
		"SSH-1.99-x\n\x00\x00":                        "SSH-1.99-x",
		"Be welcome\r\nto this host\r\nSSH-2.0-x\r\n": "SSH-2.0-x",
		"SSH-2.0-cut":         "",
		"SSH-2.0-\x1b[2J\r\n": "",
		"SSH-2.0-" + strings.Repeat("x", 300) + "\r\n":   "",
		strings.Repeat("talk\r\n", 20) + "SSH-2.0-x\r\n": "",
		"GET / HTTP/1.1\r\n":                             "",
	} {
		s := read(t, 6, headOf(here.tcp, step{flags: packet.ACK, payload: []byte(line)}, step{back: true, flags: packet.ACK, payload: []byte("SSH-2.0-server\r\n")}))
		h := s.Handshake()
		if h.GetSshClient() != want || h.GetSshServer() != "SSH-2.0-server" {
			t.Errorf("%q calls itself %q, the server %q", line, h.GetSshClient(), h.GetSshServer())
		}
	}
}

// TestEvidenceThatCameLater has the name not in the first message, which is all that features look at.
func TestEvidenceThatCameLater(t *testing.T) {
	hello := append([]byte{0xfe, 0xfd}, make([]byte, 32)...)
	hello = append(hello, 0, 0, 0, 2, 0xc0, 0x2b, 1, 0)
	n := byte(len(hello))
	dtls := slices.Concat([]byte{22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, n + 12, clientHello, 0, 0, n, 0, 1, 0, 0, 0, 0, 0, n}, hello)
	stun := []byte("\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl")
	if h := read(t, 17, headOf(here.udp, step{payload: stun}, step{payload: dtls})).Handshake(); h.GetTlsVersion() != "DTLS 1.2" || !strings.HasPrefix(h.GetJa4(), "dd2i01") {
		t.Errorf("behind STUN: %v", h)
	}
	v := quicVectors[0]
	zeroRTT := append([]byte{0xd0, 0, 0, 0, 1, 8}, "somebody\x00encrypted"...)
	initial := seal(t, v.version, v.key, v.iv, v.protection, 0, cryptoFrame(0, chromeHello(t)))
	if h := read(t, 17, headOf(here.udp, step{payload: zeroRTT}, step{payload: initial})).Handshake(); h.GetServerName() != "secret-name.example" || h.GetJa4() != v.ja4 {
		t.Errorf("behind 0-RTT: %v", h)
	}
	h := read(t, 6, headOf(here.tcp, step{flags: packet.ACK, payload: []byte("POST ")},
		step{flags: packet.ACK, offset: 5, payload: []byte("/a HTTP/1.1\r\nHost: a.example\r\n\r\n")})).Handshake()
	if h.GetServerName() != "a.example" {
		t.Errorf("in two segments: %v", h)
	}
	talk := []byte("EHLO a\r\nSTARTTLS\r\n\x16\x03\x01\x00\x02\x01\x00")
	h = read(t, 6, headOf(here.tcp, step{flags: packet.ACK, payload: talk}, step{flags: packet.ACK, offset: uint32(len(talk)), payload: record(chromeHello(t))})).Handshake()
	if h.GetServerName() != "secret-name.example" || h.GetTlsVersion() != "1.3" || h.GetJa4() != "t"+v.ja4[1:] {
		t.Errorf("behind STARTTLS: %v", h)
	}
	if h := read(t, 6, headOf(here.tcp, step{flags: packet.ACK, payload: talk})).Handshake(); h != nil {
		t.Errorf("what only looks like a hello: %v", h)
	}
	answer := append([]byte{0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0}, "\x04_ipp\x05local\x00\x00\x0c\x00\x01\x00\x00\x00\x0a\x00\x02\xc0\x0c"...)
	if h := read(t, 17, headOf(here.udp, step{payload: answer}, step{payload: dnsQuery("b.local")})).Handshake(); h.GetDnsName() != "b.local" {
		t.Errorf("behind an answer: %v", h)
	}
}
