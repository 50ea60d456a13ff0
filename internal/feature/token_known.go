package feature

import (
	"bytes"
	"encoding/binary"
)

// rakNetMagic marks the messages of RakNet that open a connection.
const rakNetMagic = "\x00\xff\xff\x00\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78"

// protocolToken names IP protocols without ports.
func protocolToken(protocol uint8) token {
	switch protocol {
	case protocolICMP:
		return tokenICMP
	case protocolICMPv6:
		return tokenICMPv6
	case protocolIGMP:
		return tokenIGMP
	case protocolSCTP:
		return tokenSCTP
	case protocolESP:
		return tokenESP
	case protocolAH:
		return tokenAH
	case protocolGRE:
		return tokenGRE
	case protocolOSPF:
		return tokenOSPF
	case protocolPIM:
		return tokenPIM
	case protocolVRRP:
		return tokenVRRP
	case protocolEIGRP:
		return tokenEIGRP
	case protocolIPIP:
		return tokenIPIP
	case protocolIPv6:
		return token6in4
	}
	return tokenNone
}

// dialogueToken tells apart what begins with the same word, by what follows it. The stream begins with the message.
func dialogueToken(m, stream []byte) token {
	stream = stream[:min(len(stream), 1024)]
	has := func(words ...string) bool {
		for _, word := range words {
			if bytes.Contains(stream, []byte(word)) {
				return true
			}
		}
		return false
	}
	switch {
	case startsWith(m, 0, "220 "), startsWith(m, 0, "220-"):
		switch {
		case has("FTP", "\n331", "\n530 ", "\n230", "\n234", "\n215 ") && !has("SMTP"):
			return tokenFTP
		case has("SMTP", "\n250", "\n354", "\n503 "):
			return tokenSMTP
		}
		return token220
	case startsWith(m, 0, "NOTICE AUTH "):
		return tokenIRC
	case startsWith(m, 0, "user "), startsWith(m, 0, "AUTH\r\n"), startsWith(m, 0, "auth "):
		return tokenMailCommand
	case startsWith(m, 0, "USER "):
		line, _, _ := bytes.Cut(m, []byte("\n"))
		switch {
		case has("\nNICK", "\nJOIN") || bytes.Count(line, []byte(" ")) >= 4: // USER name mode unused :real name (RFC 2812 section 3.1.3)
			return tokenIRC
		case has("\nSYST", "\nFEAT", "\nTYPE", "\nPASV", "\nPORT", "\nCWD", "\nPWD", "\nLIST", "\nEPSV"):
			return tokenFTP
		}
		return tokenUser
	case startsWith(m, 0, "PASS "):
		if has("\nNICK") {
			return tokenIRC
		}
		return tokenUser
	case m[0] == ':' && (has(" NOTICE ", " 001 ", " PRIVMSG ", " JOIN ", " 020 ")):
		return tokenIRC
	case startsWith(m, 0, "CONNECT ") && has("{"):
		return tokenNATS
	case startsWith(m, 0, "<?xml"), startsWith(m, 0, "<soap"), startsWith(m, 0, "<s:"), startsWith(m, 0, "<SOAP"):
		switch {
		case has("stream:stream"):
			return tokenXMPP
		case has(":Envelope"):
			return tokenSOAP
		}
		return tokenXML
	case m[0] == '{' && (m[1] == '"' || m[1] == ' ' || m[1] == '\n' || m[1] == '\r'):
		if has("mining.", "eth_", "\"xmr", "\"algo\"") || has("\"jsonrpc\"") && has("\"login\"", "\"job\"", "\"result\":[\"0x", "worker") {
			return tokenStratum
		}
		return tokenJSON
	case m[0] == 'd' && m[1] >= '1' && m[1] <= '9' && m[2] == ':': // a bencoded dictionary with one-letter keys
		return tokenDHT
	case startsWith(m, 0, "WA") && m[2] <= 6 && m[3] <= 5:
		return tokenWhatsApp
	}
	return tokenNone
}

// berToken tells SNMP (RFC 3416) and LDAP (RFC 4511) from other BER sequences, by the elements inside.
func berToken(m []byte, size int) token {
	at := 2
	if m[1]&0x80 != 0 {
		at += int(m[1] & 0x7f)
	}
	if whole := berLength(m); whole > size && len(m) == size || len(m) < at+5 || m[at] != 2 || m[at+1] == 0 || m[at+1] > 5 {
		if whole == size || len(m) < size {
			return tokenBER
		}
		return tokenNone
	}
	inner := at + 2 + int(m[at+1])
	if inner >= len(m) {
		return tokenBER
	}
	switch kind := m[inner]; {
	case m[at+1] == 1 && m[at+2] <= 3 && (kind == 4 || kind == 0x30):
		return tokenSNMP
	case kind >= 0x60 && kind <= 0x79, kind == 0x42, kind == 0x4a, kind == 0x50:
		return tokenLDAP
	}
	return tokenBER
}

// tpktToken tells what travels in TPKT (RFC 1006).
func tpktToken(m []byte) token {
	if len(m) < 8 {
		return tokenTPKT
	}
	switch {
	case m[4] == 8 && m[5] >= 1 && m[5] <= 2: // Q.931
		return tokenH323
	case m[5] == 0xf0 && (m[7] == 0x32 || m[7] == 0x72):
		return tokenS7
	case m[5]&0xf0 == 0xe0 || m[5]&0xf0 == 0xd0:
		rest := m[min(len(m), 11):]
		switch {
		case bytes.Contains(rest, []byte("mstshash")), len(rest) >= 4 && rest[0] >= 1 && rest[0] <= 3 && rest[2] == 8 && rest[3] == 0:
			return tokenRDP
		case bytes.IndexByte(rest, 0xc1) >= 0 && bytes.IndexByte(rest, 0xc2) >= 0:
			return tokenS7
		}
	}
	return tokenTPKT
}

// moreStreams knows what is only sent over TCP and has no fixed beginning.
func moreStreams(m []byte, size int) token {
	be16, be32, le32 := binary.BigEndian.Uint16, binary.BigEndian.Uint32, binary.LittleEndian.Uint32
	n := len(m)
	if n < 9 {
		return tokenNone
	}
	switch {
	case synchrophasor(m, size):
		return tokenSynchrophasor
	case m[0] == 0x68 && m[1] >= 4 && (int(m[1]) == size-2 || int(m[1]) < size-2 && n > int(m[1])+2 && m[int(m[1])+2] == 0x68):
		return tokenIEC104
	case be16(m) == uint16(size-2) && m[2] == 4 && size > 200:
		return tokenRLPx
	case n >= 16 && int(be16(m)) == size-2 && openVPN(m[2:], size-2):
		return tokenOpenVPN
	case (m[0] == 0x81 || m[0] == 0x82 || m[0] == 0x83) && m[1] == 0 && int(be16(m[2:])) == size-4:
		return tokenNBSS
	case n >= 12 && m[0] == 0xff && m[9] == 0x7f:
		return tokenZMTP
	case n >= 9 && (m[0] >= 1 && m[0] <= 5 || m[0] >= 0x81 && m[0] <= 0x85) && m[4] <= 0x10 && int(be32(m[5:])) == size-9:
		return tokenCassandra
	case n >= 16 && m[0] <= 1 && m[1] >= 1 && m[1] <= 8 && be32(m[12:]) == 0 && int(be32(m[8:])) == size-16:
		return tokenDSI
	case n >= 12 && m[0]>>4 == 0xc && m[1] >= 1 && m[1] <= 3 && int(be32(m[8:])) == size-12:
		return tokenTACACS
	case n >= 20 && m[0] == 1 && int(be32(m)&0xffffff) == size && m[4]&0x0f == 0:
		return tokenDiameter
	case m[1] < 0x20 && int(be16(m)) == size && m[4] >= 1 && m[4] <= 14 && m[2] == 0 && m[3] == 0:
		return tokenTNS
	case n >= 14 && int(be32(m)) == size-4 && be16(m[4:]) <= 68 && be16(m[6:]) <= 16 && kafkaClient(m, size):
		return tokenKafka
	case n >= 12 && int(le32(m)) == size-8 && le32(m[4:]) <= 22 && le32(m[8:]) <= 0x160:
		return tokenSkinny
	case m[0] >= 1 && m[0] <= 3 && m[1] == 0 && size == n && m[n-1] == 0xce && int(be32(m[3:])) <= size-8:
		return tokenAMQP
	case (m[0] == 0xe3 || m[0] == 0xc5 || m[0] == 0xd4) && int(le32(m[1:])) == size-5:
		return tokenEDonkey
	case n >= 38 && m[0] == 0 && m[1] == 0 && int(le32(m[2:])) == size-6:
		return tokenADS
	case m[0] == 1 && m[1] <= 2 && m[2] <= 4 && int(be16(m[6:])) == size:
		return tokenHARTIP
	case m[0] == 3 && size >= 1400 && (be32(m[5:]) == 0 || m[5] == 0x80):
		return tokenRTMP
	case m[0] == 0x17 && m[1] == 0x24, m[0] == 0 && m[1] == 0x17 && m[2] == 0x24:
		return tokenTeamViewer
	}
	return tokenNone
}

// synchrophasor reads the frame of IEEE C37.118.2: its size stands behind the type.
func synchrophasor(m []byte, size int) bool {
	return len(m) >= 14 && m[0] == 0xaa && m[1]>>4 <= 5 && m[1]&15 >= 1 && m[1]&15 <= 2 && int(binary.BigEndian.Uint16(m[2:])) <= size && binary.BigEndian.Uint16(m[2:]) >= 16
}

// kafkaClient reads the name of the client in a Kafka request's header.
func kafkaClient(m []byte, size int) bool {
	length := int(int16(binary.BigEndian.Uint16(m[12:])))
	if length == -1 {
		return true
	}
	if length < 1 || length > 128 || 14+length > size || 14+length > len(m) {
		return false
	}
	for _, c := range m[14 : 14+length] {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// openVPN tells the first packets of a connection: a hard reset, plain or behind an HMAC of SHA-1, SHA-256 or SHA-512.
func openVPN(m []byte, size int) bool {
	switch m[0] {
	case 1 << 3, 2 << 3, 7 << 3, 8 << 3, 10 << 3:
	default:
		return false
	}
	switch {
	case len(m) < 14:
		return false
	case size == 14: // nothing acknowledged, packet 0
		return m[9] == 0 && binary.BigEndian.Uint32(m[10:]) == 0
	case size == 26: // one acknowledged
		return m[9] == 1
	}
	for _, digest := range [...]int{16, 20, 28, 32, 48, 64} {
		if size == 14+8+digest || size == 26+8+digest {
			return true
		}
	}
	return m[0] == 10<<3 && size > 60 || m[9] == 0 && binary.BigEndian.Uint32(m[10:]) == 0
}

// moreDatagrams knows what is only sent over UDP, by length fields and constants in more than one place.
func moreDatagrams(m []byte, size int) token {
	be16, be32, le32 := binary.BigEndian.Uint16, binary.BigEndian.Uint32, binary.LittleEndian.Uint32
	n := len(m)
	switch {
	case m[0] == 0xff && m[1] == 0xff && m[2] == 0xff && m[3] == 0xff:
		return tokenOOB
	case n >= 13 && m[9] == 'Q' && m[10] == '0' && m[0]&8 != 0:
		return tokenGQUIC
	case n >= 20 && m[0] <= 1 && m[1] >= 1 && m[1] <= 0x18 && int(be16(m[2:])) == size-20 && size%4 == 0 && m[0]&1|m[1]&0x10 != 0x10:
		return tokenSTUN // without the cookie, as in RFC 3489
	case m[0] >= 0x40 && m[0] <= 0x4f && size > 8 && (int(be16(m[2:])) == size-4 || (int(be16(m[2:]))+3)&^3 == size-4):
		return tokenChannel // RFC 8656 section 12.4
	case n >= 24 && m[2] <= 2 && m[3] >= 1 && m[3] <= 16 && m[12] >= 1 && m[12] <= 8 && (m[15] == 0 || m[15] == 4) && m[16] == 0 && m[17] == 0 &&
		be32(m[16:]) >= 12 && (m[3] == 1 && int(be32(m[16:])) == size-12 || m[3] > 1 && int(be32(m[16:])) < size-12):
		return tokenPhoton
	case synchrophasor(m, size):
		return tokenSynchrophasor
	case n >= 99 && m[96] <= 1 && m[97] >= 1 && m[97] <= 6 && m[98] >= 0xc0:
		return tokenDiscv4
	case n >= 14 && openVPN(m, size):
		return tokenOpenVPN
	case n >= 5 && (m[0] == 2 && m[1] >= 1 && m[1] <= 11 && int(be32(m[1:])&0xffffff) == size || n >= 12 && m[0] == 1 && m[1] >= 1 && m[1] <= 10 && int(be16(m[2:])) == size && m[4] == 0 && m[6] >= 'a' && m[6] <= 'z' && m[7] >= 'a' && m[7] <= 'z'):
		return tokenSLP
	case n >= 24 && size%20 == 4 && (m[0] == 1 || m[0] == 2) && (m[1] == 1 || m[1] == 2) && m[2] == 0 && m[3] == 0:
		return tokenRIP
	case size == 20 && n == 20 && m[0] == 0 && m[1] <= 2 && m[7] == 0:
		return tokenHSRP
	case n >= 34 && m[1]&15 == 2 && int(be16(m[2:])) == size && (m[0]&15 <= 3 || m[0]&15 >= 8 && m[0]&15 <= 13):
		return tokenPTP
	case n >= 24 && be16(m) == 5 && be16(m[2:]) >= 1 && size == 24+48*int(be16(m[2:])), n >= 20 && be16(m) == 9 && be16(m[2:]) >= 1 && be16(m[2:]) < 64 && size > 24,
		n >= 20 && be16(m) == 10 && int(be16(m[2:])) == size:
		return tokenNetFlow
	case n >= 28 && be32(m) == 5 && (be32(m[4:]) == 1 || be32(m[4:]) == 2):
		return tokenSFlow
	case n >= 12 && m[0]&0xc8 == 0xc8 && m[1]&15 == 2 && int(be16(m[2:])) == size:
		return tokenL2TP
	case n >= 16 && m[0] >= 0x10 && m[0] <= 0x16 && m[14] == 0x20 && size > 60:
		return tokenNBDGM
	case n >= 24 && m[4] >= 81 && m[4] <= 84 && int(le32(m[20:])) == size-24:
		return tokenKCP
	case (m[0] == 0xe3 || m[0] == 0xe4 || m[0] == 0xc5) && m[1] >= 0x10 && size <= 64:
		return tokenEDonkey
	case n >= 10 && (m[0] == 0x80 || m[0] == 0xc0 || m[0] == 0xc1) && m[1] == 0 && m[2] == 2 && (m[3] == 0 || m[6] == 0):
		return tokenFINS
	case n >= 8 && m[0] == 1 && m[1] <= 2 && m[2] <= 4 && int(be16(m[6:])) == size:
		return tokenHARTIP
	case n >= 80 && m[0] == 4 && m[1] <= 19 && (int(be16(m[74:])) == size-80 || int(binary.LittleEndian.Uint16(m[74:])) == size-80):
		return tokenDCERPC
	case n >= 8 && m[0]&0xc0 == 0x80 && m[1] >= 200 && m[1] <= 207 && (int(be16(m[2:]))+1)*4 <= size:
		return tokenRTCP
	case n >= 20 && (m[0] == 0x41 && (size == 20 || size == 30) || m[0] == 0x21 || m[0] == 0x11) && m[1] <= 2 && size <= 40 && be16(m[16:]) != 0 && be32(m[12:]) != 0:
		return tokenUTP
	}
	return tokenNone
}

// isRTP tells whether a direction's datagrams follow one another as RTP's do (RFC 3550 section 5.1): of one source and, but for
// markers, one type, numbered one by one or nearly.
func (s *Session) isRTP(d direction) bool {
	var source uint32
	var sequence uint16
	seen := 0
	for datagram := range s.datagrams(d) {
		if len(datagram) < 12 || datagram[0]>>6 != 2 || datagram[1] >= 192 && datagram[1] <= 223 {
			return false
		}
		next, from := binary.BigEndian.Uint16(datagram[2:]), binary.BigEndian.Uint32(datagram[8:])
		if seen > 0 && (from != source || next-sequence > 8 && sequence-next > 8) {
			return false
		}
		source, sequence = from, next
		if seen++; seen == 3 {
			return true
		}
	}
	return false
}

// token tells the relatives of DNS apart: by what their documents say that differs, never by ports.
func (m *dnsMessage) token(b []byte) token {
	if m.stream {
		b = b[2:]
	}
	id, flags := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	const answer, recursion = 0x8000, 0x0100
	switch {
	case m.labels >= 1 && m.firstLabel == 32 && (m.kind == 0x20 || m.kind == 0x21) && nbns(b[13:min(45, len(b))]):
		return tokenNBNS
	case bytes.Contains(b[:min(len(b), m.end)], []byte("\x0ddnscrypt-cert")):
		return tokenDNSCrypt
	case m.local, m.class&0x8000 != 0, id == 0 && (flags == 0 || flags == 0x8400):
		return tokenMDNS
	case flags&0x7f00&^0x0600 == 0 && m.labels == 1 && flags&recursion == 0 && flags&0xff == 0: // RFC 4795 section 2.1.1
		return tokenLLMNR
	}
	return tokenDNS
}

// nbns tells a name of NetBIOS, which is written with the letters A to P (RFC 1001 section 14.1).
func nbns(name []byte) bool {
	for _, c := range name {
		if c < 'A' || c > 'P' {
			return false
		}
	}
	return len(name) == 32
}
