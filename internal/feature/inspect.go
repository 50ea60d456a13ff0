package feature

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"unicode/utf8"
)

// findings is what inspect has read out of the two streams.
type findings struct {
	tls         [2]tlsStream
	later       tlsStream // for Handshake: the client's hello, if it is not in the first message
	quic        [2]quicStream
	quicVersion uint32
	isQUIC      bool
	isDTLS      bool // some datagram, not always the first, is a record of DTLS
	dns         [2]dnsMessage
	token       [2]token
	host        []byte // of an HTTP request
}

// inspect reads the streams once; Handshake and Extract use what it finds.
func (s *Session) inspect() {
	f := &s.found
	f.quicVersion, f.isQUIC, f.isDTLS, f.host = 0, false, false, nil
	for d := range s.streams {
		f.tls[d].reset()
		f.dns[d] = dnsMessage{}
		message, size := s.message(direction(d))
		f.dns[d] = readDNS(message, s.protocol == protocolTCP)
		switch {
		case f.dns[d].found:
			f.token[d] = f.dns[d].token(message)
		case s.protocol == protocolUDP && s.isRTP(direction(d)):
			f.token[d] = tokenRTPRun
		default:
			f.token[d] = tokenOf(s.protocol, message, size, s.streams[d])
		}
	}
	switch s.protocol {
	case protocolTCP:
		f.tls[forward].read(s.streams[forward], clientHello)
		f.tls[reverse].read(s.streams[reverse], serverHello)
		if f.token[forward] == tokenHTTPRequest {
			f.host = headerValue(s.streams[forward], "host")
		}
	case protocolUDP:
		s.inspectDatagrams()
	}
}

func (s *Session) inspectDatagrams() {
	f := &s.found
	first, _ := s.message(forward)
	if version, ok := longHeader(first); ok {
		f.isQUIC, f.quicVersion = true, version
		if h, ok := readInitial(first); ok {
			f.quic[forward].read(s.datagrams(forward), h.destination, "client")
			f.tls[forward].readMessage(f.quic[forward].message(), clientHello)
			f.quic[reverse].read(s.datagrams(reverse), h.destination, "server")
			f.tls[reverse].readMessage(f.quic[reverse].message(), serverHello)
		}
		return
	}
	for d := range s.streams {
		for datagram := range s.datagrams(direction(d)) {
			f.isDTLS = f.isDTLS || len(datagram) >= 13 && datagramIsDTLS(datagram)
		}
	}
	// A DTLS server first answers with a HelloVerifyRequest, its hello comes later.
	f.tls[forward].readDTLS(first, clientHello)
	for datagram := range s.datagrams(reverse) {
		if f.tls[reverse].readDTLS(datagram, serverHello); f.tls[reverse].found {
			break
		}
	}
}

// message returns what the stream has of the first packet with payload in a direction, and that packet's payload size.
func (s *Session) message(d direction) ([]byte, int) {
	for _, p := range s.packets {
		if p.Reverse == (d == reverse) && p.Size > 0 {
			return s.streams[d][:min(int(p.Size), len(s.streams[d]))], int(p.Size)
		}
	}
	return nil, 0
}

// datagrams yields the datagrams of a direction that the stream has in full.
func (s *Session) datagrams(d direction) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest := s.streams[d]
		for _, p := range s.packets {
			if p.Reverse != (d == reverse) || p.Size == 0 {
				continue
			}
			if int(p.Size) > len(rest) || !yield(rest[:p.Size]) {
				return
			}
			rest = rest[p.Size:]
		}
	}
}

// dnsMessage is the first name in a DNS message (RFC 1035 section 4): a question's, or without questions an answer's.
type dnsMessage struct {
	found      bool
	stream     bool   // two bytes of length before it (RFC 1035 section 4.2.2)
	asked      bool   // it has a question
	name       []byte // in the bytes given, from the first length to the one that is zero
	end        int    // of the name in the bytes given, with type and class
	labels     int
	firstLabel int
	local      bool // the name ends in "local" (RFC 6762 section 3)
	kind       uint16
	class      uint16
}

// readDNS reads a message; what cannot be one is not found.
func readDNS(b []byte, stream bool) dnsMessage {
	m := dnsMessage{stream: stream}
	at := 12
	if stream {
		if len(b) < 2 {
			return m
		}
		at = 14
		if int(binary.BigEndian.Uint16(b)) < 12 {
			return m
		}
	}
	if len(b) < at+5 {
		return m
	}
	header := b[at-12 : at]
	records := 0
	for i := 4; i < 12; i += 2 {
		count := int(binary.BigEndian.Uint16(header[i:]))
		if count > 256 {
			return m
		}
		records += count
	}
	if opcode := header[2] >> 3 & 15; records == 0 || opcode > 8 {
		return m
	}
	m.asked = binary.BigEndian.Uint16(header[4:]) > 0
	var last []byte
	begin := at
	for at < len(b) && b[at] != 0 {
		length := int(b[at])
		if length > 63 || at+1+length >= len(b) || m.labels == 127 {
			return m
		}
		if m.labels++; m.labels == 1 {
			m.firstLabel = length
		}
		last = b[at+1 : at+1+length]
		at += 1 + length
	}
	if len(b)-at < 5 {
		return m
	}
	m.name, m.end = b[begin:at], at+5
	m.kind = binary.BigEndian.Uint16(b[at+1:])
	m.class = binary.BigEndian.Uint16(b[at+3:])
	switch m.class & 0x7fff { // the top bit is mDNS's (RFC 6762 sections 5.4 and 10.2)
	case 1, 3, 4, 254, 255:
		m.found = true
	default: // OPT's class is a size (RFC 6891); as the first record it says nothing
	}
	m.local = bytes.EqualFold(last, []byte("local"))
	return m
}

// reveal copies the message's header and the shape of its first name into out: lengths, type and class, no letters.
func (m *dnsMessage) reveal(out, in []byte) {
	at := 12
	if m.stream {
		at = 14
	}
	copyRange(out, in, 0, at)
	for at < m.end-5 {
		copyRange(out, in, at, at+1)
		at += 1 + int(in[at])
	}
	copyRange(out, in, m.end-5, m.end)
}

// nameServiceLabel is how many letters a NetBIOS name has on the wire (RFC 1001 section 14.1); its messages look like DNS.
const nameServiceLabel = 32

// question returns the first name asked for as people write it, without the final dot (RFC 1035 section 5.1; blanks and
// letters of other scripts stay, as RFC 6763 section 4.1.3 has them); empty when none is, or when it is a NetBIOS name.
func (m *dnsMessage) question() string {
	netBIOS := m.firstLabel == nameServiceLabel && (m.kind == 0x20 || m.kind == 0x21)
	if !m.found || !m.asked || netBIOS {
		return ""
	}
	var name []byte
	for rest := m.name; len(rest) > 0; {
		label := rest[1 : 1+int(rest[0])]
		rest = rest[1+int(rest[0]):]
		text := utf8.Valid(label)
		for _, c := range label {
			switch {
			case c == '.' || c == '\\':
				name = append(name, '\\', c)
			case c < ' ' || c == 0x7f || c > 0x7f && !text:
				name = fmt.Appendf(name, "\\%03d", c)
			default:
				name = append(name, c)
			}
		}
		if len(rest) > 0 {
			name = append(name, '.')
		}
	}
	return string(name)
}

// headerValue returns the value of a header field before the first empty line, its name in lower case; nil if there is
// none.
func headerValue(text []byte, name string) []byte {
	for first := true; ; first = false {
		line, rest, more := bytes.Cut(text, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 && !first || !more {
			return nil // a last line without its end may be cut short
		}
		field, value, ok := bytes.Cut(line, []byte(":"))
		if ok && len(field) == len(name) && bytes.EqualFold(field, []byte(name)) {
			return bytes.TrimSpace(value)
		}
		text = rest
	}
}
