package confstore_test

import (
	"errors"
	"testing"

	"sonde.example/internal/confstore"
	"sonde.example/internal/confstore/confstoretest"
)

func TestMemoryKeepsItsPromises(t *testing.T) {
	stores := map[string]*confstore.Memory{}
	confstoretest.Run(t, func(t *testing.T, root string) confstore.Store {
		if stores[root] == nil || t.Name() == "TestMemoryKeepsItsPromises/closed" {
			stores[root] = confstore.NewMemory()
		}
		return stores[root]
	})
}

func TestMemoryForgetsWhatWasCompacted(t *testing.T) {
	m := confstore.NewMemory()
	ctx := t.Context()
	term, err := m.Lead(ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range [][]byte{[]byte("1"), nil} {
		if err := term.Publish(ctx, []confstore.Change{{Key: "/a", Value: value}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	m.Compact()
	if _, _, err := m.NextUnder(ctx, "/", 1); !errors.Is(err, confstore.ErrCompacted) {
		t.Errorf("got %v", err)
	}
	gone, err := m.Next(ctx, "/a", 1)
	if err != nil || gone.Value != nil {
		t.Errorf("got %v, %v", gone, err)
	}
	m.Depose()
	if err := term.Publish(ctx, nil, nil); !errors.Is(err, confstore.ErrFenced) {
		t.Errorf("got %v", err)
	}
}
