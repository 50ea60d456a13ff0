package mtls

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// DevelopmentOptions say what EnsureDevelopment makes. The zero value is sound.
type DevelopmentOptions struct {
	Domain   string        // trust domain; empty means DevelopmentDomain
	Service  string        // id of the daemons; empty means "local"
	Agent    string        // id of the agent; empty means "local"
	Operator string        // id of the operator; empty means "admin"
	Viewer   string        // id of the viewer; empty means "viewer"
	Hosts    []string      // names and addresses of the daemons beside localhost, 127.0.0.1 and ::1
	Validity time.Duration // zero means DevelopmentValidity
}

// Development names the files of each role.
type Development struct {
	Service, Agent, Operator, Viewer Files
}

// EnsureDevelopment makes in a directory whatever is missing of an authority, a certificate for each role, and an
// empty revocation list. Files that exist stay as they are, so calling it at each start, from several processes at
// once, is fine. A certificate that has expired stays too, and is an error that says which files to remove.
func EnsureDevelopment(dir string, o DevelopmentOptions) (Development, error) {
	for field, fallback := range map[*string]string{
		&o.Domain: DevelopmentDomain, &o.Service: "local", &o.Agent: "local", &o.Operator: "admin", &o.Viewer: "viewer",
	} {
		if *field == "" {
			*field = fallback
		}
	}
	if o.Validity == 0 {
		o.Validity = DevelopmentValidity
	}
	var d Development
	wanted := []struct {
		files *Files
		role  Role
		id    string
		hosts []string
	}{
		{&d.Service, RoleService, o.Service, slices.Concat([]string{"localhost", "127.0.0.1", "::1"}, o.Hosts)},
		{&d.Agent, RoleAgent, o.Agent, nil},
		{&d.Operator, RoleOperator, o.Operator, nil},
		{&d.Viewer, RoleViewer, o.Viewer, nil},
	}
	var authority *Authority // opened when the first file is missing: its key may have been put away
	for _, want := range wanted {
		*want.files = filesOf(dir, want.role, want.id)
		if !exists(want.files.Certificate) || !exists(want.files.Key) {
			var err error
			if authority == nil {
				if authority, err = ensureAuthority(dir, o.Domain, o.Validity); err != nil {
					return Development{}, err
				}
			}
			if *want.files, err = authority.ensure(want.role, want.id, want.hosts, o.Validity); err != nil {
				return Development{}, err
			}
		}
		if err := checkIssued(*want.files, want.hosts); err != nil {
			return Development{}, err
		}
		want.files.Revoked = filepath.Join(dir, "revoked")
	}
	const comment = "# Serial numbers of revoked certificates in hexadecimal, one a line.\n"
	_, err := ensureFile(d.Service.Revoked, 0o644, func() ([]byte, error) { return []byte(comment), nil })
	return d, err
}

// checkIssued says what to do about a certificate that was made earlier and is of no use any more, or not for the hosts
// that are wanted now.
func checkIssued(files Files, hosts []string) error {
	for _, path := range []string{files.CA, files.Certificate} {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		certificate, err := parseCertificate(text)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if time.Now().After(certificate.NotAfter) {
			return fmt.Errorf("%s: %w on %s: remove it, and what it signed, to get new ones",
				path, ErrExpired, certificate.NotAfter.UTC().Format(time.DateOnly))
		}
		if path == files.CA {
			continue
		}
		for _, host := range hosts {
			if err := certificate.VerifyHostname(host); err != nil {
				return fmt.Errorf("%s: not good for host %s: remove it to get a new one", path, host)
			}
		}
	}
	return nil
}
