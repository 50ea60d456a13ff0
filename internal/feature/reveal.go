package feature

import (
	"bytes"
	"strings"
)

// reveal writes into out, which is zero, what a model may see of a direction's payload.
//
// TLS and DTLS: record headers, message headers, the hello without random, session id, cookie, server name, key shares,
// tickets and other extensions whose body is a secret or a name; no certificate, no ciphertext. QUIC: the first packet's
// flags that are not protected, its version and the length of the connection id. DNS: the header, and of the first name
// the lengths. Text: all but the values that name a server. DHCP, NTP and the like: what is not an address, a time or a name.
// Anything else as it is. With names, those of servers stay.
func (s *Session) reveal(d direction, out []byte, names bool) {
	f, stream := &s.found, s.streams[d]
	message, _ := s.message(d)
	switch {
	case f.isQUIC:
		copyRange(out, stream, 0, 6)
		if len(stream) > 0 {
			out[0] &= 0xf0
		}
		if names && d == forward {
			copy(out[16:], f.tls[d].hello.serverName)
		}
	case f.tls[d].found && f.tls[d].datagrams:
		if f.token[d] == tokenDTLS && d == forward {
			f.tls[d].reveal(out, message, names)
			return
		}
		copyRange(out, message, 0, 3)
		copyRange(out, message, 11, 14)
	case f.tls[d].found:
		f.tls[d].reveal(out, stream, names)
	case f.token[d] == tokenTLS, f.token[d] == tokenTLSData:
		copyRange(out, stream, 0, 6)
	case f.token[d] == tokenDTLS:
		copyRange(out, stream, 0, 3)
		copyRange(out, stream, 11, 14)
	case f.token[d] == tokenGQUIC: // its hello is in clear
		copyRange(out, stream, 0, 1)
		copyRange(out, stream, 9, 13)
	case f.token[d] == tokenNTP: // a server's address and times follow
		copyRange(out, stream, 0, 12)
	case f.token[d] == tokenDHCP: // all but the first option is about one device
		copyRange(out, stream, 0, 4)
		copyRange(out, stream, 8, 12)
		copyRange(out, stream, 236, 243)
	case f.token[d] == tokenNBDGM:
		copyRange(out, stream, 0, 2)
		copyRange(out, stream, 10, 15)
	case f.token[d] == tokenNBSS:
		copyRange(out, stream, 0, 5)
	case f.dns[d].found && names:
		copyRange(out, message, 0, f.dns[d].end)
	case f.dns[d].found:
		f.dns[d].reveal(out, message)
	default:
		copy(out, stream)
		if textual(stream) && !names {
			hideNames(out[:min(len(out), len(stream))])
		}
	}
}

// textual tells whether a stream begins like a protocol of text.
func textual(stream []byte) bool {
	if len(stream) < 4 {
		return false
	}
	for _, c := range stream[:min(len(stream), 16)] {
		if (c < ' ' || c >= 0x7f) && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// nameHeaders begin lines that name a server or a person, an address or a time: header fields of HTTP, SIP and their
// relatives, lines of SDP, and commands and replies of mail and file transfer.
var nameHeaders = [...]string{ //nolint:gochecknoglobals // a constant table; Go has no constants of this type
	"host:", "referer:", "origin:", "location:", "server-name:", "via:", "from:", "to:", "contact:", "call-id:", "mail from:", "rcpt to:",
	"date:", "expires:", "last-modified:", "if-modified-since:", "o=", "c=", "227 ", "229 ",
	"ehlo ", "helo ", "lhlo ", "220 ", "220-", "250 ", "250-", "port ", "eprt ",
}

// nameStarts tells, by a line's first byte with letters small, whether nameHeaders can match.
var nameStarts = func() (starts [256]bool) { //nolint:gochecknoglobals // a constant table; Go has no constants of this type
	for _, name := range nameHeaders {
		starts[name[0]] = true
	}
	return starts
}()

// wholeValue tells whether all behind the name is hidden, and not only a word.
func wholeValue(name string) bool {
	return strings.HasSuffix(name, ":") || strings.HasSuffix(name, "=") || name == "227 " || name == "229 "
}

// hideNames zeroes server names in lines of text.
func hideNames(text []byte) {
	for rest := text; len(rest) > 0; {
		line := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		if len(line) == 0 || !nameStarts[line[0]] && !nameStarts[line[0]|0x20] {
			continue
		}
		for _, name := range nameHeaders {
			if len(line) <= len(name) || !bytes.EqualFold(line[:len(name)], []byte(name)) {
				continue
			}
			value := bytes.TrimLeft(line[len(name):], " ")
			if !wholeValue(name) {
				value = value[:wordLength(value)]
				if bytes.IndexByte(value, '.') < 0 && name[0] == '2' {
					continue // a reply such as "220 ready" names nobody
				}
			}
			clear(value)
		}
	}
	if at := bytes.Index(text, []byte("://")); at >= 0 && at < 16 { // a request for an absolute URI (RFC 9112 section 3.2.2)
		authority := text[at+3:]
		if end := bytes.IndexAny(authority, "/ \r\n"); end >= 0 {
			authority = authority[:end]
		}
		clear(authority)
	}
	switch {
	case bytes.HasPrefix(text, []byte("CONNECT ")):
		target := text[len("CONNECT "):]
		clear(target[:wordLength(target)])
	case bytes.HasPrefix(text, []byte(preface)):
		clear(text[min(len(text), len(preface)+9):])
	case text[0] == ':': // a message of IRC begins with who sends it (RFC 2812 section 2.3.1)
		clear(text[1:wordLength(text)])
	}
	if at := bytes.Index(text, []byte(" sip:")); at >= 0 && at < 16 {
		target := text[at+len(" sip:"):]
		clear(target[:wordLength(target)])
	}
	for _, attribute := range [...]string{" to='", " to=\"", " from='", " from=\""} { // of XMPP's stream (RFC 6120 section 4.7)
		if _, value, ok := bytes.Cut(text, []byte(attribute)); ok {
			if end := bytes.IndexByte(value, attribute[len(attribute)-1]); end >= 0 {
				value = value[:end]
			}
			clear(value)
		}
	}
}

// preface begins HTTP/2 (RFC 9113 section 3.4). Behind it are frames, compressed names in them; the first one's header is
// all that is shown.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func wordLength(b []byte) int {
	if end := bytes.IndexAny(b, " \r\n"); end >= 0 {
		return end
	}
	return len(b)
}
