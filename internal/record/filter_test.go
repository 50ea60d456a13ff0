package record_test

import (
	"strings"
	"testing"

	"sonde.example/internal/record"
)

func TestParseFilterNamesThePosition(t *testing.T) {
	for text, want := range map[string]string{
		`nonsense = 1`:               `position 1: no field "nonsense"`,
		`label`:                      `position 6: expected one of`,
		`label >= dns`:               `position 7: label takes = or != only`,
		`label = dns OR label = tls`: `position 13: expected AND, found "OR"`,
		`label = "dns`:               `position 9: the quote is not closed`,
		`server.port = http`:         `position 15: server.port: "http" is no number`,
		`address = 10.0.0`:           `position 11: address: "10.0.0" is neither`,
		`start_time > yesterday`:     `position 14: start_time: "yesterday" is no time`,
		`state = broken`:             `position 9: state: "broken" is none of`,
		`unknown = 1`:                `position 11: unknown: "1" is neither true nor false`,
		`label = dns AND`:            `position 16: no field ""`,
		`label = `:                   `expected a value`,
		strings.Repeat("x", 5000):    `5000 bytes long`,
		strings.Repeat("label = dns AND ", 65) + "label = dns": `more than 64 terms`,
	} {
		if _, err := record.ParseFilter(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseFilter(%.40s) = %v, want %q", text, err, want)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	f.Add(`label = "dns" AND NOT address != 10.0.0.0/8`)
	f.Add(`start_time >= 2026-01-02T15:04:05Z`)
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := record.ParseFilter(text)
		if err == nil {
			parsed.Match(nil)
		}
	})
}
