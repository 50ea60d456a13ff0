// Command gopacket compares how the decoders of google/gopacket and of its maintained fork gopacket/gopacket take random
// bytes: how many of them panic. It is the reason why Sonde builds on the fork, kept as a command so that the reason can
// be checked again. It is a module of its own, for nothing else needs both.
//
// Usage: gopacket [INPUTS], the number of random inputs a decoder gets; 100000 unless it is given.
package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"

	google "github.com/google/gopacket"
	googlelayers "github.com/google/gopacket/layers"
	fork "github.com/gopacket/gopacket"
	forklayers "github.com/gopacket/gopacket/layers"
)

// maxInput is the longest input in bytes: headers matter, not payload.
const maxInput = 160

func main() {
	inputs := 100_000
	if len(os.Args) > 1 {
		n, err := strconv.Atoi(os.Args[1])
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "gopacket: %q is no number of inputs\n", os.Args[1])
			os.Exit(2)
		}
		inputs = n
	}
	old, current := decoders()
	report("github.com/google/gopacket", old, inputs)
	report("github.com/gopacket/gopacket", current, inputs)
}

// decoders returns the decoders that both libraries have, by name.
func decoders() (old, current map[string]func([]byte)) {
	g := func(t google.LayerType) func([]byte) {
		return func(b []byte) {
			google.NewPacket(b, t, google.DecodeOptions{NoCopy: true, SkipDecodeRecovery: true})
		}
	}
	f := func(t fork.LayerType) func([]byte) {
		return func(b []byte) {
			fork.NewPacket(b, t, fork.DecodeOptions{NoCopy: true, SkipDecodeRecovery: true})
		}
	}
	return map[string]func([]byte){
			"ARP": g(googlelayers.LayerTypeARP), "DHCPv4": g(googlelayers.LayerTypeDHCPv4), "DNS": g(googlelayers.LayerTypeDNS),
			"Dot11": g(googlelayers.LayerTypeDot11), "Ethernet": g(googlelayers.LayerTypeEthernet),
			"GRE": g(googlelayers.LayerTypeGRE), "GTPv1U": g(googlelayers.LayerTypeGTPv1U), "Geneve": g(googlelayers.LayerTypeGeneve),
			"ICMPv6": g(googlelayers.LayerTypeICMPv6), "IPv4": g(googlelayers.LayerTypeIPv4), "IPv6": g(googlelayers.LayerTypeIPv6),
			"LinuxSLL": g(googlelayers.LayerTypeLinuxSLL), "MPLS": g(googlelayers.LayerTypeMPLS), "NTP": g(googlelayers.LayerTypeNTP),
			"OSPF": g(googlelayers.LayerTypeOSPF), "PPP": g(googlelayers.LayerTypePPP), "PPPoE": g(googlelayers.LayerTypePPPoE),
			"RadioTap": g(googlelayers.LayerTypeRadioTap), "SCTP": g(googlelayers.LayerTypeSCTP), "SFlow": g(googlelayers.LayerTypeSFlow),
			"SIP": g(googlelayers.LayerTypeSIP), "TCP": g(googlelayers.LayerTypeTCP), "TLS": g(googlelayers.LayerTypeTLS),
			"UDP": g(googlelayers.LayerTypeUDP), "VRRP": g(googlelayers.LayerTypeVRRP), "VXLAN": g(googlelayers.LayerTypeVXLAN),
		}, map[string]func([]byte){
			"ARP": f(forklayers.LayerTypeARP), "DHCPv4": f(forklayers.LayerTypeDHCPv4), "DNS": f(forklayers.LayerTypeDNS),
			"Dot11": f(forklayers.LayerTypeDot11), "Ethernet": f(forklayers.LayerTypeEthernet),
			"GRE": f(forklayers.LayerTypeGRE), "GTPv1U": f(forklayers.LayerTypeGTPv1U), "Geneve": f(forklayers.LayerTypeGeneve),
			"ICMPv6": f(forklayers.LayerTypeICMPv6), "IPv4": f(forklayers.LayerTypeIPv4), "IPv6": f(forklayers.LayerTypeIPv6),
			"LinuxSLL": f(forklayers.LayerTypeLinuxSLL), "MPLS": f(forklayers.LayerTypeMPLS), "NTP": f(forklayers.LayerTypeNTP),
			"OSPF": f(forklayers.LayerTypeOSPF), "PPP": f(forklayers.LayerTypePPP), "PPPoE": f(forklayers.LayerTypePPPoE),
			"RadioTap": f(forklayers.LayerTypeRadioTap), "SCTP": f(forklayers.LayerTypeSCTP), "SFlow": f(forklayers.LayerTypeSFlow),
			"SIP": f(forklayers.LayerTypeSIP), "TCP": f(forklayers.LayerTypeTCP), "TLS": f(forklayers.LayerTypeTLS),
			"UDP": f(forklayers.LayerTypeUDP), "VRRP": f(forklayers.LayerTypeVRRP), "VXLAN": f(forklayers.LayerTypeVXLAN),
		}
}

// report gives every decoder the same random inputs and names those that panicked.
func report(library string, decoders map[string]func([]byte), inputs int) {
	var panicked []string
	for _, name := range slices.Sorted(maps.Keys(decoders)) {
		decode := decoders[name]
		rng := rand.New(rand.NewPCG(1, 2))
		buffer := make([]byte, maxInput)
		for range inputs {
			input := buffer[:rng.IntN(maxInput)]
			bits := byte(0xff) >> rng.IntN(8) // small numbers reach deeper into length fields
			for i := range input {
				input[i] = byte(rng.Uint32()) & bits
			}
			if panics(decode, input) {
				panicked = append(panicked, name)
				break
			}
		}
	}
	fmt.Printf("%s: %d of %d decoders panicked on %d random inputs each: %v\n", library, len(panicked), len(decoders), inputs, panicked)
}

func panics(decode func([]byte), input []byte) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	decode(input)
	return false
}
