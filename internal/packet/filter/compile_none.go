//go:build !cgo || nolibpcap

package filter

import (
	"fmt"
	"strings"

	"sonde.example/internal/packet"
)

// CanCompile tells whether this binary has libpcap.
const CanCompile = false

func compileText(text string, link packet.LinkType) (Program, error) {
	if strings.TrimSpace(text) == "" {
		return Program{text: text, link: link}, nil
	}
	return Program{}, fmt.Errorf("filter %q for link type %d: %w", text, link, ErrNoCompiler)
}
