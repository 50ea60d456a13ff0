package confsync

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"sonde.example/internal/mtls"
)

// Config is what an operator sets.
type Config struct {
	// Database is the URL of the tables.
	Database string
	// ConfigStore is the URL of the store that daemons watch.
	ConfigStore string
	// Name tells this process among several.
	Name string
	// ConfirmDeletions lets any number of agents be deleted at once.
	ConfirmDeletions bool
	// Admin is the address of the admin HTTP; empty means none.
	Admin string
	// TLS are the certificate files.
	TLS mtls.Files
}

// DefaultConfig returns what holds unless an operator says otherwise. The certificates have no default.
func DefaultConfig() Config {
	name, err := os.Hostname()
	if err != nil {
		name = "confsync"
	}
	return Config{
		Database: "sqlite:config.db", ConfigStore: "etcd://127.0.0.1:2379", Admin: "127.0.0.1:9466",
		Name: fmt.Sprintf("%s-%d", name, os.Getpid()),
	}
}

// RegisterFlags adds the daemon's flags; the defaults are the values already in c.
func (c *Config) RegisterFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Database, "database", c.Database, "where the configuration tables are: sqlite:PATH")
	fs.StringVar(&c.ConfigStore, "config-store", c.ConfigStore, "store that the daemons watch: etcd://HOST:PORT[,HOST:PORT...][?root=/sonde]")
	fs.StringVar(&c.Name, "name", c.Name, "name of this process among several that want to lead")
	fs.BoolVar(&c.ConfirmDeletions, "confirm-deletions", c.ConfirmDeletions, "let more than 20 agents, and more than 30 % of them, be deleted at once")
	fs.StringVar(&c.Admin, "admin", c.Admin, "host:port of the admin HTTP with metrics and health; empty: none")
	fs.Lookup("name").DefValue = "host and process id"
	c.TLS.RegisterFlags(fs)
}

// Validate returns everything that is wrong, each named by its flag.
func (c *Config) Validate() error { return c.validate(true) }

// validate leaves out what reaching a store needs when it was given one.
func (c *Config) validate(store bool) error {
	var bad []error
	if path, ok := strings.CutPrefix(c.Database, "sqlite:"); !ok || path == "" {
		bad = append(bad, fmt.Errorf("--database: %q is not sqlite:PATH", c.Database))
	}
	if c.Name == "" {
		bad = append(bad, errors.New("--name: is empty"))
	}
	if c.Admin != "" {
		if _, _, err := net.SplitHostPort(c.Admin); err != nil {
			bad = append(bad, fmt.Errorf("--admin: %q is not host:port", c.Admin))
		}
	}
	if store {
		if _, _, _, err := parseStore(c.ConfigStore); err != nil {
			bad = append(bad, fmt.Errorf("--config-store: %w", err))
		}
		bad = append(bad, c.TLS.Validate())
	}
	return errors.Join(bad...)
}
