//go:build !cgo || nolibpcap

package filter_test

import (
	"errors"
	"strings"
	"testing"

	"sonde.example/internal/packet/filter"
)

func TestCompileWithoutLibpcap(t *testing.T) {
	_, err := filter.Compile("tcp", 1)
	if !errors.Is(err, filter.ErrNoCompiler) || !strings.Contains(err.Error(), `"tcp"`) || filter.CanCompile {
		t.Errorf("got error %v", err)
	}
}
