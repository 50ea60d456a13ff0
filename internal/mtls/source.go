package mtls

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
)

const (
	// pollInterval is how often Run looks at the files. With closeGrace it keeps a revoked agent's stay below 10 s.
	pollInterval = 2 * time.Second
	// closeGrace is how long a connection may go on after its certificate has expired or was revoked: enough to
	// finish a batch and read the last ack.
	closeGrace = 5 * time.Second
	// maxFileBytes bounds what is read of a file; a bundle of a hundred authorities has some 100 KiB.
	maxFileBytes = 4 << 20
)

// Files names a daemon's PEM files. CA may hold several authorities, as it does while one takes over from another.
// Revoked is optional: serial numbers in hexadecimal, one a line, # begins a comment.
type Files struct {
	CA          string
	Certificate string
	Key         string
	Revoked     string
}

// RegisterFlags adds --tls-ca, --tls-certificate, --tls-key and --tls-revoked; the defaults are the values already in f.
func (f *Files) RegisterFlags(fs *pflag.FlagSet) {
	fs.StringVar(&f.CA, "tls-ca", f.CA, "PEM file of the certificate authorities that peers are checked against")
	fs.StringVar(&f.Certificate, "tls-certificate", f.Certificate, "PEM file of this side's certificate")
	fs.StringVar(&f.Key, "tls-key", f.Key, "PEM file of the certificate's private key")
	fs.StringVar(&f.Revoked, "tls-revoked", f.Revoked, "file of revoked serial numbers, one a line; empty: none")
}

// Validate returns everything that is missing, each named by its flag. Whether the files are sound Open tells.
func (f *Files) Validate() error {
	var bad []error
	for _, required := range [][2]string{{"--tls-ca", f.CA}, {"--tls-certificate", f.Certificate}, {"--tls-key", f.Key}} {
		if required[1] == "" {
			bad = append(bad, fmt.Errorf("%s: needed, since every connection is mutual TLS", required[0]))
		}
	}
	return errors.Join(bad...)
}

func (f Files) paths() []string {
	paths := []string{f.CA, f.Certificate, f.Key}
	if f.Revoked != "" {
		paths = append(paths, f.Revoked)
	}
	return paths
}

// Source is a daemon's own certificate and what it trusts. All methods may be called by many goroutines.
type Source struct {
	files   Files
	log     *slog.Logger
	current atomic.Pointer[state]

	mu       sync.Mutex // guards what follows
	seen     fingerprint
	failure  string // the last failure told, so that it is told once
	warnedOf string // the serial whose coming end was told
	gates    map[*Gate]struct{}
}

// state is what one reading of the files gave; it never changes.
type state struct {
	identity    Identity
	notBefore   time.Time
	certificate *tls.Certificate
	roots       *x509.CertPool
	revoked     map[string]struct{}
	server      *tls.Config
}

// Open reads the files. It fails unless they hold at least one authority, a key that belongs to the certificate, and a
// certificate with a sound identity that has not expired. Without Run the source stays as it was opened.
func Open(files Files, log *slog.Logger) (*Source, error) {
	s := &Source{files: files, log: log.With("component", "mtls"), gates: map[*Gate]struct{}{}}
	s.seen = lookAt(files.paths())
	next, err := s.read()
	if err != nil {
		return nil, err
	}
	s.current.Store(next)
	return s, nil
}

// Identity returns who this daemon is, by the certificate in use now.
func (s *Source) Identity() Identity {
	return s.current.Load().identity
}

// Require returns an error that names the certificate's file when it is for another role than this daemon's.
func (s *Source) Require(role Role) error {
	if own := s.Identity().Role; own != role {
		return fmt.Errorf("--tls-certificate: %s is a certificate for the role %s; want one for the role %s", s.files.Certificate, own, role)
	}
	return nil
}

// Revoked tells whether a serial number, in hexadecimal, is in the revocation list.
func (s *Source) Revoked(serial string) bool {
	_, revoked := s.current.Load().revoked[normalSerial(serial)]
	return revoked
}

// Valid returns ErrExpired or ErrRevoked when an identity that was once verified says nothing any more.
func (s *Source) Valid(id Identity) error {
	if time.Now().After(id.NotAfter) {
		return fmt.Errorf("%w: %s, serial %s, on %s", ErrExpired, id, id.Serial, id.NotAfter.UTC().Format(time.RFC3339))
	}
	if s.Revoked(id.Serial) {
		return fmt.Errorf("%w: %s, serial %s", ErrRevoked, id, id.Serial)
	}
	return nil
}

// Run follows the files and the clock until ctx ends: changed files are read, and connections whose certificate has
// expired or was revoked are told to drain and closed 5 s later. It returns nil when ctx ends.
func (s *Source) Run(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		s.warnOfEnd()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		s.follow()
		s.sweep(time.Now())
	}
}

// follow reads the files again when one has changed, or when the last reading failed: a renewal replaces several
// files, and may be seen half done.
func (s *Source) follow() {
	s.mu.Lock()
	seen, failed := s.seen, s.failure != ""
	s.mu.Unlock()
	if !failed && seen.equal(lookAt(s.files.paths())) {
		return
	}
	err := s.Reload()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.failure = ""
	case err.Error() != s.failure:
		s.failure = err.Error()
		s.log.Warn("certificate files not taken, the last good ones stay", "err", err)
	}
}

// Reload reads the files now. After an error the last good ones stay in use.
func (s *Source) Reload() error {
	seen := lookAt(s.files.paths()) // before reading: what changes meanwhile is seen by the next look
	next, err := s.read()
	if err != nil {
		return err
	}
	was, is := s.current.Load().identity, next.identity
	if was.String() != is.String() {
		return fmt.Errorf("%s: identity changed from %s to %s, which needs a restart", s.files.Certificate, was, is)
	}
	s.current.Store(next)
	s.mu.Lock()
	s.seen = seen
	s.mu.Unlock()
	s.log.Info("certificate files read", "serial", is.Serial, "not_after", is.NotAfter, "revoked", len(next.revoked))
	return nil
}

// warnOfEnd tells once that the certificate in use is in the last fifth of its life.
func (s *Source) warnOfEnd() {
	st := s.current.Load()
	id := st.identity
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warnedOf == id.Serial || time.Until(id.NotAfter) > id.NotAfter.Sub(st.notBefore)/5 {
		return
	}
	s.warnedOf = id.Serial
	s.log.Warn("certificate ends soon", "file", s.files.Certificate, "serial", id.Serial, "not_after", id.NotAfter)
}

// read makes a state of the files.
func (s *Source) read() (*state, error) {
	next := &state{roots: x509.NewCertPool(), revoked: map[string]struct{}{}}
	authorities, err := readFile(s.files.CA)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	if !next.roots.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("certificate authority: %s holds no certificate", s.files.CA)
	}
	chain, err := readFile(s.files.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := readFile(s.files.Key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", s.files.Certificate, s.files.Key, err)
	}
	if next.identity, err = IdentityOf(pair.Leaf); err != nil {
		return nil, fmt.Errorf("%s: %w", s.files.Certificate, err)
	}
	if time.Now().After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("%s: %w on %s", s.files.Certificate, ErrExpired, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if s.files.Revoked != "" {
		if next.revoked, err = readRevoked(s.files.Revoked); err != nil {
			return nil, fmt.Errorf("revocation list: %w", err)
		}
	}
	next.certificate, next.notBefore = &pair, pair.Leaf.NotBefore
	next.server = s.serverConfig(next)
	return next, nil
}

func readRevoked(path string) (map[string]struct{}, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	revoked := map[string]struct{}{}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		entry, _, _ := strings.Cut(string(line), "#")
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		serial := normalSerial(entry)
		if serial == "" || strings.Trim(serial, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("%s:%d: %q is not a serial number in hexadecimal", path, number, entry)
		}
		revoked[serial] = struct{}{}
	}
	return revoked, nil
}

// normalSerial spells a serial number as Identity.Serial does: lower case, no colons, no leading zeros.
func normalSerial(serial string) string {
	serial = strings.ToLower(strings.ReplaceAll(serial, ":", ""))
	if trimmed := strings.TrimLeft(serial, "0"); trimmed != "" || serial == "" {
		return trimmed
	}
	return "0"
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d that such a file may have", path, info.Size(), maxFileBytes)
	}
	return os.ReadFile(path)
}

// fingerprint is what a look at the files, without reading them, tells about their state. A file that is not there has
// a nil entry.
type fingerprint []os.FileInfo

func lookAt(paths []string) fingerprint {
	look := make(fingerprint, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			look[i] = info
		}
	}
	return look
}

// equal compares identity (device and inode, so that a swapped symbolic link counts), time and size.
func (f fingerprint) equal(other fingerprint) bool {
	for i, a := range f {
		b := other[i]
		if a == nil || b == nil {
			if a != b {
				return false
			}
			continue
		}
		if !os.SameFile(a, b) || !a.ModTime().Equal(b.ModTime()) || a.Size() != b.Size() {
			return false
		}
	}
	return true
}

// errNoPeer says that a handshake ended without the peer's certificate, which the settings make impossible.
var errNoPeer = errors.New("peer sent no certificate")
