package confsync

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"sonde.example/confsync/change"
	"sonde.example/confsync/change/sqlite"
	"sonde.example/internal/service"
)

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
