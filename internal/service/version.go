package service

import "runtime/debug"

// version is what git says of the commit; the Makefile has the linker set it.
var version string

// Version tells what this program was built from: the Makefile's `git describe`, otherwise what Go has recorded, such as
// "v1.2.3" or "(devel)". It is never empty.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
