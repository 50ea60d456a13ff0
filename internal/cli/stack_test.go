package cli

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// storey is a daemon that writes down when it ends.
type storey struct {
	name   string
	ended  *[]string
	err    error // with which it ends by itself, if set
	closed bool
}

func (s *storey) Run(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	<-ctx.Done()
	*s.ended = append(*s.ended, s.name)
	return nil
}

func (s *storey) Close() error {
	s.closed = true
	return nil
}

func TestStackEndsFromTheTop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newStack(ctx)
	var ended []string
	storeys := []*storey{{name: "ground", ended: &ended}, {name: "middle", ended: &ended}, {name: "top", ended: &ended}}
	for _, d := range storeys {
		s.start(d)
	}
	cancel()
	<-s.over.Done()
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if want := []string{"top", "middle", "ground"}; !slices.Equal(ended, want) {
		t.Errorf("ended %v, want %v", ended, want)
	}
	for _, d := range storeys {
		if !d.closed {
			t.Errorf("%s is not closed", d.name)
		}
	}
}

func TestStackIsOverWhenOneEnds(t *testing.T) {
	s := newStack(t.Context())
	broken := errors.New("broken")
	var ended []string
	s.start(&storey{ended: &ended, err: broken})
	s.start(&storey{name: "top", ended: &ended})
	<-s.over.Done()
	if err := s.end(); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if !slices.Equal(ended, []string{"top"}) {
		t.Errorf("ended %v", ended)
	}
}
