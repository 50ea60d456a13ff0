package feature

import "bytes"

// reveal writes into out, which is zero, what a model may see of a direction's payload.
//
// TLS and DTLS: record headers, message headers, the hello without random, session id, cookie, server name, key shares,
// tickets and other extensions whose body is a secret or a name; no certificate, no ciphertext. QUIC: the first packet's
// flags that are not protected, its version and the length of the connection id. DNS: the header, and of the first name
// the lengths. Text: all but the values that name a server. Anything else as it is. With names, those of servers stay.
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

// nameHeaders are the header fields of HTTP and its relatives whose value names a server, and the commands and replies of
// mail and file transfer whose first word does.
var nameHeaders = [...]string{"host:", "referer:", "origin:", "location:", "server-name:", "ehlo ", "helo ", "lhlo ", "220 ", "220-"} //nolint:gochecknoglobals // a constant table; Go has no constants of this type

// hideNames zeroes server names in lines of text.
func hideNames(text []byte) {
	for rest := text; len(rest) > 0; {
		line := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		for _, name := range nameHeaders {
			if len(line) <= len(name) || !bytes.EqualFold(line[:len(name)], []byte(name)) {
				continue
			}
			value := bytes.TrimLeft(line[len(name):], " ")
			if name[len(name)-1] != ':' {
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
	if bytes.HasPrefix(text, []byte("CONNECT ")) {
		target := text[len("CONNECT "):]
		clear(target[:wordLength(target)])
	}
}

func wordLength(b []byte) int {
	if end := bytes.IndexAny(b, " \r\n"); end >= 0 {
		return end
	}
	return len(b)
}
