package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	// DevelopmentDomain is the trust domain of development certificates; .internal is reserved for private use.
	DevelopmentDomain = "sonde.internal"
	// DevelopmentValidity is how long development certificates, the authority's included, are good for.
	DevelopmentValidity = 365 * 24 * time.Hour

	authorityName = "Sonde development authority"
	// backdate lets a certificate be used at once by a peer whose clock is a little behind.
	backdate = 5 * time.Minute
)

// Authority makes certificates, ECDSA P-256, for development and tests. It lives in a directory, as ca.crt and ca.key.
type Authority struct {
	dir         string
	domain      string
	certificate *x509.Certificate
	key         crypto.Signer
}

// CreateAuthority makes an authority for a trust domain in a directory, which is made if it is missing. It never
// overwrites: if ca.crt or ca.key is there the error is fs.ErrExist.
func CreateAuthority(dir, domain string, validity time.Duration) (*Authority, error) {
	for _, name := range []string{"ca.crt", "ca.key"} {
		if path := filepath.Join(dir, name); exists(path) {
			return nil, fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
	}
	return ensureAuthority(dir, domain, validity)
}

// OpenAuthority reads the authority that CreateAuthority left in a directory.
func OpenAuthority(dir string) (*Authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, fmt.Errorf("open authority in %s: %w", dir, err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA || len(pair.Leaf.URIs) != 1 {
		return nil, fmt.Errorf("%s: not an authority made by sonde certs", filepath.Join(dir, "ca.crt"))
	}
	return &Authority{dir: dir, domain: pair.Leaf.URIs[0].Host, certificate: pair.Leaf, key: key}, nil
}

// ensureAuthority makes what is missing. Two processes that do it at the same time end with the same files, because
// each goes on with the file that it finds when somebody else was first.
func ensureAuthority(dir, domain string, validity time.Duration) (*Authority, error) {
	if !isName(domain, maxDomainBytes, false) {
		return nil, fmt.Errorf("%w: %q is not a trust domain", ErrIdentity, domain)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if exists(filepath.Join(dir, "ca.crt")) && !exists(filepath.Join(dir, "ca.key")) { // ours has its key first
		return nil, fmt.Errorf("%s has no ca.key beside it, so no certificates can be made", filepath.Join(dir, "ca.crt"))
	}
	key, err := ensureKey(filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, err
	}
	_, err = ensureFile(filepath.Join(dir, "ca.crt"), 0o644, func() ([]byte, error) {
		template, err := newTemplate(authorityName, validity)
		if err != nil {
			return nil, err
		}
		template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		template.URIs = []*url.URL{{Scheme: scheme, Host: domain}}
		return sign(template, template, key.Public(), key)
	})
	if err != nil {
		return nil, err
	}
	return OpenAuthority(dir)
}

// Domain returns the trust domain that the authority vouches for.
func (a *Authority) Domain() string { return a.domain }

// Issue makes a certificate and its key, as ROLE-ID.crt and ROLE-ID.key in the authority's directory, and returns
// their names. Hosts are the DNS names and IP addresses under which a service is dialed; the other roles need none. It
// never overwrites: if one of the files is there the error is fs.ErrExist.
func (a *Authority) Issue(role Role, id string, hosts []string, validity time.Duration) (Files, error) {
	files := filesOf(a.dir, role, id)
	for _, path := range []string{files.Certificate, files.Key} {
		if exists(path) {
			return Files{}, fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
	}
	return a.ensure(role, id, hosts, validity)
}

func filesOf(dir string, role Role, id string) Files {
	stem := filepath.Join(dir, string(role)+"-"+id)
	return Files{CA: filepath.Join(dir, "ca.crt"), Certificate: stem + ".crt", Key: stem + ".key"}
}

func (a *Authority) ensure(role Role, id string, hosts []string, validity time.Duration) (Files, error) {
	identity := Identity{Role: role, ID: id, TrustDomain: a.domain}
	if err := identity.check(); err != nil {
		return Files{}, err
	}
	files := filesOf(a.dir, role, id)
	key, err := ensureKey(files.Key)
	if err != nil {
		return Files{}, err
	}
	_, err = ensureFile(files.Certificate, 0o644, func() ([]byte, error) {
		template, err := newTemplate(id, validity)
		if err != nil {
			return nil, err
		}
		template.BasicConstraintsValid = true
		template.KeyUsage = x509.KeyUsageDigitalSignature
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if role == RoleService { // a service is a client too: the collector calls inference
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}
		template.URIs = []*url.URL{{Scheme: scheme, Host: a.domain, Path: "/" + string(role) + "/" + id}}
		for _, host := range hosts {
			if ip := net.ParseIP(host); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, host)
			}
		}
		return sign(template, a.certificate, key.Public(), a.key)
	})
	if err != nil {
		return Files{}, err
	}
	return files, nil
}

func newTemplate(commonName string, validity time.Duration) (*x509.Certificate, error) {
	if validity <= 0 {
		return nil, fmt.Errorf("validity %s is not positive", validity)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // 20 bytes at most (RFC 5280, 4.1.2.2)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(validity),
	}, nil
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// ensureKey returns the private key in a file, which it makes, readable by the owner only, if it is missing.
func ensureKey(path string) (crypto.Signer, error) {
	text, err := ensureFile(path, 0o600, func() ([]byte, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: not a PEM file", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: not a key that can sign", path)
	}
	return signer, nil
}

// ensureFile returns what is in a file, which it makes if it is missing. The file appears whole or not at all: it is
// written under another name first, and a hard link never replaces.
func ensureFile(path string, mode os.FileMode, content func() ([]byte, error)) (text []byte, err error) {
	if text, err = os.ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	if text, err = content(); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".certs-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Remove(temporary.Name())) }()
	_, err = temporary.Write(text)
	if err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close()); err != nil {
		return nil, err
	}
	if err = os.Link(temporary.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(path)
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not a PEM file")
	}
	return x509.ParseCertificate(block.Bytes)
}

// exists counts what cannot be looked at as missing; the attempt to make it then tells why.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
