//go:build cgo && !nolibpcap

package filter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

func TestCompileErrorsTellWhere(t *testing.T) {
	for text, want := range map[string]string{
		"tcp prot 80":                          "prot",
		"tcp port":                             "",
		"tcp port 80 and":                      "",
		"tcp port 80 or udp prt 53":            "prt",
		"tcp)":                                 ")",
		"(tcp":                                 "",
		"((tcp port 80) or udp":                "",
		"not":                                  "",
		"vlan foo":                             "foo",
		"tcp[13 & 2 != 0":                      "!=",
		"tcp[13] & 2 !! 0":                     "!",
		"tcp[tcpflags] & tcp-syn != 0 ad tcp":  "ad",
		"host 1.2.3.4 and port 99999":          "99999",
		"host 1.2.3.4 and port nosuch-service": "nosuch-service",
		"udp and net 10.0.0.0/33":              "33",
		"tcp port 80 and (udp or icmpp)":       "icmpp",
		"greater":                              "",
		"ip proto \\nosuch and tcp":            "\\nosuch",
		"  tcp   prot 80":                      "prot",
		"ether host 1:2:3:4:5:6 and ip hst 1.1.1.1": "hst",
	} {
		_, err := filter.Compile(text, packet.LinkEthernet)
		wrong, ok := errors.AsType[*filter.CompileError](err)
		if !ok {
			t.Errorf("%q: got %v", text, err)
			continue
		}
		at := len(text)
		if want != "" {
			word, _, _ := strings.Cut(want, "@")
			at = strings.LastIndex(text, word)
			if want == "!=" || want == "!" {
				at = strings.Index(text, word)
			}
		}
		if wrong.Offset != at {
			t.Errorf("%v: at %d, want %d", err, wrong.Offset, at)
		}
		if want != "" && !strings.Contains(err.Error(), "at character") {
			t.Errorf("%v: does not tell", err)
		}
	}
}

// TestCompileErrorsBehindManyAlternatives holds the search away from libpcap's optimizer, which would take longer for
// such a text than the search may.
func TestCompileErrorsBehindManyAlternatives(t *testing.T) {
	many := "port 1"
	for port := 2; port <= 300; port++ {
		many += fmt.Sprintf(" or port %d", port)
	}
	for text, want := range map[string]int{
		many + " or tcp prot 80":         len(many + " or tcp "),
		many + " or prt 80":              len(many + " or "),
		many + " or port nosuch-service": len(many + " or port "),
		"(" + many + " and":              len("(" + many + " and"),
	} {
		_, err := filter.Compile(text, packet.LinkEthernet)
		wrong, ok := errors.AsType[*filter.CompileError](err)
		if !ok || wrong.Offset != want {
			t.Errorf("...%q: got %v, want the error at %d", text[len(many):], err, want)
		}
	}
}

func FuzzCompileErrorOffset(f *testing.F) {
	for _, text := range []string{"tcp prot 80", "tcp[", "(((", "a-b", "!!", "\xff", "port 1 or"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 60 || strings.ContainsAny(text, ".abcdefghijklmnopqrstuvwxyz") && strings.Contains(text, "host") {
			return // no names are looked up
		}
		_, err := filter.Compile(text, packet.LinkEthernet)
		if wrong, ok := errors.AsType[*filter.CompileError](err); ok {
			if wrong.Offset < -1 || wrong.Offset > len(text) || wrong.Error() == "" {
				t.Errorf("%q: offset %d", text, wrong.Offset)
			}
		}
	})
}
