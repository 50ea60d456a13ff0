//go:build !unix

package agent

import "os"

// lock does nothing where there is no flock: that two agents share a state folder goes unnoticed.
func lock(*os.File) error { return nil }
