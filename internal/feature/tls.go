package feature

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

// Numbers from the IANA registries "TLS ContentType", "TLS HandshakeType" and "TLS ExtensionType Values".
const (
	recordHandshake = 22

	clientHello = 1
	serverHello = 2

	extensionServerName    = 0
	extensionStatusRequest = 5
	extensionGroups        = 10
	extensionPointFormats  = 11
	extensionSignatures    = 13
	extensionALPN          = 16
	extensionTimestamps    = 18
	extensionEncryptMAC    = 22
	extensionMasterSecret  = 23
	extensionCompressCert  = 27
	extensionSizeLimit     = 28
	extensionVersions      = 43
	extensionPSKModes      = 45
	extensionRenegotiation = 65281
)

// span is a range of bytes, from included, to not.
type span struct{ from, to int }

// piece is where some bytes of a message lie in the stream that it came out of.
type piece struct {
	message int // offset in the message
	stream  int // offset in the stream
	length  int
}

// hello is a ClientHello or a ServerHello (RFC 8446 section 4.1). Its slices refer to the message.
type hello struct {
	present    bool
	version    uint16 // legacy_version
	highest    uint16 // the highest in supported_versions, or the one selected there; else version
	sessionID  int    // its length
	ciphers    []byte // offered, two bytes each; of a ServerHello the one chosen
	extensions []byte // the whole block
	serverName []byte
	protocols  []byte // ALPN's list of length-prefixed names
	signatures []byte // two bytes each
}

// tlsStream is one direction's beginning read as TLS or DTLS: handshake bytes taken out of their records.
type tlsStream struct {
	found     bool // the stream begins with a hello
	datagrams bool // DTLS
	version   uint16
	records   []span // headers of all records that begin in the stream
	message   []byte // handshake bytes, records joined
	pieces    []piece
	visible   []span // of message: what says nothing about names and is not random
	name      span   // of message: the body of the extension that names the server
	hello     hello
}

func (t *tlsStream) reset() {
	*t = tlsStream{records: t.records[:0], message: t.message[:0], pieces: t.pieces[:0], visible: t.visible[:0]}
}

// read reads stream as TLS records that begin with the wanted hello.
func (t *tlsStream) read(stream []byte, want uint8) {
	t.reset()
	handshake := true
	for at := 0; len(stream)-at >= 5 && t.record(stream[at:]); {
		length := int(binary.BigEndian.Uint16(stream[at+3:]))
		t.records = append(t.records, span{at, at + 5})
		if handshake = handshake && stream[at] == recordHandshake; handshake {
			t.join(stream, at+5, min(at+5+length, len(stream)))
		}
		at += 5 + length
	}
	if len(t.message) < 6 || t.message[0] != want {
		t.reset()
		return
	}
	t.found = true
	t.version = binary.BigEndian.Uint16(stream[1:])
	t.messages(want)
}

// record tells whether bytes begin with a record header (RFC 8446 section 5.1).
func (t *tlsStream) record(b []byte) bool {
	return b[0] >= 20 && b[0] <= 24 && b[1] == 3 && b[2] <= 4 && binary.BigEndian.Uint16(b[3:]) <= 1<<14+2048
}

func (t *tlsStream) join(stream []byte, from, to int) {
	t.pieces = append(t.pieces, piece{len(t.message), from, to - from})
	t.message = append(t.message, stream[from:to]...)
}

// messages reads the hello, and of the messages behind it (a certificate holds names) only the headers.
func (t *tlsStream) messages(want uint8) {
	for at := 0; len(t.message)-at >= 4; {
		length := int(t.message[at+1])<<16 | int(t.message[at+2])<<8 | int(t.message[at+3])
		t.visible = append(t.visible, span{at, at + 4})
		if at == 0 {
			t.parse(want, 4, min(4+length, len(t.message)))
		}
		at += 4 + length
	}
}

// readDTLS reads a datagram as a DTLS record with the wanted hello in one fragment (RFC 6347 section 4).
func (t *tlsStream) readDTLS(datagram []byte, want uint8) {
	t.reset()
	if len(datagram) < 25 || datagram[0] != recordHandshake || datagram[1] != 0xfe || datagram[13] != want {
		return
	}
	t.found, t.datagrams = true, true
	t.version = binary.BigEndian.Uint16(datagram[1:])
	t.records = append(t.records, span{0, 3}, span{11, 13})
	t.join(datagram, 13, len(datagram))
	t.visible = append(t.visible, span{0, 4})
	if fragment := datagram[19:25]; [3]byte(fragment) == [3]byte{} {
		t.parse(want, 12, len(t.message))
	}
}

// readMessage reads handshake bytes that came without records, as in QUIC.
func (t *tlsStream) readMessage(message []byte, want uint8) {
	t.reset()
	if len(message) < 6 || message[0] != want {
		return
	}
	t.found = true
	t.version = 0x0303
	t.message = append(t.message, message...)
	t.messages(want)
}

// parse reads a hello's body as far as it goes; one cut short keeps what came before the cut.
func (t *tlsStream) parse(want uint8, from, to int) {
	h := &t.hello
	h.present = true
	body := cryptobyte.String(t.message[from:to])
	at := func() int { return to - len(body) }
	var random, sessionID, cookie, compression cryptobyte.String
	if !body.ReadUint16(&h.version) || !body.ReadBytes((*[]byte)(&random), 32) {
		return
	}
	h.highest = h.version
	t.visible = append(t.visible, span{from, from + 2})
	if !body.ReadUint8LengthPrefixed(&sessionID) {
		return
	}
	h.sessionID = len(sessionID)
	begin := at()
	switch {
	case want == serverHello:
		var cipher []byte
		var method uint8
		if !body.ReadBytes(&cipher, 2) || !body.ReadUint8(&method) {
			return
		}
		h.ciphers = cipher
	default:
		if t.datagrams {
			if !body.ReadUint8LengthPrefixed(&cookie) {
				return
			}
			begin = at()
		}
		if !body.ReadUint16LengthPrefixed((*cryptobyte.String)(&h.ciphers)) || !body.ReadUint8LengthPrefixed(&compression) {
			h.ciphers = nil
			return
		}
	}
	t.visible = append(t.visible, span{begin, min(at()+2, to)})
	var length uint16
	if !body.ReadUint16(&length) {
		return
	}
	h.extensions = body[:min(int(length), len(body))]
	t.extensions(want, at())
}

// extensions walks the block, which begins at offset base of the message.
func (t *tlsStream) extensions(want uint8, base int) {
	h := &t.hello
	rest := cryptobyte.String(h.extensions)
	for len(rest) > 0 {
		from := base + len(h.extensions) - len(rest)
		var kind uint16
		var body cryptobyte.String
		if !rest.ReadUint16(&kind) || !rest.ReadUint16LengthPrefixed(&body) {
			return
		}
		t.visible = append(t.visible, span{from, from + 4})
		switch kind {
		case extensionStatusRequest, extensionGroups, extensionPointFormats, extensionSignatures, extensionALPN,
			extensionTimestamps, extensionEncryptMAC, extensionMasterSecret, extensionCompressCert, extensionSizeLimit,
			extensionVersions, extensionPSKModes, extensionRenegotiation:
			t.visible = append(t.visible, span{from + 4, from + 4 + len(body)})
		case extensionServerName:
			t.name = span{from + 4, from + 4 + len(body)}
		}
		h.extension(want, kind, body)
	}
}

func (h *hello) extension(want uint8, kind uint16, body cryptobyte.String) {
	switch kind {
	case extensionServerName: // RFC 6066 section 3
		var list, name cryptobyte.String
		var nameType uint8
		if body.ReadUint16LengthPrefixed(&list) && list.ReadUint8(&nameType) && nameType == 0 && list.ReadUint16LengthPrefixed(&name) {
			h.serverName = name
		}
	case extensionALPN: // RFC 7301 section 3.1
		var list cryptobyte.String
		if body.ReadUint16LengthPrefixed(&list) {
			h.protocols = list
		}
	case extensionSignatures:
		var list cryptobyte.String
		if body.ReadUint16LengthPrefixed(&list) {
			h.signatures = list
		}
	case extensionVersions: // RFC 8446 section 4.2.1
		list := body
		if want == clientHello && !body.ReadUint8LengthPrefixed(&list) {
			return
		}
		var highest, version uint16
		for list.ReadUint16(&version) {
			if !grease(version) && newer(version, highest) {
				highest = version
			}
		}
		if highest != 0 {
			h.highest = highest
		}
	}
}

// newer compares versions; DTLS counts down.
func newer(a, b uint16) bool {
	if b == 0 {
		return true
	}
	if a>>8 == 0xfe && b>>8 == 0xfe {
		return a < b
	}
	return a > b
}

// grease tells the values that clients send to keep servers honest (RFC 8701).
func grease(value uint16) bool { return value&0x0f0f == 0x0a0a && value>>8 == value&0xff }

// firstProtocol returns the first ALPN name, nil if there is none.
func (h *hello) firstProtocol() []byte {
	list := cryptobyte.String(h.protocols)
	var name cryptobyte.String
	if !list.ReadUint8LengthPrefixed(&name) {
		return nil
	}
	return name
}

// reveal copies into out what may be seen of the stream: record headers and the visible parts of the message.
func (t *tlsStream) reveal(out, stream []byte, names bool) {
	for _, r := range t.records {
		copyRange(out, stream, r.from, r.to)
	}
	for _, v := range t.visible {
		t.show(v, out, stream)
	}
	if names {
		t.show(t.name, out, stream)
	}
}

// show copies a part of the message, which may lie in several records.
func (t *tlsStream) show(v span, out, stream []byte) {
	for _, p := range t.pieces {
		from, to := max(v.from, p.message), min(v.to, p.message+p.length)
		if from < to {
			copyRange(out, stream, from-p.message+p.stream, to-p.message+p.stream)
		}
	}
}

func copyRange(out, in []byte, from, to int) {
	to = min(to, len(in), len(out))
	if from < to {
		copy(out[from:to], in[from:to])
	}
}
