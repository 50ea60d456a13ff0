//go:build cgo && !nolibpcap

package filter

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcap"
	"golang.org/x/net/bpf"

	"sonde.example/internal/packet"
)

// CanCompile tells whether this binary has libpcap.
const CanCompile = true

func compileText(text string, link packet.LinkType) (Program, error) {
	if strings.TrimSpace(text) == "" {
		return Program{text: text, link: link}, nil
	}
	if len(text) > MaxText {
		return Program{}, fmt.Errorf("filter of %d bytes, %.40q..., is longer than %d", len(text), text, MaxText)
	}
	if strings.ContainsRune(text, 0) {
		return Program{}, fmt.Errorf("filter %q: has a NUL byte", text)
	}
	compiled, err := pcap.CompileBPFFilter(layers.LinkType(dataLink(link)), SnapLength, text)
	if err != nil {
		return Program{}, fmt.Errorf("filter %q for link type %d: %w", text, link, err)
	}
	if len(compiled) == 0 {
		return Program{}, fmt.Errorf("filter %q for link type %d: %w", text, link, errors.New("libpcap made no program of it"))
	}
	raw := make([]bpf.RawInstruction, len(compiled))
	for i, in := range compiled {
		raw[i] = bpf.RawInstruction{Op: in.Code, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return Parse(text, link, raw)
}

// dataLink maps a file's link type to the number that libpcap has for it on this system (DLT_RAW is not the same everywhere).
func dataLink(link packet.LinkType) uint16 {
	if link != packet.LinkRaw {
		return uint16(link)
	}
	if runtime.GOOS == "openbsd" {
		return 14
	}
	return 12
}
