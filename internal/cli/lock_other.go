//go:build !unix

package cli

import "os"

// lock does nothing where there is no flock: that two processes share a state folder goes unnoticed.
func lock(*os.File) error { return nil }
