// Package config is what confsync and the daemons both know of a configuration: where it lies in the store, what is valid,
// how it is written there, which hash it has, and how a daemon follows it. confsync validates before it publishes; a daemon
// validates again, for it trusts nobody, and says what became of it.
//
//	        ┌── cache (last good) <──────────────┐ only after it was applied
//	BOOT ───┤                                    │
//	        └──> newest value ──> decode ──> check ──> Apply ──> status APPLIED
//	                 ^              └── refused ──────┴────────> status FAILED; what ran goes on
//	                 └──── watch, and a look every five minutes
package config

import (
	"errors"
	"fmt"
)

// Schema is the version of the published form.
const Schema = 1

// FieldError says which field of a configuration is wrong, by the name of its column in the tables: device for
// capture_points, vxlan_ports for tunnel_ports.vxlan; the others are called alike.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// Wrong returns a FieldError.
func Wrong(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// FieldOf names the field that an error is about, "" when it tells none.
func FieldOf(err error) string {
	if e, ok := errors.AsType[*FieldError](err); ok {
		return e.Field
	}
	return ""
}

// Explain says which field is wrong and what with it. Of several errors the first field is named, and the text has them all,
// each with its own.
func Explain(err error) (field, text string) {
	for {
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok || len(joined.Unwrap()) != 1 {
			break
		}
		err = joined.Unwrap()[0]
	}
	if one, ok := err.(*FieldError); ok { //nolint:errorlint // wrapped, it is part of a longer sentence
		return one.Field, one.Err.Error()
	}
	return FieldOf(err), err.Error()
}
