package config

import (
	"fmt"
	"strings"
)

// DefaultRoot is where the tree of keys begins, unless an operator says otherwise.
const DefaultRoot = "/sonde"

// Roles of daemons that take a configuration.
const (
	RoleAgent     = "agent"
	RoleCollector = "collector"
	RoleInference = "inference"
)

// DefaultName is the name that services take their configuration by, unless they are given one of their own.
const DefaultName = "default"

// maxName is the longest name; a certificate's common name, which repeats it, holds no more (RFC 5280).
const maxName = 64

// CheckName tells what is wrong with the name of a daemon: it is 1 to 64 of A-Z, a-z, 0-9, dot, underscore and hyphen,
// but not "." or "..", for it is part of a path.
func CheckName(name string) error {
	bad := strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	})
	if name == "" || len(name) > maxName || bad >= 0 || name == "." || name == ".." {
		return fmt.Errorf("%.80q is not 1 to %d of A-Z, a-z, 0-9, '.', '_' and '-'", name, maxName)
	}
	return nil
}

// Keys are the places of the tree, all under one root.
type Keys struct{ root string }

// NewKeys checks the root: it begins with a slash, and each part is a name.
func NewKeys(root string) (Keys, error) {
	if !strings.HasPrefix(root, "/") {
		return Keys{}, fmt.Errorf("root %q does not begin with a slash", root)
	}
	for part := range strings.SplitSeq(root[1:], "/") {
		if err := CheckName(part); err != nil {
			return Keys{}, fmt.Errorf("root %q: %w", root, err)
		}
	}
	return Keys{root}, nil
}

// Root is where the tree begins.
func (k Keys) Root() string { return k.root }

// Agents is the prefix of all agents' keys.
func (k Keys) Agents() string { return k.root + "/agents/" }

// Services is the prefix of all services' keys.
func (k Keys) Services() string { return k.root + "/services/" }

// Config is the key that a daemon watches: <root>/agents/<name>, or <root>/services/<role>/<name>. Confsync writes it.
func (k Keys) Config(role, name string) string {
	if role == RoleAgent {
		return k.Agents() + name
	}
	return k.Services() + role + "/" + name
}

// Statuses are the prefixes of all statuses.
func (k Keys) Statuses() [2]string {
	return [2]string{k.root + "/status/", k.root + "/service_status/"}
}

// Status is the key under which a daemon answers: <root>/status/<name>, or <root>/service_status/<role>/<name>. It outlives
// the daemon.
func (k Keys) Status(role, name string) string {
	if role == RoleAgent {
		return k.root + "/status/" + name
	}
	return k.root + "/service_status/" + role + "/" + name
}

// Confsync is the prefix of what confsync keeps for itself: the checkpoint and the election.
func (k Keys) Confsync() string { return k.root + "/confsync/" }
