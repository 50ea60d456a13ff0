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
	authority, err := ensureAuthority(dir, o.Domain, o.Validity)
	if err != nil {
		return Development{}, err
	}
	if time.Now().After(authority.certificate.NotAfter) {
		return Development{}, fmt.Errorf("%s: %w: remove the directory %s to make new certificates",
			filepath.Join(dir, "ca.crt"), ErrExpired, dir)
	}
	revoked := filepath.Join(dir, "revoked")
	const comment = "# Serial numbers of revoked certificates in hexadecimal, one a line.\n"
	if _, err := ensureFile(revoked, 0o644, func() ([]byte, error) { return []byte(comment), nil }); err != nil {
		return Development{}, err
	}
	var d Development
	for _, want := range []struct {
		files *Files
		role  Role
		id    string
		hosts []string
	}{
		{&d.Service, RoleService, o.Service, slices.Concat([]string{"localhost", "127.0.0.1", "::1"}, o.Hosts)},
		{&d.Agent, RoleAgent, o.Agent, nil},
		{&d.Operator, RoleOperator, o.Operator, nil},
		{&d.Viewer, RoleViewer, o.Viewer, nil},
	} {
		files, err := authority.ensure(want.role, want.id, want.hosts, o.Validity)
		if err != nil {
			return Development{}, err
		}
		files.Revoked = revoked
		if err := checkFresh(files); err != nil {
			return Development{}, err
		}
		*want.files = files
	}
	return d, nil
}

// checkFresh says what to do about a development certificate that has expired.
func checkFresh(files Files) error {
	text, err := os.ReadFile(files.Certificate)
	if err != nil {
		return err
	}
	certificate, err := parseCertificate(text)
	if err != nil {
		return fmt.Errorf("%s: %w", files.Certificate, err)
	}
	if time.Now().After(certificate.NotAfter) {
		return fmt.Errorf("%s: %w on %s: remove it to get a new one", files.Certificate, ErrExpired, certificate.NotAfter.UTC().Format(time.DateOnly))
	}
	return nil
}
