package cli

import (
	"context"
	"errors"
)

// stack runs daemons one on top of the other in one process: each is started when those below it run, and they end from the
// top down, each when all above it have ended, so that what is on its way still arrives. One that ends, for whatever
// reason, ends all. It belongs to one goroutine.
type stack struct {
	// over ends when the first daemon has ended, or the context that the stack was made with.
	over    context.Context
	topple  context.CancelFunc
	running []running
}

// running is one daemon of a stack.
type running struct {
	daemon
	stop  context.CancelFunc
	ended chan error
}

func newStack(ctx context.Context) *stack {
	s := &stack{}
	s.over, s.topple = context.WithCancel(ctx)
	return s
}

// start puts a daemon on top.
func (s *stack) start(d daemon) {
	ctx, stop := context.WithCancel(context.WithoutCancel(s.over))
	r := running{daemon: d, stop: stop, ended: make(chan error, 1)}
	s.running = append(s.running, r)
	go func() {
		defer s.topple()
		r.ended <- d.Run(ctx)
	}()
}

// end ends all and returns what they had to say. Ending again does nothing.
func (s *stack) end() error {
	var errs []error
	for i := len(s.running) - 1; i >= 0; i-- {
		r := s.running[i]
		r.stop()
		errs = append(errs, <-r.ended, r.Close())
	}
	s.running = nil
	s.topple()
	return errors.Join(errs...)
}
