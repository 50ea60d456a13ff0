package feature

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"sonde.example/internal/packet"
)

func fromHex(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func dnsQuery(name string) []byte {
	m := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, label := range strings.Split(name, ".") {
		m = append(m, byte(len(label)))
		m = append(m, label...)
	}
	return append(m, 0, 0, 1, 0, 1)
}

// chromeHello builds the ClientHello of the JA4 specification's example, with GREASE where browsers put it.
func chromeHello(t testing.TB) []byte {
	t.Helper()
	var b cryptobyte.Builder
	block := func(b *cryptobyte.Builder, values ...uint16) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, v := range values {
				b.AddUint16(v)
			}
		})
	}
	b.AddUint8(clientHello)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(0x0303)
		b.AddBytes(bytes.Repeat([]byte{0xaa}, 32))
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(bytes.Repeat([]byte{0xbb}, 32)) })
		block(b, 0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, kind := range []uint16{0x2a2a, 0, 0x17, 0xff01, 0x0a, 0x0b, 0x23, 0x10, 0x05, 0x0d, 0x12, 0x33, 0x2d, 0x2b, 0x1b, 0x4469, 0x15} {
				b.AddUint16(kind)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
					switch kind {
					case extensionServerName:
						b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
							b.AddUint8(0)
							b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("secret-name.example")) })
						})
					case extensionALPN:
						b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
							for _, name := range []string{"h2", "http/1.1"} {
								b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
							}
						})
					case extensionSignatures:
						block(b, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
					case extensionVersions:
						b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
							for _, v := range []uint16{0x3a3a, 0x0304, 0x0303} {
								b.AddUint16(v)
							}
						})
					case 0x23: // a ticket
						b.AddBytes(bytes.Repeat([]byte{0xbb}, 32))
					case 0x33:
						b.AddBytes(bytes.Repeat([]byte{0xcc}, 40))
					}
				})
			}
		})
	})
	return b.BytesOrPanic()
}

func record(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{22, 3, 1}, uint16(len(message))), message...)
}

func helloOfServer(version, cipher uint16) []byte {
	m := append([]byte{serverHello, 0, 0, 0, 3, 3}, bytes.Repeat([]byte{0xdd}, 32)...)
	m = append(m, 0)
	m = binary.BigEndian.AppendUint16(m, cipher)
	m = append(m, 0, 0, 6, 0, 43, 0, 2)
	m = binary.BigEndian.AppendUint16(m, version)
	m[3] = byte(len(m) - 4)
	return m
}

func TestJA4OfTheSpecification(t *testing.T) {
	s := read(t, 6, headOf(here.tcp, step{flags: packet.ACK, payload: record(chromeHello(t))},
		step{back: true, flags: packet.ACK, payload: record(helloOfServer(0x0304, 0x1302))}))
	h := s.Handshake()
	if want := "t13d1516h2_8daaf6152771_e5627efa2ab1"; h.GetJa4() != want {
		t.Errorf("JA4 is %s, want %s", h.GetJa4(), want)
	}
	if h.GetServerName() != "secret-name.example" || h.GetTlsVersion() != "1.3" || h.GetTlsCipher() != "0x1302" || !slices.Equal(h.GetAlpn(), []string{"h2", "http/1.1"}) {
		t.Errorf("handshake is %v", h)
	}
}

func TestHelloOverManyRecords(t *testing.T) {
	hello := chromeHello(t)
	var stream []byte
	for chunk := range slices.Chunk(hello, 50) {
		stream = append(stream, record(chunk)...)
	}
	s := read(t, 6, headOf(here.tcp, step{flags: packet.ACK, payload: stream}))
	if got := s.Handshake().GetServerName(); got != "secret-name.example" {
		t.Errorf("server name is %q", got)
	}
	noSecrets(t, s)
}

// noSecrets fails when a row holds what names a server or is random.
func noSecrets(t *testing.T, s *Session) {
	t.Helper()
	r := row(s)
	for _, secret := range []string{"secret", "\xaa\xaa\xaa\xaa", "\xbb\xbb\xbb\xbb", "\xcc\xcc\xcc\xcc", "\xdd\xdd\xdd\xdd", "certificate"} {
		if at := bytes.Index(r.Bytes[:], []byte(secret)); at >= 0 {
			t.Errorf("bytes hold %q at %d", secret, at)
		}
	}
}

func TestNamesAndRandomBytesAreHidden(t *testing.T) {
	server := record(append(helloOfServer(0x0303, 0xc02f), append([]byte{11, 0, 0, 11}, "certificate"...)...))
	tlsSession := read(t, 6, headOf(here.tcp, step{flags: packet.ACK, payload: record(chromeHello(t))}, step{back: true, flags: packet.ACK, payload: server}))
	noSecrets(t, tlsSession)
	r := row(tlsSession)
	if !bytes.HasPrefix(r.Bytes[:], []byte{22, 3, 1}) || !bytes.Contains(r.Bytes[:clientBytes], []byte("http/1.1")) {
		t.Error("what may be seen of a ClientHello is hidden")
	}
	for name, payload := range map[string]string{
		"HTTP":          "GET / HTTP/1.1\r\nhost:  secret.example\r\nReferer: http://secret.example/\r\n\r\n",
		"HTTP, proxied": "GET http://secret.example/ HTTP/1.1\r\n\r\n",
		"CONNECT":       "CONNECT secret.example:443 HTTP/1.1\r\n\r\n",
		"SMTP":          "220 secret.example ESMTP\r\n",
		"EHLO":          "EHLO secret\r\n",
		"DNS":           string(append([]byte{0, 35}, dnsQuery("www.secret.example.org")...)),
		"SIP":           "INVITE sip:x@secret.example SIP/2.0\r\nVia: SIP/2.0/UDP secret.example\r\nFrom: <sip:secret@b>\r\nContact: secret\r\n\r\n",
		"mail":          "MAIL FROM:<a@secret.example>\r\nRCPT TO:<secret@b.c>\r\n",
		"EHLO's reply":  "250-secret.example\r\n250 SIZE\r\n",
		"IRC":           ":irc.secret.example NOTICE * :Hello\r\n",
		"XMPP":          "<stream:stream to='secret.example' from=\"me@secret.example\">",
		"HTTP/2":        preface + "\x00\x00\x20\x01\x04\x00\x00\x00\x01\x82\x41\x0esecret.example",
		"SDP":           "RTSP/1.0 200 OK\r\n\r\nv=0\r\no=- 1 1 IN IP4 secret\r\nc=IN IP4 secret\r\n",
		"FTP":           "PORT secret\r\n",
		"FTP's reply":   "227 Entering Passive Mode (secret)\r\n",
		"cut Host":      "GET / HTTP/1.1\r\nHost: secret.exam",
	} {
		t.Run(name, func(t *testing.T) {
			noSecrets(t, read(t, 6, headOf(here.tcp, step{flags: packet.ACK, payload: []byte(payload)})))
		})
	}
	for _, payload := range []string{
		string(dnsQuery("secret.example")),
		"\x0d12345678Q043\x01CHLOsecret",
		"\x24\x01\x00\xe9" + strings.Repeat("\x00", 8) + "secret" + strings.Repeat("\x00", 30),
		"\x01\x01\x06\x00\xaa\xaa\xaa\xaa" + strings.Repeat("\x00", 20) + "secret" + strings.Repeat("\x00", 202) + "\x63\x82\x53\x63\x35\x01\x01\x0c\x06secret\xff",
		"\x11\x0a\x12\x34\xaa\xaa\xaa\xaa\x00\x8a\x00\x40\x00\x00\x20secret" + strings.Repeat("A", 60),
	} {
		noSecrets(t, read(t, 17, headOf(here.udp, step{payload: []byte(payload)})))
	}
}

func TestHostOfHTTP(t *testing.T) {
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\nAccept: *\r\nHOST: a.example:81\r\n\r\n": "a.example",
		"GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n":             "2001:db8::1",
		"GET / HTTP/1.1\r\n\r\nHost: body.example\r\n":              "",
		"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n":                    "",
		"GET / HTTP/1.1\r\nHost: cut.exa":                           "",
		"hello\r\nHost: a.example\r\n":                              "",
	} {
		s := read(t, 6, headOf(here.tcp, step{flags: packet.ACK, payload: []byte(request)}))
		if got := s.Handshake().GetServerName(); got != want {
			t.Errorf("%q names %q, want %q", request, got, want)
		}
	}
}

// The keys of RFC 9001 appendix A.1 and RFC 9369 appendix A.1, both for the connection id below.
var quicVectors = []struct {
	version    uint32
	name, ja4  string
	key, iv    string
	protection string
}{
	{quicVersion1, "1", "q13d1516h2_8daaf6152771_e5627efa2ab1", "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2"},
	{quicVersion2, "2", "q13d1516h2_8daaf6152771_e5627efa2ab1", "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9"},
}

const quicConnection = "8394c8f03e515708"

// seal protects an Initial packet with keys that are given, not derived.
func seal(t testing.TB, version uint32, key, iv, protection string, number uint32, frames []byte) []byte {
	t.Helper()
	frames = append(slices.Clone(frames), make([]byte, max(0, 1120-len(frames)))...)
	first := byte(0xc3)
	if version == quicVersion2 {
		first = 0xd3
	}
	h := binary.BigEndian.AppendUint32([]byte{first}, version)
	connection := fromHex(t, quicConnection)
	h = append(append(h, byte(len(connection))), connection...)
	h = append(h, 0, 0) // no source connection id, no token
	h = binary.BigEndian.AppendUint16(h, 0x4000|uint16(4+len(frames)+16))
	at := len(h)
	h = binary.BigEndian.AppendUint32(h, number)
	block, err := aes.NewCipher(fromHex(t, key))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := fromHex(t, iv)
	for i := range 4 {
		nonce[8+i] ^= byte(number >> (24 - 8*i))
	}
	out := aead.Seal(slices.Clone(h), nonce, frames, h)
	mask := make([]byte, 16)
	if block, err = aes.NewCipher(fromHex(t, protection)); err != nil {
		t.Fatal(err)
	}
	block.Encrypt(mask, out[at+4:at+20])
	out[0] ^= mask[0] & 0x0f
	for i := range 4 {
		out[at+i] ^= mask[1+i]
	}
	return out
}

// cryptoFrame is a CRYPTO frame (RFC 9000 section 19.6).
func cryptoFrame(offset int, data []byte) []byte {
	f := binary.BigEndian.AppendUint16([]byte{6}, 0x4000|uint16(offset))
	f = binary.BigEndian.AppendUint16(f, 0x4000|uint16(len(data)))
	return append(f, data...)
}

func TestQUICHelloOutOfShuffledFrames(t *testing.T) {
	hello := chromeHello(t)
	for _, v := range quicVectors {
		one := slices.Concat(cryptoFrame(200, hello[200:]), []byte{1}, cryptoFrame(50, hello[50:120]))
		two := slices.Concat([]byte{2, 0, 0, 0, 0}, cryptoFrame(0, hello[:60]), cryptoFrame(110, hello[110:210]))
		packets := [][]byte{seal(t, v.version, v.key, v.iv, v.protection, 0, one), seal(t, v.version, v.key, v.iv, v.protection, 1, two)}
		for range 2 {
			s := read(t, 17, headOf(here.udp, step{payload: packets[0]}, step{payload: packets[1]}))
			h := s.Handshake()
			if h.GetServerName() != "secret-name.example" || h.GetQuicVersion() != v.name || h.GetJa4() != v.ja4 {
				t.Errorf("version %s: handshake is %v", v.name, h)
			}
			noSecrets(t, s)
			slices.Reverse(packets)
		}
	}
}

func TestDTLSHello(t *testing.T) {
	body := append([]byte{0xfe, 0xfd}, bytes.Repeat([]byte{0xaa}, 32)...)
	body = append(body, 0, 4, 0xbb, 0xbb, 0xbb, 0xbb, 0, 2, 0xc0, 0x2b, 1, 0)
	n := byte(len(body))
	datagram := slices.Concat([]byte{22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, n + 12, clientHello, 0, 0, n, 0, 1, 0, 0, 0, 0, 0, n}, body)
	s := read(t, 17, headOf(here.udp, step{payload: datagram}))
	h := s.Handshake()
	if h.GetTlsVersion() != "DTLS 1.2" || !strings.HasPrefix(h.GetJa4(), "dd2i010000_") {
		t.Errorf("handshake is %v", h)
	}
	noSecrets(t, s)
}

func TestTokens(t *testing.T) {
	for _, c := range []struct {
		protocol uint8
		message  string
		want     token
	}{
		{6, "GET / HTTP/1.1\r\n", tokenHTTPRequest},
		{6, "OPTIONS sip:a@b SIP/2.0\r\n", tokenSIP},
		{17, "NOTIFY * HTTP/1.1\r\n", tokenSSDP},
		{6, "SSH-2.0-x\r\n", tokenSSH},
		{6, "\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00\x00", tokenMQTTConnect},
		{6, "\x10\x90\x01\x00\x06MQIsdp\x03", tokenMQTTConnect},
		{6, "\x20\x02\x00\x00", tokenMQTTAnswer},
		{6, "*1\r\n$4\r\nPING\r\n", tokenRESPArray},
		{6, "+PONG\r\n", tokenRESPReply},
		{6, "a001 capability\r\n", tokenIMAPCommand},
		{6, "what is this\r\n", tokenText},
		{6, "\x00\x00\x00\x08\x04\xd2\x16\x2f", tokenPostgres},
		{17, "\x23" + strings.Repeat("\x00", 47), tokenNTP},
		{17, "\x40\x01\x12\x34\xb4time", tokenCoAP},
		{6, "220 x FTP server\r\n", tokenFTP},
		{6, "220 x ESMTP\r\n", tokenSMTP},
		{6, "220 ready\r\n", token220},
		{6, "USER x\r\n", tokenUser},
		{6, "USER x 0 * :x\r\n", tokenIRC},
		{6, "\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", tokenLDAP},
		{6, "\x30\x84\x00\x00\x00\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", tokenLDAP},
		{17, "\x30\x0d\x02\x01\x01\x04\x06public\xa0\x00", tokenSNMP},
		{17, "\x30\x04\x05\x00\x05\x00", tokenBER},
		{6, "HELF\x3e\x00\x00\x00\x00\x00\x00\x00", tokenOPCUA},
		{6, "\xaa\x41\x00\x12\x00\xf1\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\xd7\xd0", tokenSynchrophasor},
		{6, "\x00\x00\x00\x12\x00\x03\x00\x02\x00\x00\x00\x82\x00\x04rdka\x00\x00\x00\x00", tokenKafka},
		{6, "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00", tokenRDP},
		{6, "\x03\x00\x00\x16\x11\xe0\x00\x00\x00\x01\x00\xc1\x02\x01\x00\xc2\x02\x01\x02\xc0\x01\x09", tokenS7},
		{6, "\x68\x04\x43\x00\x00\x00\x00\x00\x00\x00", tokenNone},
		{6, "\x68\x04\x43\x00\x00\x00\x68\x04\x01\x00\x00\x00", tokenIEC104},
		{6, "\x00\x0e\x38\x50\x7a\x28\xa7\x82\x75\x78\x8d\x00\x00\x00\x00\x00", tokenOpenVPN},
		{17, "\x38\x50\x7a\x28\xa7\x82\x75\x78\x8d\x00\x00\x00\x00\x00", tokenOpenVPN},
		{6, `{"id":1,"method":"mining.subscribe"}`, tokenStratum},
		{6, `{"a":1}`, tokenJSON},
		{17, "\x02\x09\x00\x00\x1d\x00\x00\x00\x00\x00\x9d\xf6\x00\x02en\x00\x00\xff\xff\x00\x07DEFAULT", tokenSLP},
		{17, "HTTP/1.1 200 OK\r\nST: x\r\n\r\n", tokenSSDP},
		{17, "\x00\x01\x00\x00" + strings.Repeat("a", 16), tokenSTUN},
		{17, "RSIP 1 *@gateway MGCP 0.1\r\n", tokenMGCP},
		{6, "<?xml version='1.0'?><stream:stream>", tokenXMPP},
		{6, "<?xml version='1.0'?><a/>", tokenXML},
		{17, "<?xml version='1.0'?><s:Envelope/>", tokenSOAP},
		{50, "SSH-2.0-x\r\n", tokenESP},
		{6, "abc", tokenNone},
	} {
		if got := tokenOf(c.protocol, []byte(c.message), len(c.message), []byte(c.message)); got != c.want {
			t.Errorf("%q is %s, want %s", c.message, tokenNames[got], tokenNames[c.want])
		}
	}
}

func TestRelativesOfDNS(t *testing.T) {
	query := func(id, flags uint16, name string, kind, class uint16) []byte {
		b := binary.BigEndian.AppendUint16(nil, id)
		b = binary.BigEndian.AppendUint16(b, flags)
		b = append(b, 0, 1, 0, 0, 0, 0, 0, 0)
		for label := range strings.SplitSeq(name, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(append(b, 0), kind), class)
	}
	for _, c := range []struct {
		message []byte
		want    token
	}{
		{query(7, 0x0100, "www.example", 1, 1), tokenDNS},
		{query(7, 0x0100, "printer", 1, 1), tokenDNS},
		{query(7, 0, "printer", 1, 1), tokenLLMNR},
		{query(0, 0, "_ipp._tcp.local", 12, 1), tokenMDNS},
		{query(0, 0, "1.0.168.192.in-addr.arpa", 12, 0x8001), tokenMDNS},
		{query(7, 0x0110, strings.Repeat("CA", 16), 0x20, 1), tokenNBNS},
		{query(7, 0x0100, "2.dnscrypt-cert.example", 16, 1), tokenDNSCrypt},
	} {
		s := read(t, 17, headOf(here.udp, step{payload: c.message}))
		if got := s.found.token[forward]; got != c.want {
			t.Errorf("%x is %s, want %s", c.message, tokenNames[got], tokenNames[c.want])
		}
	}
}

func TestMediaAndDTLSBehindOtherDatagrams(t *testing.T) {
	rtp := func(sequence byte, source string) step {
		return step{payload: []byte("\x80\x60\x00" + string(sequence) + "\x00\x00\x00\x10" + source + "voice")}
	}
	s := read(t, 17, headOf(here.udp, rtp(1, "abcd"), rtp(2, "abcd"), rtp(4, "abcd")))
	if got := s.found.token[forward]; got != tokenRTPRun {
		t.Errorf("a run of RTP is %s", tokenNames[got])
	}
	s = read(t, 17, headOf(here.udp, rtp(1, "abcd"), rtp(2, "abce"), rtp(4, "abcf")))
	if got := s.found.token[forward]; got == tokenRTPRun {
		t.Error("three sources are one run of RTP")
	}
	stun := step{payload: []byte("\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl")}
	s = read(t, 17, headOf(here.udp, stun, step{back: true, payload: []byte("\x16\xfe\xff0123456789012345")}))
	if m := row(s).Meta; m[columnDTLS] != 1 || token(m[columnFamilyForward]) != token(familyTraversal) {
		t.Errorf("DTLS behind STUN: is DTLS %v, family %v", m[columnDTLS], m[columnFamilyForward])
	}
}
