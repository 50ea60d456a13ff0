package service

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parameters reads the parameters of a backend's URL. Each reading takes one parameter, or its default when it is not
// there; Err then tells everything that was wrong, parameters that nobody asked for included. The zero value is not
// usable, and only one goroutine may use it.
type Parameters struct {
	values url.Values
	asked  map[string]bool
	bad    []error
}

// ParametersOf takes the parameters of a URL.
func ParametersOf(u *url.URL) *Parameters {
	p := &Parameters{asked: map[string]bool{}}
	var err error
	if p.values, err = url.ParseQuery(u.RawQuery); err != nil {
		p.bad = append(p.bad, fmt.Errorf("URL parameters: %w", err))
	}
	return p
}

// take returns the one value of a parameter.
func (p *Parameters) take(name string) (string, bool) {
	p.asked[name] = true
	values := p.values[name]
	if len(values) > 1 {
		p.fail(name, "is given %d times", len(values))
		return "", false
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func (p *Parameters) fail(name, format string, args ...any) {
	p.bad = append(p.bad, fmt.Errorf("URL parameter %q "+format, append([]any{name}, args...)...))
}

// String returns a text.
func (p *Parameters) String(name, fallback string) string {
	if text, ok := p.take(name); ok {
		return text
	}
	return fallback
}

// Choice returns one of several words; the first is the default.
func (p *Parameters) Choice(name string, words ...string) string {
	text, ok := p.take(name)
	if !ok {
		return words[0]
	}
	if !slices.Contains(words, text) {
		p.fail(name, "is %q, not one of %s", text, strings.Join(words, ", "))
	}
	return text
}

// Bool returns true or false, as strconv.ParseBool reads them. A parameter without a value is true.
func (p *Parameters) Bool(name string, fallback bool) bool {
	text, ok := p.take(name)
	if !ok {
		return fallback
	}
	if text == "" {
		return true
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		p.fail(name, "is %q, neither true nor false", text)
	}
	return value
}

// Int returns an integer from lowest to highest.
func (p *Parameters) Int(name string, fallback, lowest, highest int) int {
	text, ok := p.take(name)
	if !ok {
		return fallback
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < lowest || value > highest {
		p.fail(name, "is %q, not an integer from %d to %d", text, lowest, highest)
	}
	return value
}

// Duration returns a span of time, as time.ParseDuration reads it, that is not negative.
func (p *Parameters) Duration(name string, fallback time.Duration) time.Duration {
	text, ok := p.take(name)
	if !ok {
		return fallback
	}
	value, err := time.ParseDuration(text)
	if err != nil || value < 0 {
		p.fail(name, "is %q, not a span of time such as 250ms or 10s", text)
	}
	return value
}

// Bytes returns a number of bytes: 65536, 64KiB, 16MiB or 1GiB.
func (p *Parameters) Bytes(name string, fallback int64) int64 {
	text, ok := p.take(name)
	if !ok {
		return fallback
	}
	value, err := ParseBytes(text)
	if err != nil {
		p.fail(name, "is %q, not a number of bytes such as 65536, 64KiB or 16MiB", text)
	}
	return value
}

// Err tells everything that was wrong. Call it after the last reading.
func (p *Parameters) Err() error {
	bad := slices.Clone(p.bad)
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !p.asked[name] {
			bad = append(bad, fmt.Errorf("unknown URL parameter %q", name))
		}
	}
	return errors.Join(bad...)
}

// ParseBytes reads a number of bytes with a binary unit (KiB, MiB, GiB, TiB) or none.
func ParseBytes(text string) (int64, error) {
	number, shift := text, 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, ok := strings.CutSuffix(text, unit); ok {
			number, shift = rest, 10*(i+1)
		}
	}
	value, err := strconv.ParseInt(number, 10, 64)
	if err != nil || value < 0 || value > (1<<62)>>shift {
		return 0, fmt.Errorf("%q is not a number of bytes", text)
	}
	return value << shift, nil
}

// Redacted returns a URL as it may be logged: without its password, and without the values of parameters that sound
// secret. What cannot be read is not shown at all.
func Redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable URL)"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "(unreadable URL)"
	}
	for name := range query {
		for _, word := range []string{"password", "passwd", "secret", "token", "key", "credential"} {
			if strings.Contains(strings.ToLower(name), word) {
				query.Set(name, "xxxxx") // as url.Redacted does
			}
		}
	}
	if len(query) > 0 {
		u.RawQuery = query.Encode()
	}
	return u.Redacted()
}
