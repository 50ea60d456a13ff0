package cli

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"sonde.example/internal/testenv"
)

func TestLabelArgs(t *testing.T) {
	const a, b = "01JD2Y8R3MZ3V4J7T2N5C6A9EX", "01JD2Y8R3MZ3V4J7T2N5C6A9EY"
	for _, c := range []struct {
		args     []string
		remove   bool
		sessions []string
		label    string
		wrong    bool
	}{
		{args: []string{a, "dns"}, sessions: []string{a}, label: "dns"},
		{args: []string{a, b, "dns"}, sessions: []string{a, b}, label: "dns"},
		{args: []string{a, b}, remove: true, sessions: []string{a, b}},
		{args: []string{a, b}, wrong: true},
		{args: []string{"dns"}, wrong: true},
		{args: []string{a, ""}, wrong: true},
	} {
		sessions, label, err := labelArgs(c.args, c.remove)
		var usage usageError
		if !slices.Equal(sessions, c.sessions) || label != c.label || (err != nil) != c.wrong || errors.As(err, &usage) != c.wrong {
			t.Errorf("labelArgs(%q, %v) = %q, %q, %v; want %q, %q, wrong: %v", c.args, c.remove, sessions, label, err, c.sessions, c.label, c.wrong)
		}
	}
}

// The label is stored when the hint is looked for: that nobody answers is no reason to fail.
func TestNoHintWithoutInference(t *testing.T) {
	c := newClient()
	c.files = testenv.Certificates(t).Operator
	var said bytes.Buffer
	if err := c.hintLabel(t.Context(), &said, "127.0.0.1:1", "our-protocol"); err != nil || said.Len() > 0 {
		t.Errorf("hintLabel = %v, says %q; want neither", err, said.String())
	}
}
