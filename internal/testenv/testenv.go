// Package testenv is what tests of several packages need: certificates, a log that goes to the test, the outside
// servers and the corpus that a machine offers. Only tests import it.
package testenv

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"sonde.example/internal/mtls"
)

// Log returns a logger that writes to the test's output.
func Log(t testing.TB) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Certificates makes an authority and a certificate for each role in a directory of the test's own: service "local" for
// localhost, 127.0.0.1 and ::1, agent "local", operator "admin", viewer "viewer", good for a year from now. In a
// synctest bubble call it inside, for the bubble has its own now.
func Certificates(t testing.TB) mtls.Development {
	t.Helper()
	certificates, err := mtls.EnsureDevelopment(t.TempDir(), mtls.DevelopmentOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return certificates
}

// Agent issues a certificate for one more agent, by the authority that made the others.
func Agent(t testing.TB, certificates mtls.Development, id string) mtls.Files {
	t.Helper()
	return Issue(t, certificates, mtls.RoleAgent, id)
}

// Issue issues one more certificate, by the authority that made the others. A service's is good for localhost.
func Issue(t testing.TB, certificates mtls.Development, role mtls.Role, id string, hosts ...string) mtls.Files {
	t.Helper()
	authority, err := mtls.OpenAuthority(strings.TrimSuffix(certificates.Service.CA, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if role == mtls.RoleService && len(hosts) == 0 {
		hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	files, err := authority.Issue(role, id, hosts, mtls.DevelopmentValidity)
	if err != nil {
		t.Fatal(err)
	}
	files.Revoked = certificates.Service.Revoked
	return files
}

// Source opens files. Nothing follows them unless the test runs the source.
func Source(t testing.TB, files mtls.Files) *mtls.Source {
	t.Helper()
	source, err := mtls.Open(files, Log(t))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// Corpus returns the folder of captures that SONDE_TEST_CORPUS names, or "" when this machine has none. It is an extra:
// a test does real work without it.
func Corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SONDE_TEST_CORPUS")
	if dir == "" {
		return ""
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Fatalf("SONDE_TEST_CORPUS=%s is not a folder", dir)
	}
	return dir
}

// Service returns the URL of a real server, from SONDE_TEST_<NAME>, for a name such as "redis". Without one the test is
// skipped; it fails instead when SONDE_TEST_REQUIRE, a list with commas, holds the name or "all", so that where servers
// must be there nothing is skipped unseen.
func Service(t testing.TB, name string) string {
	t.Helper()
	variable := "SONDE_TEST_" + strings.ToUpper(name)
	if url := os.Getenv(variable); url != "" {
		return url
	}
	required := strings.Split(os.Getenv("SONDE_TEST_REQUIRE"), ",")
	if slices.Contains(required, name) || slices.Contains(required, "all") {
		t.Fatalf("%s is required, but %s is empty", name, variable)
	}
	t.Skipf("needs %s: set %s to its URL", name, variable)
	return ""
}
