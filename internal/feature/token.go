package feature

import (
	"bytes"
	"encoding/binary"
)

// token names how a direction's first message begins, by what protocols' own documents say that they begin with. It is
// one feature among many: a model learns what follows from it. Zero is none of them.
type token uint8

// Tokens. Their numbers are part of the schema: new ones come last.
const (
	tokenNone token = iota
	tokenHTTPRequest
	tokenHTTPResponse
	tokenSSH
	tokenHello
	token220
	tokenPlusOK
	tokenStarOK
	tokenUser
	tokenSIP
	tokenRTSP
	tokenSSDP
	tokenXMPP
	tokenRFB
	tokenAMQP
	tokenMQTTConnect
	tokenMQTTAnswer
	tokenRESPArray
	tokenRESPReply
	tokenBitTorrent
	tokenDHT
	tokenGnutella
	tokenSMB
	tokenTLS
	tokenTLSData
	tokenDTLS
	tokenQUIC
	tokenSTUN
	tokenDHCP
	tokenDHCPv6
	tokenTPKT
	tokenSOCKS
	tokenDCERPC
	tokenBER
	tokenKerberos
	tokenModbus
	tokenDNP3
	tokenBACnet
	tokenENIP
	tokenNTP
	tokenMySQL
	tokenPostgres
	tokenTDS
	tokenMongo
	tokenSyslog
	tokenRADIUS
	tokenIKE
	tokenTFTP
	tokenWireGuard
	tokenCoAP
	tokenRTP
	tokenGTP
	tokenVXLAN
	tokenRPC
	tokenMailCommand
	tokenIMAPCommand
	tokenTelnet
	tokenText
	tokenLDAP
	tokenSNMP
	tokenOPCUA
	tokenSynchrophasor
	tokenIRC
	tokenFTP
	tokenSMTP
	tokenWhatsApp
	tokenTelegram
	tokenLevin
	tokenBitcoin
	tokenStratum
	tokenDiscv4
	tokenRLPx
	tokenElastic
	tokenCassandra
	tokenMemcached
	tokenBGP
	tokenPPTP
	tokenL2TP
	tokenOpenVPN
	tokenDNSCrypt
	tokenDNS
	tokenLLMNR
	tokenMDNS
	tokenNBNS
	tokenNBSS
	tokenNBDGM
	tokenTracker
	tokenUTP
	tokenTeamViewer
	tokenTeamSpeak
	tokenRakNet
	tokenOOB
	tokenPia
	tokenKCP
	tokenSteam
	tokenWoW
	tokenIBMMQ
	tokenNATS
	tokenSTOMP
	tokenZMTP
	tokenKafka
	tokenGit
	tokenRsync
	tokenListing
	tokenJSON
	tokenXML
	tokenSOAP
	tokenMGCP
	tokenRDP
	tokenS7
	tokenH323
	tokenIEC104
	tokenSkinny
	tokenTNS
	tokenSLP
	tokenTACACS
	tokenDiameter
	tokenNetFlow
	tokenSFlow
	tokenRIP
	tokenHSRP
	tokenPTP
	tokenRTCP
	tokenRTPRun
	tokenGQUIC
	tokenDSI
	tokenESP
	tokenAH
	tokenGRE
	tokenIPIP
	token6in4
	tokenOSPF
	tokenPIM
	tokenVRRP
	tokenEIGRP
	tokenICMP
	tokenICMPv6
	tokenIGMP
	tokenSCTP
	tokenEDonkey
	tokenSyncthing
	tokenADS
	tokenFINS
	tokenHARTIP
	tokenRTMP
	tokenPhoton
	tokenChannel
	tokens // how many there are
)

// tokenNames are written into the schema.
var tokenNames = [tokens]string{ //nolint:gochecknoglobals // a constant table; Go has no constants of this type
	"none", "http-request", "http-response", "ssh", "ehlo", "220", "+ok", "*ok", "user", "sip", "rtsp", "ssdp", "xmpp", "rfb",
	"amqp", "mqtt-connect", "mqtt-answer", "resp-array", "resp-reply", "bittorrent", "dht", "gnutella", "smb", "tls", "tls-data",
	"dtls", "quic", "stun", "dhcp", "dhcpv6", "tpkt", "socks", "dcerpc", "ber", "kerberos", "modbus", "dnp3", "bacnet", "enip",
	"ntp", "mysql", "postgres", "tds", "mongo", "syslog", "radius", "ike", "tftp", "wireguard", "coap", "rtp", "gtp", "vxlan",
	"rpc", "mail-command", "imap-command", "telnet", "text",
	"ldap", "snmp", "opcua", "synchrophasor", "irc", "ftp", "smtp", "whatsapp", "telegram", "levin", "bitcoin", "stratum",
	"ethereum-discovery", "ethereum-rlpx", "elastic", "cassandra", "memcached", "bgp", "pptp", "l2tp", "openvpn", "dnscrypt", "dns", "llmnr",
	"mdns", "nbns", "nbss", "nbdgm", "tracker", "utp", "teamviewer", "teamspeak", "raknet", "quake", "pia", "kcp",
	"steam", "wow", "ibmmq", "nats", "stomp", "zmtp", "kafka", "git", "rsync", "listing", "json", "xml",
	"soap", "mgcp", "rdp", "s7comm", "h323", "iec104", "skinny", "tns", "slp", "tacacs", "diameter", "netflow",
	"sflow", "rip", "hsrp", "ptp", "rtcp", "rtp-run", "gquic", "afp", "esp", "ah", "gre", "ip-in-ip",
	"6in4", "ospf", "pim", "vrrp", "eigrp", "icmp", "icmpv6", "igmp", "sctp", "edonkey", "syncthing", "ads", "fins", "hart-ip", "rtmp", "photon", "turn-channel",
}

// opening is a fixed beginning.
type opening struct {
	token token
	at    int
	bytes string
}

// openings are tried in order, for TCP and UDP alike.
var openings = [...]opening{ //nolint:gochecknoglobals // a constant table; Go has no constants of this type
	{tokenSSH, 0, "SSH-"},
	{tokenHello, 0, "EHLO "}, {tokenHello, 0, "HELO "}, {tokenHello, 0, "LHLO "}, {tokenHello, 0, "ehlo "}, {tokenHello, 0, "helo "},
	{tokenPlusOK, 0, "+OK "},
	{tokenStarOK, 0, "* OK"}, {tokenStarOK, 0, "* PREAUTH"}, {tokenStarOK, 0, "* BYE"},
	{tokenSIP, 0, "SIP/2.0 "},
	{tokenRTSP, 0, "RTSP/1.0 "},
	{tokenSSDP, 0, "M-SEARCH * "}, {tokenSSDP, 0, "NOTIFY * "},
	{tokenHTTPResponse, 0, "HTTP/1."},
	{tokenXMPP, 0, "<stream:"}, {tokenXMPP, 0, "</stream:"}, {tokenXMPP, 0, "<iq "}, {tokenXMPP, 0, "<presence"}, {tokenXMPP, 0, "<message "},
	{tokenRFB, 0, "RFB 00"},
	{tokenAMQP, 0, "AMQP"},
	{tokenBitTorrent, 0, "\x13BitTorrent protocol"},
	{tokenTracker, 0, "\x00\x00\x04\x17\x27\x10\x19\x80"},
	{tokenGnutella, 0, "GNUTELLA"}, {tokenGnutella, 0, "GND"},
	{tokenSMB, 4, "\xffSMB"}, {tokenSMB, 4, "\xfeSMB"}, {tokenSMB, 4, "\xfdSMB"},
	{tokenSTUN, 4, "\x21\x12\xa4\x42"},
	{tokenDHCP, 236, "\x63\x82\x53\x63"},
	{tokenDNP3, 0, "\x05\x64"},
	{tokenPostgres, 4, "\x00\x03\x00\x00"}, {tokenPostgres, 4, "\x04\xd2\x16\x2f"}, {tokenPostgres, 4, "\x04\xd2\x16\x2e"},
	{tokenIRC, 0, "NICK "}, {tokenIRC, 0, "CAP LS"}, {tokenIRC, 0, "PING :"}, {tokenIRC, 0, "ERROR :"},
	{tokenOPCUA, 0, "HELF"}, {tokenOPCUA, 0, "ACKF"}, {tokenOPCUA, 0, "OPNF"}, {tokenOPCUA, 0, "MSGF"}, {tokenOPCUA, 0, "CLOF"}, {tokenOPCUA, 0, "ERRF"},
	{tokenWhatsApp, 0, "ED\x00\x01"}, {tokenTelegram, 16, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
	{tokenLevin, 0, "\x01\x21\x01\x01\x01\x01\x01\x01"}, {tokenBitcoin, 0, "\xf9\xbe\xb4\xd9"},
	{tokenElastic, 0, "ES\x00\x00"}, {tokenSyncthing, 0, "\x2e\xa7\xd9\x0b"}, {tokenFINS, 0, "FINS\x00\x00"},
	{tokenBGP, 0, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
	{tokenPPTP, 4, "\x1a\x2b\x3c\x4d"}, {tokenDNSCrypt, 0, "r6fnvWj8"}, {tokenTeamSpeak, 0, "TS3INIT1"},
	{tokenRakNet, 1, rakNetMagic}, {tokenRakNet, 9, rakNetMagic}, {tokenRakNet, 17, rakNetMagic},
	{tokenPia, 0, "\x32\xab\x98\x64"}, {tokenSteam, 0, "VS01"}, {tokenWoW, 2, "WORLD OF WARCRAFT"},
	{tokenIBMMQ, 0, "TSH "}, {tokenNATS, 0, "INFO {"}, {tokenNATS, 0, "CONNECT {"},
	{tokenSTOMP, 0, "STOMP\n"}, {tokenSTOMP, 0, "CONNECT\n"}, {tokenSTOMP, 0, "CONNECTED\n"},
	{tokenMemcached, 0, "stats\r\n"}, {tokenMemcached, 0, "VALUE "}, {tokenMemcached, 0, "STORED\r\n"}, {tokenMemcached, 0, "STAT "}, {tokenMemcached, 0, "get "}, {tokenMemcached, 0, "set "},
	{tokenGit, 4, "git-upload-pack "}, {tokenGit, 4, "git-receive-pack "}, {tokenRsync, 0, "@RSYNCD:"},
	{tokenListing, 0, "drwx"}, {tokenListing, 0, "-rw-"}, {tokenListing, 0, "lrwx"}, {tokenListing, 0, "total "},
	{tokenMailCommand, 0, "CAPA\r\n"}, {tokenMailCommand, 0, "AUTH "}, {tokenMailCommand, 0, "STLS\r\n"}, {tokenMailCommand, 0, "QUIT"},
}

// methods are the request words of HTTP (RFC 9110 section 9, RFC 5789, RFC 4918) and of its relatives.
var methods = [...]string{ //nolint:gochecknoglobals // a constant table; Go has no constants of this type
	"GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PROPFIND ", "INVITE ", "REGISTER ",
	"SUBSCRIBE ", "NOTIFY ", "MESSAGE ", "ACK ", "BYE ", "CANCEL ", "INFO ", "PUBLISH ", "DESCRIBE ", "SETUP ", "PLAY ", "SEARCH ",
}

// tokenOf looks at a direction's first message, of which size bytes were on the wire. The stream goes on behind it.
func tokenOf(protocol uint8, m []byte, size int, stream []byte) token {
	if len(m) < 4 || protocol != protocolTCP && protocol != protocolUDP && protocol != protocolSCTP {
		return protocolToken(protocol)
	}
	for _, method := range methods {
		if m[0] == method[0] && startsWith(m, 0, method) {
			if t := requestLine(m); t != tokenNone {
				return t
			}
		}
	}
	for i := range openings {
		if o := &openings[i]; o.at < len(m) && m[o.at] == o.bytes[0] && startsWith(m, o.at, o.bytes) {
			if o.token == tokenHTTPResponse && protocol == protocolUDP { // an answer to M-SEARCH
				return tokenSSDP
			}
			return o.token
		}
	}
	if t := dialogueToken(m, stream); t != tokenNone {
		return t
	}
	if m[0] == 0x30 && berLength(m) == size {
		return berToken(m, size)
	}
	binaryToken := streamToken
	if protocol == protocolUDP {
		binaryToken = datagramToken
	}
	if t := binaryToken(m, size); t != tokenNone {
		return t
	}
	if t := lengthToken(m, size); t != tokenNone {
		return t
	}
	return textToken(m)
}

func startsWith(m []byte, at int, word string) bool {
	return len(m) >= at+len(word) && string(m[at:at+len(word)]) == word
}

// requestLine tells HTTP, SIP, RTSP and SSDP apart by the line's last word; one that was cut short is taken for HTTP.
func requestLine(m []byte) token {
	line, _, whole := bytes.Cut(m, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	word := line[bytes.LastIndexByte(line, ' ')+1:]
	switch {
	case startsWith(m, 0, "NOTIFY * "):
		return tokenSSDP
	case startsWith(word, 0, "HTTP/"):
		return tokenHTTPRequest
	case startsWith(word, 0, "SIP/"):
		return tokenSIP
	case startsWith(word, 0, "RTSP/"):
		return tokenRTSP
	case !whole && startsWith(m, 0, "GET /"), !whole && startsWith(m, 0, "POST /"):
		return tokenHTTPRequest
	}
	return tokenNone
}

// streamToken knows what is only sent over TCP.
func streamToken(m []byte, size int) token {
	be16 := binary.BigEndian.Uint16
	switch {
	case m[0] == 22 && m[1] == 3 && m[2] <= 4:
		return tokenTLS
	case (m[0] == 20 || m[0] == 21 || m[0] == 23) && m[1] == 3 && m[2] <= 4:
		return tokenTLSData
	case mqttConnect(m):
		return tokenMQTTConnect
	case m[0] == 0x20 && (m[1] == 2 && size == 4 || int(m[1]) == size-2 && m[2] <= 1 && size > 4):
		return tokenMQTTAnswer
	case m[0] == '*' && m[1] >= '0' && m[1] <= '9' && bytes.Contains(m[:min(len(m), 8)], []byte("\r\n")):
		return tokenRESPArray
	case bytes.IndexByte([]byte("+-:$%"), m[0]) >= 0 && bytes.HasSuffix(m[:min(len(m), size)], []byte("\r\n")):
		return tokenRESPReply
	case m[0] == 3 && m[1] == 0 && be16(m[2:]) >= 7:
		return tpktToken(m)
	case m[0] == 5 && m[1] == 0 && len(m) >= 10 && (m[4] == 0x10 || m[4] == 0):
		return tokenDCERPC
	case m[0] == 5 && m[1] >= 1 && int(m[1]) == size-2, m[0] == 4 && (m[1] == 1 || m[1] == 2) && size >= 9 && m[size0(m, size)-1] == 0:
		return tokenSOCKS
	case len(m) >= 8 && be16(m[2:]) == 0 && int(be16(m[4:])) == size-6:
		return tokenModbus
	case len(m) >= 24 && int(binary.LittleEndian.Uint16(m[2:])) == size-24 && (m[0] == 0x65 || m[0] == 0x63 || m[0] == 0x6f || m[0] == 4):
		return tokenENIP
	case len(m) >= 12 && m[3] == 0 && (m[4] == 10 && m[5] >= '3' && m[5] <= '9' || m[4] == 0xff && int(m[0])|int(m[1])<<8 == size-4):
		return tokenMySQL
	case len(m) >= 8 && m[0] >= 1 && m[0] <= 0x12 && m[1] <= 0x0f && int(be16(m[2:])) == size && m[7] == 0:
		return tokenTDS
	case len(m) >= 16 && int(binary.LittleEndian.Uint32(m)) == size && (m[12] >= 0xd0 && m[13] == 7 || m[12] == 1 && m[13] == 0) && m[14] == 0 && m[15] == 0:
		return tokenMongo
	case len(m) >= 12 && m[0] == 0x80 && int(be16(m[2:])) == size-4 && binary.BigEndian.Uint32(m[8:]) <= 1:
		return tokenRPC
	case len(m) >= 10 && int(binary.BigEndian.Uint32(m)) == size-4 && kerberosTag(m[4]):
		return tokenKerberos
	case m[0] == 0xff && m[1] >= 0xfa && m[1] <= 0xfe:
		return tokenTelnet
	}
	return moreStreams(m, size)
}

func size0(m []byte, size int) int { return max(1, min(len(m), size)) }

// mqttConnect reads an MQTT CONNECT (OASIS MQTT 5.0 section 3.1): its protocol name follows the remaining length.
func mqttConnect(m []byte) bool {
	if m[0] != 0x10 {
		return false
	}
	at := 2
	for at < 5 && at < len(m) && m[at-1]&0x80 != 0 {
		at++
	}
	return startsWith(m, at, "\x00\x04MQTT") || startsWith(m, at, "\x00\x06MQIsdp")
}

// kerberosTag tells the application tags of Kerberos messages (RFC 4120 section 5.10).
func kerberosTag(b byte) bool {
	return b >= 0x6a && b <= 0x6f || b == 0x74 || b == 0x75 || b == 0x7e
}

// datagramToken knows what is only sent over UDP.
func datagramToken(m []byte, size int) token {
	be16 := binary.BigEndian.Uint16
	_, quic := longHeader(m)
	if t := moreDatagrams(m, size); t != tokenNone {
		return t
	}
	switch {
	case len(m) >= 13 && datagramIsDTLS(m):
		return tokenDTLS
	case quic:
		return tokenQUIC
	case (m[0] == 1 && size == 148 || m[0] == 2 && size == 92 || m[0] == 3 && size == 64 || m[0] == 4 && size >= 32) &&
		m[1] == 0 && m[2] == 0 && m[3] == 0:
		return tokenWireGuard
	case size == 48 && m[0]&7 >= 1 && m[0]&7 <= 5 && m[0]>>3&7 >= 1 && m[0]>>3&7 <= 4:
		return tokenNTP
	case len(m) >= 20 && size >= 20 && int(be16(m[2:])) == size && (m[0] >= 1 && m[0] <= 5 || m[0] == 11 || m[0] >= 40 && m[0] <= 45):
		return tokenRADIUS
	case len(m) >= 28 && (m[17] == 0x10 || m[17] == 0x20) && int(binary.BigEndian.Uint32(m[24:])) == size:
		return tokenIKE
	case m[0] == 0 && m[1] >= 1 && m[1] <= 2 && bytes.HasSuffix(m, []byte{0}) && m[2] > ' ' && m[2] < 0x7f:
		return tokenTFTP
	case m[0] == 0 && (m[1] == 3 && m[2] == 0 && m[3] == 1 || m[1] == 4 && size == 4 || m[1] == 6 && m[2] > ' ' && m[2] < 0x7f && m[size0(m, size)-1] == 0):
		return tokenTFTP
	case m[0] == 0x81 && int(be16(m[2:])) == size:
		return tokenBACnet
	case (m[0] == 0x30 || m[0] == 0x32 || m[0] == 0x48) && size >= 8 && int(be16(m[2:])) == size-8,
		m[0] == 0x48 && int(be16(m[2:])) == size-4:
		return tokenGTP
	case m[0] == 8 && m[1] == 0 && m[2] == 0 && m[3] == 0 && size > 16:
		return tokenVXLAN
	case kerberosTag(m[0]) && berLength(m) == size:
		return tokenKerberos
	case m[0] == '<' && m[1] >= '0' && m[1] <= '9' && bytes.IndexByte(m[:min(len(m), 5)], '>') > 0:
		return tokenSyslog
	case len(m) >= 12 && m[0] == 0x80 && (m[1]&0x7f <= 34 || m[1]&0x7f >= 96 && m[1] < 255) && size > 12 && size < 1500:
		return tokenRTP
	case coap(m, size):
		return tokenCoAP
	case m[0] >= 1 && m[0] <= 13 && len(m) >= 10 && m[4] == 0 && (m[5] == 1 || m[5] == 8 || m[5] == 3 || m[5] == 6):
		return tokenDHCPv6
	case len(m) >= 24 && be16(m[8:]) == 0 && be16(m[10:]) == 2 && be16(m[4:]) == 0 && be16(m[6:]) <= 1:
		return tokenRPC
	}
	return tokenNone
}

// datagramIsDTLS tells whether at least three bytes begin with the header of a record (RFC 6347 section 4.1).
func datagramIsDTLS(m []byte) bool {
	return m[0] >= 20 && m[0] <= 25 && m[1] == 0xfe && (m[2] == 0xff || m[2] == 0xfd || m[2] == 0xfc)
}

// coap reads a CoAP header (RFC 7252 section 3): version 1, a known code, a first option that a request can begin with.
func coap(m []byte, size int) bool {
	length := int(m[0] & 15)
	if m[0]>>6 != 1 || length > 8 || size < 4+length || len(m) < 4+length {
		return false
	}
	if class, detail := m[1]>>5, m[1]&31; !(class == 0 && detail >= 1 && detail <= 7 || class == 2 && detail <= 5 || class == 4 || class == 5 && detail <= 5) {
		return false
	}
	if size == 4+length {
		return true
	}
	return len(m) > 4+length && (m[4+length] == 0xff || m[4+length]>>4 <= 12 && m[4+length] != 0)
}

// lengthToken knows what is sent over both with its length in front or inside.
func lengthToken(m []byte, size int) token {
	switch {
	case m[0] == 0x30 && berLength(m) > 0:
		return berToken(m, size)
	case m[0] == 5 && m[1] == 0 && m[2] <= 20 && len(m) >= 10 && int(binary.LittleEndian.Uint16(m[8:])) == size:
		return tokenDCERPC
	}
	return tokenNone
}

// berLength returns the length of a BER element with its header (X.690 section 8.1.3), 0 if it cannot be read.
func berLength(m []byte) int {
	if len(m) < 2 {
		return 0
	}
	first := int(m[1])
	if first < 0x80 {
		return first + 2
	}
	n := first & 0x7f
	if n == 0 || n > 4 || len(m) < 2+n {
		return 0
	}
	length := 0
	for _, b := range m[2 : 2+n] {
		length = length<<8 | int(b)
	}
	return length + 2 + n
}

// textToken tells lines of text, and those that begin with an IMAP tag and command.
func textToken(m []byte) token {
	line, _, whole := bytes.Cut(m, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if !whole || len(line) == 0 {
		return tokenNone
	}
	for _, c := range line {
		if (c < ' ' || c >= 0x7f) && c != '\t' {
			return tokenNone
		}
	}
	_, command, ok := bytes.Cut(line, []byte(" "))
	for _, word := range [...]string{"CAPABILITY", "LOGIN", "AUTHENTICATE", "NOOP", "LOGOUT", "ID ", "STARTTLS", "SELECT"} {
		if ok && len(command) >= len(word) && bytes.EqualFold(command[:len(word)], []byte(word)) {
			return tokenIMAPCommand
		}
	}
	if bytes.Contains(line, []byte(" MGCP ")) { // RFC 3435 section 3.2.1
		return tokenMGCP
	}
	return tokenText
}
