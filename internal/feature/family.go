package feature

// family says what a protocol is for, as far as its opening tells: databases, say, or industry. A model learns from it what
// relatives have in common, so that one that it has never seen is not a stranger altogether. Zero is none.
type family uint8

// Families. Their numbers are part of the schema: new ones come last.
const (
	familyNone family = iota
	familyWeb
	familyName
	familyLocal
	familySecure
	familyDatagram
	familyQUIC
	familyMailbox
	familyMail
	familyTransfer
	familySMB
	familyNetBIOS
	familyFile
	familyRPC
	familyChat
	familyMessenger
	familySQL
	familyStore
	familyQueue
	familyCall
	familyMedia
	familyTraversal
	familyShell
	familyDesktop
	familyProxy
	familyTunnel
	familyIPsec
	familyOpenVPN
	familyWireGuard
	familyIndustrial
	familyModbus
	familyDNP3
	familyBACnet
	familyENIP
	familyS7
	familyPeer
	familyLDAP
	familyKerberos
	familyDCERPC
	familyManagement
	familyAccount
	familyAddress
	familyClock
	familyRouting
	familyEcho
	familyPlay
	familyCoin
	familyDiscovery
	familyCrypt
	familyMulticast
	families // how many there are
)

// familyNames are written into the schema.
var familyNames = [families]string{ //nolint:gochecknoglobals // a constant table; Go has no constants of this type
	"none",
	"web", "name", "local", "secure", "datagram", "quic", "mailbox", "mail", "transfer", "smb", "netbios", "file",
	"rpc", "chat", "messenger", "sql", "store", "queue", "call", "media", "traversal", "shell", "desktop", "proxy",
	"tunnel", "ipsec", "openvpn", "wireguard", "industrial", "modbus", "dnp3", "bacnet", "enip", "s7", "peer", "ldap",
	"kerberos", "dcerpc", "management", "account", "address", "clock", "routing", "echo", "play", "coin", "discovery", "crypt",
	"multicast",
}

// familyOf is a table by token; what has no place in it belongs to none.
var familyOf = [tokens]family{ //nolint:gochecknoglobals // a constant table; Go has no constants of this type
	tokenHTTPRequest: familyWeb, tokenHTTPResponse: familyWeb,
	tokenDNS:   familyName,
	tokenLLMNR: familyLocal,
	tokenTLS:   familySecure, tokenTLSData: familySecure,
	tokenDTLS: familyDatagram,
	tokenQUIC: familyQUIC, tokenGQUIC: familyQUIC,
	tokenPlusOK: familyMailbox, tokenStarOK: familyMailbox, tokenIMAPCommand: familyMailbox,
	tokenHello: familyMail, tokenSMTP: familyMail, tokenMailCommand: familyMail,
	tokenFTP:  familyTransfer,
	tokenSMB:  familySMB,
	tokenNBNS: familyNetBIOS, tokenNBSS: familyNetBIOS, tokenNBDGM: familyNetBIOS,
	tokenTFTP: familyFile,
	tokenRPC:  familyRPC,
	tokenIRC:  familyChat, tokenXMPP: familyChat,
	tokenWhatsApp: familyMessenger, tokenTelegram: familyMessenger,
	tokenMySQL: familySQL, tokenPostgres: familySQL, tokenTDS: familySQL, tokenTNS: familySQL,
	tokenMongo: familyStore, tokenRESPArray: familyStore, tokenRESPReply: familyStore, tokenElastic: familyStore, tokenCassandra: familyStore, tokenMemcached: familyStore,
	tokenAMQP: familyQueue, tokenMQTTConnect: familyQueue, tokenMQTTAnswer: familyQueue, tokenKafka: familyQueue, tokenNATS: familyQueue, tokenSTOMP: familyQueue, tokenZMTP: familyQueue, tokenIBMMQ: familyQueue, tokenCoAP: familyQueue,
	tokenSIP: familyCall, tokenMGCP: familyCall, tokenH323: familyCall, tokenSkinny: familyCall,
	tokenRTSP: familyMedia, tokenRTP: familyMedia, tokenRTCP: familyMedia, tokenRTPRun: familyMedia, tokenRTMP: familyMedia,
	tokenSTUN: familyTraversal, tokenChannel: familyTraversal,
	tokenSSH: familyShell,
	tokenRFB: familyDesktop, tokenRDP: familyDesktop, tokenTeamViewer: familyDesktop,
	tokenSOCKS: familyProxy,
	tokenGRE:   familyTunnel, tokenL2TP: familyTunnel, tokenPPTP: familyTunnel, tokenGTP: familyTunnel, tokenVXLAN: familyTunnel, tokenIPIP: familyTunnel, token6in4: familyTunnel,
	tokenIKE: familyIPsec, tokenESP: familyIPsec, tokenAH: familyIPsec,
	tokenOpenVPN: familyOpenVPN, tokenWireGuard: familyWireGuard,
	tokenOPCUA: familyIndustrial, tokenSynchrophasor: familyIndustrial, tokenIEC104: familyIndustrial, tokenADS: familyIndustrial, tokenFINS: familyIndustrial, tokenHARTIP: familyIndustrial,
	tokenModbus: familyModbus, tokenDNP3: familyDNP3, tokenBACnet: familyBACnet, tokenENIP: familyENIP, tokenS7: familyS7,
	tokenBitTorrent: familyPeer, tokenDHT: familyPeer, tokenGnutella: familyPeer, tokenTracker: familyPeer, tokenUTP: familyPeer, tokenEDonkey: familyPeer, tokenSyncthing: familyPeer,
	tokenLDAP: familyLDAP, tokenKerberos: familyKerberos, tokenDCERPC: familyDCERPC,
	tokenSNMP:   familyManagement,
	tokenSyslog: familyAccount, tokenRADIUS: familyAccount, tokenTACACS: familyAccount, tokenDiameter: familyAccount, tokenNetFlow: familyAccount, tokenSFlow: familyAccount,
	tokenDHCP: familyAddress, tokenDHCPv6: familyAddress,
	tokenNTP: familyClock, tokenPTP: familyClock,
	tokenBGP: familyRouting, tokenRIP: familyRouting, tokenHSRP: familyRouting, tokenOSPF: familyRouting, tokenPIM: familyRouting, tokenVRRP: familyRouting, tokenEIGRP: familyRouting, tokenIGMP: familyRouting,
	tokenICMP: familyEcho, tokenICMPv6: familyEcho,
	tokenTeamSpeak: familyPlay, tokenRakNet: familyPlay, tokenOOB: familyPlay, tokenPia: familyPlay, tokenKCP: familyPlay, tokenSteam: familyPlay, tokenPhoton: familyPlay, tokenWoW: familyPlay,
	tokenLevin: familyCoin, tokenBitcoin: familyCoin, tokenStratum: familyCoin, tokenDiscv4: familyCoin, tokenRLPx: familyCoin,
	tokenSSDP: familyDiscovery, tokenSLP: familyDiscovery, tokenSOAP: familyDiscovery,
	tokenDNSCrypt: familyCrypt,
	tokenMDNS:     familyMulticast,
}
