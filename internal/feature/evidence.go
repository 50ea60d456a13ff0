package feature

import "bytes"

// What follows is for people only. Features look at the first message of a direction, for a model is trained on what it says;
// who reads results also wants the name that came a datagram or a segment later.

// hello returns the client's hello and the letter that JA4 has for its transport.
func (s *Session) hello() (h *tlsStream, transport byte) {
	f := &s.found
	switch first := &f.tls[forward]; {
	case first.found && f.isQUIC:
		return first, 'q'
	case first.found && first.datagrams:
		return first, 'd'
	case first.found || s.protocol != protocolTCP && s.protocol != protocolUDP:
		return first, 't'
	}
	later := &f.later
	later.reset()
	if s.protocol == protocolTCP {
		later.readBehind(s.streams[forward])
		return later, 't'
	}
	for datagram := range s.datagrams(forward) {
		if later.readDTLS(datagram, clientHello); later.found { // behind STUN
			return later, 'd'
		}
		if initial, ok := readInitial(datagram); ok { // behind a packet of 0-RTT
			var q quicStream
			q.read(s.datagrams(forward), initial.destination, "client")
			later.readMessage(q.message(), clientHello)
			return later, 'q'
		}
	}
	return later, 't'
}

// maxTries bounds how many places are read that only look like the beginning of a hello.
const maxTries = 8

// readBehind looks for a hello that begins further on in a stream: behind STARTTLS and its like, or a proxy's CONNECT.
func (t *tlsStream) readBehind(stream []byte) {
	for at, tries := 0, 0; tries < maxTries; at++ {
		next := bytes.Index(stream[at:], []byte{recordHandshake, 3})
		if next < 0 || len(stream)-at-next < 6 {
			break
		}
		at += next
		if stream[at+2] > 4 || stream[at+5] != clientHello {
			continue
		}
		tries++
		if t.read(stream[at:], clientHello); t.found && t.hello.version>>8 == 3 && t.hello.ciphers != nil {
			return
		}
	}
	t.reset()
}

// host returns the Host of a request whose first line came in more than one segment, too.
func (s *Session) host() []byte {
	if s.found.host != nil || s.protocol != protocolTCP {
		return s.found.host
	}
	stream := s.streams[forward]
	for _, method := range methods {
		if startsWith(stream, 0, method) && requestLine(stream) == tokenHTTPRequest {
			return headerValue(stream, "host")
		}
	}
	return nil
}

// question returns the first name that was asked for; an answer repeats it.
func (s *Session) question() string {
	f := &s.found
	for d := range f.dns {
		if name := f.dns[d].question(); name != "" {
			return name
		}
	}
	if s.protocol != protocolUDP || !f.dns[forward].found && !f.dns[reverse].found {
		return ""
	}
	for d := range s.streams { // mDNS answers before it asks
		for datagram := range s.datagrams(direction(d)) {
			m := readDNS(datagram, false)
			if name := m.question(); name != "" {
				return name
			}
		}
	}
	return ""
}

const (
	// maxIdentification is the length of an identification line with its end (RFC 4253 section 4.2).
	maxIdentification = 255
	// linesBefore is how many lines a server may say before it; the document sets no bound.
	linesBefore = 16
)

// identification returns the line by which one side of SSH names its software, empty if there is none that is whole and
// printable.
func identification(stream []byte) string {
	for range linesBefore {
		line, rest, ended := bytes.Cut(stream, []byte("\n"))
		if !ended {
			return ""
		}
		if bytes.HasPrefix(line, []byte("SSH-")) {
			line = bytes.TrimSuffix(line, []byte("\r"))
			for _, c := range line {
				if c < ' ' || c >= 0x7f {
					return ""
				}
			}
			if len(line) > maxIdentification {
				return ""
			}
			return string(line)
		}
		stream = rest
	}
	return ""
}
