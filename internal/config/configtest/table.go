// Package configtest stands, in tests of daemons, for the operator with the table and for confsync: it publishes
// configurations to a store, and waits for what the daemon says became of them.
package configtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
)

// patience is how long a daemon may take to say what became of a configuration.
const patience = 20 * time.Second

// Services is the table service_config with one row, under the default name.
type Services struct {
	// Store is what the daemon follows.
	Store confstore.Store

	t        testing.TB
	role     string
	keys     config.Keys
	term     confstore.Term
	revision uint64
}

// NewServices returns a table without a row, and a store in memory.
func NewServices(t testing.TB, role string) *Services {
	t.Helper()
	return NewServicesIn(t, role, confstore.NewMemory())
}

// NewServicesIn returns a table without a row, in front of a store.
func NewServicesIn(t testing.TB, role string, store confstore.Store) *Services {
	t.Helper()
	keys, err := config.NewKeys(config.DefaultRoot)
	if err != nil {
		t.Fatal(err)
	}
	s := &Services{Store: store, t: t, role: role, keys: keys}
	if s.term, err = s.Store.Lead(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	return s
}

// Publish writes a configuration under the next revision, and returns that.
func (s *Services) Publish(c *configv1.ServiceConfig) uint64 {
	s.t.Helper()
	s.revision++
	value, err := config.EncodeService(&configv1.PublishedServiceConfig{
		Schema: config.Schema, Role: s.role, Name: config.DefaultName, Revision: s.revision, Hash: config.HashService(c),
		CommitTime: timestamppb.Now(), Config: c,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(value)
	return s.revision
}

// Delete deletes the row.
func (s *Services) Delete() { s.t.Helper(); s.write(nil) }

func (s *Services) write(value []byte) {
	s.t.Helper()
	if _, err := s.term.Checkpoint(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	change := confstore.Change{Key: s.keys.Config(s.role, config.DefaultName), Value: value}
	if err := s.term.Publish(s.t.Context(), []confstore.Change{change}, fmt.Append(nil, s.revision)); err != nil {
		s.t.Fatal(err)
	}
}

// Wait returns the first status that want takes.
func (s *Services) Wait(want func(*configv1.ConfigStatus) bool) *configv1.ConfigStatus {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var last *configv1.ConfigStatus
	for stamp := uint64(0); ; {
		entry, err := s.Store.Next(ctx, s.keys.Status(s.role, config.DefaultName), stamp)
		if err != nil {
			s.t.Fatalf("%v; the last status is %v", err, last)
		}
		stamp = entry.Stamp
		if last, _, err = config.DecodeStatus(entry.Value); err != nil {
			s.t.Fatal(err)
		}
		if want(last) {
			return last
		}
	}
}

// Set publishes a configuration and returns what became of it.
func (s *Services) Set(c *configv1.ServiceConfig) *configv1.ConfigStatus {
	s.t.Helper()
	revision := s.Publish(c)
	return s.Wait(func(got *configv1.ConfigStatus) bool {
		return got.GetWantedRevision() == revision && got.GetState() != configv1.ConfigState_CONFIG_STATE_APPLYING
	})
}

// MustApply publishes a configuration that must come into force.
func (s *Services) MustApply(c *configv1.ServiceConfig) *configv1.ConfigStatus {
	s.t.Helper()
	got := s.Set(c)
	if got.GetState() != configv1.ConfigState_CONFIG_STATE_APPLIED || got.GetRunningRevision() != s.revision ||
		got.GetRunningHash() != config.HashService(c) || got.GetRole() != s.role || got.GetBootId() == "" {
		s.t.Fatalf("got %v", got)
	}
	return got
}

// MustFail publishes a configuration that must be refused, for a field, by an error that says text.
func (s *Services) MustFail(c *configv1.ServiceConfig, field, text string) {
	s.t.Helper()
	if got := s.Set(c); got.GetState() != configv1.ConfigState_CONFIG_STATE_FAILED || got.GetField() != field ||
		!strings.Contains(got.GetError(), text) || got.GetRunningRevision() >= s.revision {
		s.t.Errorf("got %v, want field %s and %q", got, field, text)
	}
}
