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
	compiled, err := compileRaw(text, link)
	if err != nil {
		at := locate(text, err, func(text string) error {
			_, err := compileRaw(text, link)
			return err
		})
		return Program{}, &CompileError{Text: text, LinkType: link, Offset: at, Err: err}
	}
	raw := make([]bpf.RawInstruction, len(compiled))
	for i, in := range compiled {
		raw[i] = bpf.RawInstruction{Op: in.Code, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return Parse(text, link, raw)
}

// compileRaw asks libpcap.
func compileRaw(text string, link packet.LinkType) ([]pcap.BPFInstruction, error) {
	compiled, err := pcap.CompileBPFFilter(layers.LinkType(dataLink(link)), SnapLength, text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "can't parse filter expression: "))
	}
	if len(compiled) == 0 {
		return nil, errors.New("libpcap made no program of it")
	}
	return compiled, nil
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
