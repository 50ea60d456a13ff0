package mtls_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sonde.example/internal/mtls"
)

func TestIdentityOfReadsTheOneURI(t *testing.T) {
	end := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	certificate := &x509.Certificate{
		URIs:         []*url.URL{{Scheme: "spiffe", Host: "sonde.internal", Path: "/agent/probe-7.Site_a"}},
		Subject:      pkix.Name{CommonName: "probe-7.Site_a"},
		SerialNumber: big.NewInt(0xabcdef),
		NotAfter:     end,
	}
	got, err := mtls.IdentityOf(certificate)
	if err != nil {
		t.Fatal(err)
	}
	want := mtls.Identity{Role: mtls.RoleAgent, ID: "probe-7.Site_a", TrustDomain: "sonde.internal", Serial: "abcdef", NotAfter: end}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, want := got.String(), "spiffe://sonde.internal/agent/probe-7.Site_a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestIdentityOfTurnsAwayWhatIsNotSound(t *testing.T) {
	for name, change := range map[string]func(*x509.Certificate){
		"no uri":              func(c *x509.Certificate) { c.URIs = nil },
		"two uris":            func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) },
		"authority":           func(c *x509.Certificate) { c.IsCA = true },
		"another common name": func(c *x509.Certificate) { c.Subject.CommonName = "other" },
		"https":               uri("https://sonde.internal/agent/a"),
		"unknown role":        uri("spiffe://sonde.internal/root/a"),
		"role in capitals":    uri("spiffe://sonde.internal/Agent/a"),
		"no id":               uri("spiffe://sonde.internal/agent"),
		"empty id":            uri("spiffe://sonde.internal/agent/"),
		"one segment more":    uri("spiffe://sonde.internal/agent/a/b"),
		"dots as id":          uri("spiffe://sonde.internal/agent/.."),
		"space in id":         uri("spiffe://sonde.internal/agent/a%20b"),
		"slash in id":         uri("spiffe://sonde.internal/agent/a%2fb"),
		"escaped letter":      uri("spiffe://sonde.internal/%61gent/a"),
		"long id":             uri("spiffe://sonde.internal/agent/" + strings.Repeat("a", 65)),
		"umlaut":              uri("spiffe://sonde.internal/agent/ä"),
		"no domain":           uri("spiffe:///agent/a"),
		"domain in capitals":  uri("spiffe://Sonde.internal/agent/a"),
		"port":                uri("spiffe://sonde.internal:1/agent/a"),
		"user":                uri("spiffe://me@sonde.internal/agent/a"),
		"query":               uri("spiffe://sonde.internal/agent/a?b"),
		"empty query":         uri("spiffe://sonde.internal/agent/a?"),
		"fragment":            uri("spiffe://sonde.internal/agent/a#b"),
		"opaque":              uri("spiffe:sonde.internal/agent/a"),
	} {
		t.Run(name, func(t *testing.T) {
			certificate := &x509.Certificate{SerialNumber: big.NewInt(1)}
			uri("spiffe://sonde.internal/agent/a")(certificate)
			if _, err := mtls.IdentityOf(certificate); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			change(certificate)
			if id, err := mtls.IdentityOf(certificate); !errors.Is(err, mtls.ErrIdentity) {
				t.Errorf("got %v, %v; want ErrIdentity", id, err)
			}
		})
	}
}

// uri returns a change that gives a certificate one URI.
func uri(text string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		u, err := url.Parse(text)
		if err != nil {
			panic(err)
		}
		c.URIs = []*url.URL{u}
	}
}

// FuzzIdentity holds that a URI is taken only in the one spelling that its parts give back.
func FuzzIdentity(f *testing.F) {
	for _, seed := range []string{
		"spiffe://sonde.internal/agent/a", "spiffe://sonde.internal/agent/a?", "spiffe://d/operator/%41", "spiffe:///agent/a",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		id, err := mtls.IdentityOf(&x509.Certificate{URIs: []*url.URL{u}, SerialNumber: big.NewInt(1)})
		if err != nil {
			if !errors.Is(err, mtls.ErrIdentity) {
				t.Fatalf("error is not an ErrIdentity: %v", err)
			}
			return
		}
		// The scheme's case and an empty fragment are gone after parsing; nothing else may differ.
		if canonical := id.String(); !strings.EqualFold(canonical, strings.TrimSuffix(text, "#")) || len(id.ID) > 64 || strings.ContainsAny(id.ID, "/%?#\x00 ") {
			t.Fatalf("%q was taken as %+v", text, id)
		}
	})
}
