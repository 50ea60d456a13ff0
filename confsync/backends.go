package confsync

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"

	"sonde.example/confsync/change"
	"sonde.example/confsync/change/sqlite"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/confstore/etcd"
	"sonde.example/internal/mtls"
	"sonde.example/internal/service"
)

// parseStore reads the URL of the store, and where in it the tree begins.
func parseStore(url string) (endpoints []string, keys config.Keys, root string, err error) {
	endpoints, root, err = etcd.ParseURL(url)
	if err != nil {
		return nil, config.Keys{}, "", err
	}
	root = cmp.Or(root, config.DefaultRoot)
	keys, err = config.NewKeys(root)
	return endpoints, keys, root, err
}

// openStore opens the store to publish to. It does not wait for it.
func openStore(ctx context.Context, url string, certs *mtls.Source, log *slog.Logger) (confstore.Store, config.Keys, error) {
	endpoints, keys, root, err := parseStore(url)
	if err != nil {
		return nil, config.Keys{}, err
	}
	store, err := etcd.Open(ctx, etcd.Options{Endpoints: endpoints, Root: root, TLS: certs.ClientConfig(mtls.Peer{}), Log: log})
	return store, keys, err
}

// openSource opens the tables to be followed.
func openSource(ctx context.Context, url string) (change.Source, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return sqlite.Open(ctx, path)
	}
	return nil, noTables(url)
}

// openTables opens the tables to be edited.
func openTables(ctx context.Context, url string) (*sql.DB, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return sqlite.OpenDB(ctx, path)
	}
	return nil, noTables(url)
}

func noTables(url string) error {
	return fmt.Errorf("no tables at %q; write sqlite:PATH", service.Redacted(url))
}
