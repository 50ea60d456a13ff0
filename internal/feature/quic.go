package feature

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

const (
	quicVersion1 = 0x00000001 // RFC 9000
	quicVersion2 = 0x6b3343cf // RFC 9369

	maxCrypto  = 8192 // bytes of CRYPTO data that are put together
	maxFrames  = 64   // of one Initial packet's CRYPTO frames
	maxInitial = 8    // Initial packets of one direction that are opened
)

// quicKeys opens the Initial packets of one direction (RFC 9001 section 5).
type quicKeys struct {
	aead cipher.AEAD
	iv   []byte
	mask cipher.Block
}

// quicStream is one direction's Initial packets: their CRYPTO bytes by offset.
type quicStream struct {
	version  uint32
	fragment [maxFrames]piece // where crypto data was put; message is unused
	count    int
	data     [maxCrypto]byte
	plain    []byte
}

// initialHeader is a long header of an Initial packet (RFC 9000 section 17.2.2).
type initialHeader struct {
	version     uint32
	destination []byte // connection id
	number      int    // offset of the packet number
	end         int    // of the packet in the datagram
}

// longHeader tells whether a datagram begins with a QUIC long header, and its version.
func longHeader(datagram []byte) (version uint32, ok bool) {
	if len(datagram) < 7 || datagram[0]&0xc0 != 0xc0 || datagram[5] > 20 {
		return 0, false
	}
	version = binary.BigEndian.Uint32(datagram[1:])
	draft := version&0xffffff00 == 0xff000000 || version>>24 == 'Q' || version&0x0f0f0f0f == 0x0a0a0a0a
	return version, version == quicVersion1 || version == quicVersion2 || draft && len(datagram) >= 1200
}

// readInitial reads the header of the first packet of a datagram; false when it is no Initial of a version that can be
// opened.
func readInitial(datagram []byte) (initialHeader, bool) {
	var h initialHeader
	version, ok := longHeader(datagram)
	initialType := byte(0)
	if version == quicVersion2 {
		initialType = 1
	}
	if !ok || version != quicVersion1 && version != quicVersion2 || datagram[0]>>4&3 != initialType {
		return h, false
	}
	h.version = version
	rest := cryptobyte.String(datagram[5:])
	var destination, source cryptobyte.String
	if !rest.ReadUint8LengthPrefixed(&destination) || !rest.ReadUint8LengthPrefixed(&source) {
		return h, false
	}
	token, ok := readVarint(&rest)
	if !ok || token > uint64(len(rest)) || !rest.Skip(int(token)) {
		return h, false
	}
	length, ok := readVarint(&rest)
	if !ok || length > uint64(len(rest)) || length < 20 {
		return h, false
	}
	h.destination = destination
	h.number = len(datagram) - len(rest)
	h.end = h.number + int(length)
	return h, true
}

// readVarint reads a variable-length integer (RFC 9000 section 16).
func readVarint(s *cryptobyte.String) (uint64, bool) {
	var first uint8
	if !s.ReadUint8(&first) {
		return 0, false
	}
	value := uint64(first & 0x3f)
	for range 1<<(first>>6) - 1 {
		var next uint8
		if !s.ReadUint8(&next) {
			return 0, false
		}
		value = value<<8 | uint64(next)
	}
	return value, true
}

// newQUICKeys derives the keys of one side from the client's first destination connection id (RFC 9001 section 5.2,
// RFC 9369 section 3.3).
func newQUICKeys(version uint32, connection []byte, side string) (*quicKeys, error) {
	salt := []byte("\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a")
	prefix := "quic "
	if version == quicVersion2 {
		salt = []byte("\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9")
		prefix = "quicv2 "
	}
	initial, err := hkdf.Extract(sha256.New, connection, salt)
	if err != nil {
		return nil, err
	}
	secret, err := expandLabel(initial, side+" in", 32)
	if err != nil {
		return nil, err
	}
	var parts [3][]byte
	for i, part := range []struct {
		label  string
		length int
	}{{"key", 16}, {"iv", 12}, {"hp", 16}} {
		if parts[i], err = expandLabel(secret, prefix+part.label, part.length); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(parts[0])
	if err != nil {
		return nil, err
	}
	k := &quicKeys{iv: parts[1]}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	k.mask, err = aes.NewCipher(parts[2])
	return k, err
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
func expandLabel(secret []byte, label string, length int) ([]byte, error) {
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "...)
	info = append(info, label...)
	return hkdf.Expand(sha256.New, secret, string(append(info, 0)), length)
}

// open decrypts the Initial packet h of datagram into plain; false when the keys do not fit.
func (k *quicKeys) open(plain, datagram []byte, h initialHeader) ([]byte, bool) {
	packet := datagram[:h.end]
	var mask [aes.BlockSize]byte
	// readInitial has seen to it that 20 bytes follow: 4 for the longest packet number, 16 for the sample.
	k.mask.Encrypt(mask[:], packet[h.number+4:h.number+20])
	first := packet[0] ^ mask[0]&0x0f
	length := int(first&3) + 1
	header := append(plain[:0], packet[:h.number+length]...)
	header[0] = first
	nonce := [12]byte(k.iv)
	for i := range length {
		header[h.number+i] ^= mask[1+i]
		nonce[12-length+i] ^= header[h.number+i]
	}
	out, err := k.aead.Open(header[len(header):], nonce[:], packet[h.number+length:], header)
	return out, err == nil
}

// frames takes the CRYPTO frames out of an Initial packet's payload (RFC 9000 section 19).
func (q *quicStream) frames(payload []byte) {
	rest := cryptobyte.String(payload)
	for len(rest) > 0 {
		kind, ok := readVarint(&rest)
		if !ok {
			return
		}
		switch kind {
		case 0, 1: // PADDING, PING
		case 2, 3: // ACK
			if !skipAck(&rest, kind == 3) {
				return
			}
		case 6:
			offset, ok1 := readVarint(&rest)
			length, ok2 := readVarint(&rest)
			if !ok1 || !ok2 || length > uint64(len(rest)) {
				return
			}
			q.put(offset, rest[:length])
			rest = rest[length:]
		default: // CONNECTION_CLOSE, or what an Initial must not hold
			return
		}
	}
}

func skipAck(rest *cryptobyte.String, ecn bool) bool {
	var ranges uint64
	for i := range 4 { // largest, delay, range count, first range
		value, ok := readVarint(rest)
		if !ok {
			return false
		}
		if i == 2 {
			ranges = value
		}
	}
	more := 2 * min(ranges, uint64(len(*rest)))
	if ecn {
		more += 3
	}
	for range more {
		if _, ok := readVarint(rest); !ok {
			return false
		}
	}
	return true
}

func (q *quicStream) put(offset uint64, data []byte) {
	if offset >= maxCrypto || q.count == maxFrames || len(data) == 0 {
		return
	}
	n := copy(q.data[offset:], data)
	q.fragment[q.count] = piece{stream: int(offset), length: n}
	q.count++
}

// message returns the CRYPTO bytes from offset 0 to the first that is missing.
func (q *quicStream) message() []byte {
	end := 0
	for again := true; again; {
		again = false
		for _, f := range q.fragment[:q.count] {
			if f.stream <= end && f.stream+f.length > end {
				end, again = f.stream+f.length, true
			}
		}
	}
	return q.data[:end]
}

// read opens a direction's Initial packets and puts their CRYPTO frames together. The connection id is the client's first
// one; after a Retry it is the one in the packet itself.
func (q *quicStream) read(datagrams func(yield func([]byte) bool), connection []byte, side string) {
	q.version, q.count = 0, 0
	var keys *quicKeys
	opened := 0
	for datagram := range datagrams {
		for len(datagram) > 0 && opened < maxInitial {
			h, ok := readInitial(datagram)
			if !ok {
				break
			}
			opened++
			if q.version == 0 {
				q.version = h.version
			}
			if !q.openWith(&keys, h, datagram, connection, side) {
				var own *quicKeys
				q.openWith(&own, h, datagram, h.destination, side)
			}
			datagram = datagram[h.end:]
		}
	}
}

func (q *quicStream) openWith(keys **quicKeys, h initialHeader, datagram, connection []byte, side string) bool {
	if *keys == nil {
		k, err := newQUICKeys(h.version, connection, side)
		if err != nil {
			return false // only a broken cryptographic library gets here; the packet then stays shut
		}
		*keys = k
	}
	q.plain = slices.Grow(q.plain[:0], len(datagram))
	payload, ok := (*keys).open(q.plain, datagram, h)
	if ok {
		q.frames(payload)
	}
	return ok
}
