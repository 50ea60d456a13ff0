module sonde.example/internal/tools/gopacket

go 1.26

require (
	github.com/google/gopacket v1.1.19
	github.com/gopacket/gopacket v1.7.7
)
