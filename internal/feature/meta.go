package feature

import (
	"bytes"
	"encoding/binary"
	"math"
)

// Columns of meta. A block of per-direction columns is laid out for the client and, directionColumns further, for the
// server.
const (
	columnTCP = iota
	columnUDP
	columnICMP
	columnICMPv6
	columnFamilyForward
	columnFamilyReverse
	columnOtherIP
	columnProtocol
	columnPackets
	columnByteRatio
	columnDuration
	columnFirstSpeaker
	columnTurns
	columnAnswerGap
	columnForward // the client's block begins
)

// Per-direction columns.
const (
	columnDirPackets = iota
	columnDirPayloadPackets
	columnDirBytes
	columnSize1
	columnSize2
	columnSize3
	columnSizeMean
	columnSizeMin
	columnSizeMax
	columnSizeRepeats
	columnStream
	columnEntropy
	columnPrintable
	columnZero
	columnHigh
	columnDistinct
	columnToken
	columnLineLength
	columnLineEnd
	columnLength16At0
	columnLength16At2
	columnLength16At4
	columnLength32At0
	columnLength24
	columnLittle
	columnLength8
	columnBER
	columnDNS
	columnDNSLabels
	columnDNSFirstLabel
	columnDNSKind
	columnDNSLocal
	directionColumns
)

// Columns behind the two blocks.
const (
	columnReverse = columnForward + directionColumns
)

const (
	columnTLSVersion = columnReverse + directionColumns + iota
	columnTLSCiphers
	columnTLSExtensions
	columnTLSProtocol
	columnTLSName
	columnTLSServer
	columnTLSServerVersion
	columnTLSServerCipher
	columnTLSSessionID
	columnDTLS
	columnQUIC
	columnQUICVersion
	columnTLSHelloBytes
	columnTLSSignatures
	columnTLSRecords
	columnTLSServerRecords
	columnGapForward
	columnGapReverse
	columnsUsed
)

// columnNames are written into the schema.
var columnNames = func() (names [MetaColumns]string) { //nolint:gochecknoglobals // a constant table; Go has no constants of this type
	copy(names[:], []string{
		"is TCP", "is UDP", "is ICMP", "is ICMPv6", "client: family", "server: family", "is another IP protocol", "IP protocol number",
		"packets", "client's share of payload bytes", "log1p of microseconds from first to last packet",
		"who first sent payload: 0 client, 1 server", "changes of direction between packets with payload",
		"log1p of microseconds from the first payload to the first payload of the other side",
	})
	block := []string{
		"packets", "packets with payload", "payload bytes on the wire", "first payload size", "second payload size",
		"third payload size", "mean payload size", "smallest payload size", "largest payload size",
		"share of payloads as large as the first", "bytes of the stream that are held", "entropy in bits a byte of the first 512",
		"share of printable bytes of the first 512", "share of zero bytes of the first 512", "share of bytes over 127 of the first 512",
		"distinct byte values of the first 512", "token", "bytes of the first line of text",
		"first message ends in a line feed", "bytes 0-1 less the message's size", "bytes 2-3 less the message's size",
		"bytes 4-5 less the message's size", "bytes 0-3 less the message's size", "bytes 1-3 less the message's size",
		"little-endian length: 1 bytes 0-2, 2 bytes 0-3, 3 bytes 8-9, 4 bytes 2-3", "byte 1 less the message's size",
		"BER length less the message's size", "is a DNS message", "labels of its first name",
		"bytes of its first label", "type of its first record", "its first name ends in local",
	}
	for i, name := range block {
		names[columnForward+i] = "client: " + name
		names[columnReverse+i] = "server: " + name
	}
	copy(names[columnTLSVersion:], []string{
		"TLS: highest version offered", "TLS: ciphers offered", "TLS: bytes of extensions", "TLS: first ALPN name: 1 h2, 2 http/1, 3 h3, 4 other",
		"TLS: client named a server", "TLS: server's hello is there", "TLS: version chosen", "TLS: cipher chosen",
		"TLS: bytes of session id", "is DTLS", "is QUIC", "QUIC version: 1, 2, 0 other", "TLS: bytes of the client's handshake held",
		"TLS: signature algorithms offered", "TLS: client's records", "TLS: server's records",
		"mean log1p of microseconds before client's packets", "mean log1p of microseconds before server's packets",
	})
	return names
}()

// Length relations are counted only near zero, where they mean something: a length field counts what follows it.
const nearLength = 32

func (s *Session) transport(m *[MetaColumns]float32) {
	p := s.protocol
	m[columnTCP] = bit(p == protocolTCP)
	m[columnUDP] = bit(p == protocolUDP)
	m[columnICMP] = bit(p == protocolICMP)
	m[columnICMPv6] = bit(p == protocolICMPv6)
	m[columnFamilyForward] = float32(familyOf[s.found.token[forward]])
	m[columnFamilyReverse] = float32(familyOf[s.found.token[reverse]])
	switch p {
	case protocolTCP, protocolUDP, protocolICMP, protocolICMPv6:
		m[columnOtherIP] = 0
	default:
		m[columnOtherIP] = 1
	}
	m[columnProtocol] = float32(p)
}

func (s *Session) totals(m *[MetaColumns]float32) {
	m[columnPackets] = float32(len(s.packets))
	var duration, answer float64
	var bytesOf, gaps, counts [2]float64
	speaker, last, turns, answered := -1, -1, 0, false
	for i, p := range s.packets {
		d := 0
		if p.Reverse {
			d = 1
		}
		duration += float64(p.Gap)
		if i > 0 {
			gaps[d] += math.Log1p(float64(p.Gap))
			counts[d]++
		}
		if speaker >= 0 && !answered {
			answer += float64(p.Gap)
		}
		if p.Size == 0 {
			continue
		}
		bytesOf[d] += float64(p.Size)
		switch {
		case speaker < 0:
			speaker = d
		case d != last:
			turns++
			answered = true
		}
		last = d
	}
	m[columnDuration] = float32(math.Log1p(duration))
	m[columnTurns] = float32(turns)
	if all := bytesOf[0] + bytesOf[1]; all > 0 {
		m[columnByteRatio] = float32(bytesOf[0] / all)
		m[columnFirstSpeaker] = float32(speaker)
	}
	if answered {
		m[columnAnswerGap] = float32(math.Log1p(answer))
	}
	for d, column := range [...]int{columnGapForward, columnGapReverse} {
		if counts[d] > 0 {
			m[column] = float32(gaps[d] / counts[d])
		}
	}
}

// payload fills a direction's block.
func (s *Session) payload(m *[MetaColumns]float32, d direction) {
	block := m[columnForward : columnForward+directionColumns]
	if d == reverse {
		block = m[columnReverse : columnReverse+directionColumns]
	}
	s.sizes(block, d)
	stream := s.streams[d]
	block[columnStream] = float32(len(stream))
	block[columnToken] = float32(s.found.token[d])
	block[columnDNS] = bit(s.found.dns[d].found)
	if dns := &s.found.dns[d]; dns.found {
		block[columnDNSLabels] = float32(dns.labels)
		block[columnDNSFirstLabel] = float32(dns.firstLabel)
		block[columnDNSKind] = float32(dns.kind)
		block[columnDNSLocal] = bit(dns.local)
	}
	if len(stream) == 0 {
		return
	}
	distribution(block, stream[:min(len(stream), 512)])
	if message, size := s.message(d); len(message) > 0 {
		lengths(block, message, size)
	}
}

func (s *Session) sizes(block []float32, d direction) {
	var packets, loaded, sum, repeats int
	var smallest, largest, first int32
	for _, p := range s.packets {
		if p.Reverse != (d == reverse) {
			continue
		}
		packets++
		if p.Size == 0 {
			continue
		}
		if loaded < 3 {
			block[columnSize1+loaded] = float32(p.Size)
		}
		if loaded == 0 {
			first, smallest = p.Size, p.Size
		}
		loaded++
		sum += int(p.Size)
		smallest, largest = min(smallest, p.Size), max(largest, p.Size)
		if p.Size == first {
			repeats++
		}
	}
	block[columnDirPackets] = float32(packets)
	block[columnDirPayloadPackets] = float32(loaded)
	block[columnDirBytes] = float32(sum)
	if loaded > 0 {
		block[columnSizeMean] = float32(sum) / float32(loaded)
		block[columnSizeMin] = float32(smallest)
		block[columnSizeMax] = float32(largest)
		block[columnSizeRepeats] = float32(repeats) / float32(loaded)
	}
}

// distribution fills what the frequencies of byte values say.
func distribution(block []float32, b []byte) {
	var histogram [256]uint16
	for _, c := range b {
		histogram[c]++
	}
	n := float64(len(b))
	var entropy float64
	var terms [64]float64 // of entropy, by count: most counts are small and come often
	var printable, high, distinct int
	for value, count := range histogram {
		if count == 0 {
			continue
		}
		distinct++
		slot := &terms[min(int(count), len(terms)-1)] // the last one for all greater counts
		if *slot == 0 || int(count) >= len(terms)-1 {
			share := float64(count) / n
			*slot = share * math.Log2(share)
		}
		entropy -= *slot
		switch {
		case value >= 0x80:
			high += int(count)
		case value >= ' ' && value < 0x7f, value == '\r', value == '\n', value == '\t':
			printable += int(count)
		}
	}
	block[columnEntropy] = float32(entropy)
	block[columnPrintable] = float32(float64(printable) / n)
	block[columnZero] = float32(float64(histogram[0]) / n)
	block[columnHigh] = float32(float64(high) / n)
	block[columnDistinct] = float32(distinct)
}

// lengths fills what the first message says about its own size.
func lengths(block []float32, m []byte, size int) {
	if end := bytes.IndexByte(m, '\n'); end >= 0 {
		block[columnLineLength] = float32(end + 1)
	}
	if len(m) == size {
		block[columnLineEnd] = bit(m[len(m)-1] == '\n')
	}
	if len(m) < 10 {
		return
	}
	little := binary.LittleEndian
	near := func(column, length int) {
		if difference := length - size; difference >= -nearLength && difference <= nearLength {
			block[column] = float32(difference)
		}
	}
	near(columnLength16At0, int(binary.BigEndian.Uint16(m)))
	near(columnLength16At2, int(binary.BigEndian.Uint16(m[2:])))
	near(columnLength16At4, int(binary.BigEndian.Uint16(m[4:])))
	near(columnLength32At0, int(binary.BigEndian.Uint32(m)))
	near(columnLength24, int(m[1])<<16|int(m[2])<<8|int(m[3]))
	near(columnLength8, int(m[1]))
	if m[0]&0x1f != 0 {
		near(columnBER, berLength(m))
	}
	block[columnLittle] = 0
	switch {
	case int(little.Uint32(m)&0xffffff) == size-4:
		block[columnLittle] = 1
	case int(little.Uint32(m)) == size:
		block[columnLittle] = 2
	case int(little.Uint16(m[8:])) == size:
		block[columnLittle] = 3
	case int(little.Uint16(m[2:])) == size-24:
		block[columnLittle] = 4
	}
}

// handshakes fills what TLS, DTLS and QUIC tell.
func (s *Session) handshakes(m *[MetaColumns]float32) {
	f := &s.found
	client, server := &f.tls[forward], &f.tls[reverse]
	m[columnDTLS] = bit(f.isDTLS)
	m[columnQUIC] = bit(f.isQUIC)
	if f.isQUIC {
		switch f.quicVersion {
		case quicVersion1:
			m[columnQUICVersion] = 1
		case quicVersion2:
			m[columnQUICVersion] = 2
		default:
			m[columnQUICVersion] = 0
		}
	}
	m[columnTLSServer] = bit(server.found)
	if client.found {
		h := &client.hello
		m[columnTLSVersion] = float32(h.highest)
		m[columnTLSCiphers] = float32(len(h.ciphers) / 2)
		m[columnTLSExtensions] = float32(len(h.extensions))
		m[columnTLSName] = bit(h.serverName != nil)
		m[columnTLSSessionID] = float32(h.sessionID)
		m[columnTLSHelloBytes] = float32(len(client.message))
		m[columnTLSSignatures] = float32(len(h.signatures) / 2)
		m[columnTLSRecords] = float32(len(client.records))
		if name := h.firstProtocol(); name != nil {
			m[columnTLSProtocol] = protocolClass(name)
		}
	}
	if server.found {
		m[columnTLSServerVersion] = float32(server.hello.highest)
		m[columnTLSServerRecords] = float32(len(server.records))
		if len(server.hello.ciphers) == 2 {
			m[columnTLSServerCipher] = float32(binary.BigEndian.Uint16(server.hello.ciphers))
		}
	}
}

func protocolClass(name []byte) float32 {
	switch {
	case string(name) == "h2":
		return 1
	case bytes.HasPrefix(name, []byte("http/1")):
		return 2
	case bytes.HasPrefix(name, []byte("h3")):
		return 3
	}
	return 4
}
