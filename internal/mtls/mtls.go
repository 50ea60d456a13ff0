// Package mtls says who is at the other end of a connection. Every connection between daemons, and from an operator's
// tool to a daemon, is TLS 1.3 with a certificate on both sides; the certificate's one URI, spiffe://domain/role/id,
// is the peer's identity, and nothing that a peer sends is ever taken for it. A Source holds a daemon's own
// certificate, the authorities that it trusts and the serials that were revoked; it follows the files, so that a
// renewed certificate serves the next handshake while open streams go on, and it ends connections whose certificate
// has expired or was revoked. An Authority makes certificates for development.
package mtls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Role is what a peer may be. Which methods a role may call is for internal/rpc.
type Role string

// The roles.
const (
	RoleAgent    Role = "agent"    // sniffs packets and streams them up
	RoleService  Role = "service"  // a daemon: collector, inference, confsync
	RoleOperator Role = "operator" // a person who may change things and see packets
	RoleViewer   Role = "viewer"   // a person who may read results
)

// Roles returns all roles.
func Roles() []Role {
	return []Role{RoleAgent, RoleService, RoleOperator, RoleViewer}
}

const (
	maxIDBytes     = 64  // the id repeats as the common name, which X.509 bounds (RFC 5280, ub-common-name)
	maxDomainBytes = 255 // SPIFFE-ID, section 2.1
	scheme         = "spiffe"
)

var (
	// ErrIdentity marks a certificate that does not say who its holder is.
	ErrIdentity = errors.New("certificate carries no sound identity")
	// ErrRole marks a peer that is somebody, but not whom this side wants to talk to.
	ErrRole = errors.New("peer has an unwanted role")
	// ErrExpired marks a certificate past its NotAfter.
	ErrExpired = errors.New("certificate has expired")
	// ErrRevoked marks a certificate whose serial is in the revocation list.
	ErrRevoked = errors.New("certificate is revoked")
)

// Identity is what a verified certificate says about its holder. It is comparable.
type Identity struct {
	Role        Role
	ID          string    // 1 to 64 letters, digits, dots, dashes and underscores
	TrustDomain string    // lower-case name of the domain that vouches for the identity
	Serial      string    // the certificate's serial number in lower-case hexadecimal
	NotAfter    time.Time // the certificate says nothing after this time
}

// String returns the identity as its URI, spiffe://domain/role/id.
func (i Identity) String() string {
	return scheme + "://" + i.TrustDomain + "/" + string(i.Role) + "/" + i.ID
}

// IdentityOf reads the identity from a certificate whose chain has been verified. The certificate must be a leaf with
// exactly one URI (SPIFFE X509-SVID, section 2) of the form spiffe://domain/role/id, in its canonical spelling; if it has a common
// name, that must repeat the id, because etcd and others look only there. Every error is an ErrIdentity.
func IdentityOf(certificate *x509.Certificate) (Identity, error) {
	if certificate.IsCA {
		return Identity{}, fmt.Errorf("%w: it is an authority's", ErrIdentity)
	}
	if n := len(certificate.URIs); n != 1 {
		return Identity{}, fmt.Errorf("%w: %d URIs instead of one", ErrIdentity, n)
	}
	id, err := parseURI(certificate.URIs[0])
	if err != nil {
		return Identity{}, err
	}
	if name := certificate.Subject.CommonName; name != "" && name != id.ID {
		return Identity{}, fmt.Errorf("%w: common name %q differs from id %q", ErrIdentity, name, id.ID)
	}
	id.Serial = certificate.SerialNumber.Text(16)
	id.NotAfter = certificate.NotAfter
	return id, nil
}

// parseURI fills in what the URI says. Comparing with the canonical form turns away user names, ports, queries,
// percent encodings and whatever else two readers could understand differently.
func parseURI(uri *url.URL) (Identity, error) {
	segments := strings.Split(uri.Path, "/")
	if uri.Scheme != scheme || len(segments) != 3 || segments[0] != "" {
		return Identity{}, fmt.Errorf("%w: %q is not spiffe://domain/role/id", ErrIdentity, uri)
	}
	id := Identity{Role: Role(segments[1]), ID: segments[2], TrustDomain: uri.Host}
	if err := id.check(); err != nil {
		return Identity{}, err
	}
	if uri.String() != id.String() {
		return Identity{}, fmt.Errorf("%w: %q is not the canonical %q", ErrIdentity, uri, id)
	}
	return id, nil
}

// check looks at the three parts of the URI.
func (i Identity) check() error {
	if !slices.Contains(Roles(), i.Role) {
		return fmt.Errorf("%w: %q is not a role", ErrIdentity, i.Role)
	}
	if !isName(i.ID, maxIDBytes, true) {
		return fmt.Errorf("%w: id %q is not 1 to %d letters, digits, dots, dashes or underscores", ErrIdentity, i.ID, maxIDBytes)
	}
	if !isName(i.TrustDomain, maxDomainBytes, false) {
		return fmt.Errorf("%w: %q is not a trust domain", ErrIdentity, i.TrustDomain)
	}
	return nil
}

// isName tells whether s has 1 to limit letters, digits, dots, dashes and underscores, and something beside dots, so
// that it can be a file name and a key as well.
func isName(s string, limit int, upper bool) bool {
	if len(s) == 0 || len(s) > limit || strings.Trim(s, ".") == "" {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		case upper && 'A' <= c && c <= 'Z':
		default:
			return false
		}
	}
	return true
}
