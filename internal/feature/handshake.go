package feature

import (
	"fmt"
	"net"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
)

// maxNameBytes bounds server names: a domain name has at most 253 characters (RFC 1035 section 3.1).
const maxNameBytes = 255

// Handshake tells what the session's head says in clear about who talks to whom: TLS, DTLS and QUIC hellos, the Host of
// HTTP, the first question of DNS, mDNS and LLMNR, and how both sides of SSH call themselves. It is nil when there is
// nothing to tell.
func (s *Session) Handshake() *flowv1.Handshake {
	f := &s.found
	client, transport := s.hello()
	server := &f.tls[reverse]
	h := &flowv1.Handshake{}
	if client.found {
		h.ServerName = printableName(client.hello.serverName)
		h.Alpn = protocolNames(client.hello.protocols)
		h.TlsVersion = versionName(client.hello.highest)
		if client.hello.ciphers != nil {
			h.Ja4 = ja4(&client.hello, transport)
		}
	}
	if h.GetServerName() == "" {
		h.ServerName = hostName(s.host())
	}
	if server.found && len(server.hello.ciphers) == 2 {
		h.TlsVersion = versionName(server.hello.highest)
		h.TlsCipher = fmt.Sprintf("0x%02x%02x", server.hello.ciphers[0], server.hello.ciphers[1])
	}
	if f.isQUIC {
		h.QuicVersion = quicVersionName(f.quicVersion)
	}
	h.DnsName = s.question()
	if s.protocol == protocolTCP {
		h.SshClient, h.SshServer = identification(s.streams[forward]), identification(s.streams[reverse])
	}
	if h.ServerName == "" && len(h.Alpn) == 0 && h.TlsVersion == "" && h.Ja4 == "" && h.QuicVersion == "" && h.DnsName == "" &&
		h.SshClient == "" && h.SshServer == "" {
		return nil
	}
	return h
}

// printableName returns a name that is printable and of sane length; empty otherwise.
func printableName(raw []byte) string {
	if len(raw) > maxNameBytes {
		return ""
	}
	for _, c := range raw {
		if c <= ' ' || c >= 0x7f {
			return ""
		}
	}
	return string(raw)
}

// hostName returns the name in the value of a Host field, without port and brackets (RFC 9110 section 7.2).
func hostName(raw []byte) string {
	name := printableName(raw)
	if host, _, err := net.SplitHostPort(name); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
}

func protocolNames(raw []byte) []string {
	var names []string
	rest := cryptobyte.String(raw)
	var name cryptobyte.String
	for rest.ReadUint8LengthPrefixed(&name) {
		if len(name) == 2 && grease(uint16(name[0])<<8|uint16(name[1])) {
			continue
		}
		if utf8.Valid(name) {
			names = append(names, string(name))
			continue
		}
		names = append(names, fmt.Sprintf("0x%x", []byte(name)))
	}
	return names
}

func versionName(version uint16) string {
	switch version {
	case 0x0300:
		return "SSL 3.0"
	case 0x0301:
		return "1.0"
	case 0x0302:
		return "1.1"
	case 0x0303:
		return "1.2"
	case 0x0304:
		return "1.3"
	case 0xfeff:
		return "DTLS 1.0"
	case 0xfefd:
		return "DTLS 1.2"
	case 0xfefc:
		return "DTLS 1.3"
	}
	return fmt.Sprintf("0x%04x", version)
}

func quicVersionName(version uint32) string {
	switch {
	case version == quicVersion1:
		return "1"
	case version == quicVersion2:
		return "2"
	case version>>8 == 0xff0000:
		return fmt.Sprintf("draft-%d", version&0xff)
	}
	return fmt.Sprintf("0x%08x", version)
}
