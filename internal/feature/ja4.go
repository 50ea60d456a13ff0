package feature

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// ja4 returns the JA4 fingerprint of a ClientHello (github.com/FoxIO-LLC/ja4, technical_details/JA4.md): transport is 't',
// 'd' or 'q'. It does not depend on the order in which extensions were sent.
func ja4(h *hello, transport byte) string {
	ciphers := values(h.ciphers)
	var kinds []uint16
	extensions := 0
	rest := cryptobyte.String(h.extensions)
	for {
		var kind uint16
		var body cryptobyte.String
		if !rest.ReadUint16(&kind) || !rest.ReadUint16LengthPrefixed(&body) {
			break
		}
		if grease(kind) {
			continue
		}
		extensions++
		if kind != extensionServerName && kind != extensionALPN {
			kinds = append(kinds, kind)
		}
	}
	name := byte('i')
	if h.serverName != nil {
		name = 'd'
	}
	slices.Sort(ciphers)
	slices.Sort(kinds)
	last := list(kinds)
	if signatures := values(h.signatures); len(signatures) > 0 && extensions > 0 {
		last += "_" + list(signatures)
	}
	return fmt.Sprintf("%c%s%c%02d%02d%s_%s_%s", transport, ja4Version(h.highest), name, min(len(ciphers), 99), min(extensions, 99),
		ja4Protocol(h.firstProtocol()), shortHash(list(ciphers)), shortHash(last))
}

// values reads a list of 16-bit values, GREASE left out.
func values(raw []byte) []uint16 {
	var out []uint16
	for ; len(raw) >= 2; raw = raw[2:] {
		if v := binary.BigEndian.Uint16(raw); !grease(v) {
			out = append(out, v)
		}
	}
	return out
}

func list(values []uint16) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprintf("%04x", v)
	}
	return strings.Join(words, ",")
}

func shortHash(of string) string {
	if of == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:6])
}

func ja4Version(version uint16) string {
	switch version {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	case 0xfeff:
		return "d1"
	case 0xfefd:
		return "d2"
	case 0xfefc:
		return "d3"
	}
	return "00"
}

// ja4Protocol is the first and the last character of the first ALPN name, of their hexadecimal form if one of them is
// neither letter nor digit.
func ja4Protocol(name []byte) string {
	if len(name) == 0 {
		return "00"
	}
	first, last := name[0], name[len(name)-1]
	if alphanumeric(first) && alphanumeric(last) {
		return string([]byte{first, last})
	}
	digits := hex.EncodeToString([]byte{first, last})
	return digits[:1] + digits[3:]
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
