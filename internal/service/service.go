// Package service holds what the life of every daemon has in common: things that run until their context ends, started
// together and stopped in order, signals, and start-up settings taken from flags and the environment. A daemon that it
// runs ends when everything in it has ended; no goroutine is left behind.
package service

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Service is whatever lives. Run blocks until ctx ends or the service cannot go on, and leaves nothing running. Run
// returns nil, or the context's error, when it ended because ctx did.
type Service interface {
	Run(ctx context.Context) error
}

// Func makes a function a Service.
type Func func(ctx context.Context) error

// Run calls f.
func (f Func) Run(ctx context.Context) error { return f(ctx) }

// Run runs services side by side. When one fails the context of the others ends, and the first error is returned after
// all have ended. One that returns nil has done its work; the others go on. When ctx ends, the result is nil unless a
// service has another error than the context's.
func Run(ctx context.Context, services ...Service) error {
	group, inner := errgroup.WithContext(ctx)
	for _, s := range services {
		group.Go(func() error { return unlessEnded(inner, s.Run(inner)) })
	}
	return group.Wait()
}

// InOrder is one service made of the stages of a pipeline, first the head. When ctx ends only the head is told; each
// later stage is told when all before it have returned, so that what is on its way still arrives. When a stage fails,
// all are told at once, and the first error is returned after all have ended. A stage that returns nil early, as one
// that reads a finite file does, lets the next ones drain in turn.
func InOrder(stages ...Service) Service {
	return Func(func(ctx context.Context) error {
		group, failed := errgroup.WithContext(context.WithoutCancel(ctx))
		before := ctx.Done() // closed when the next stage is to be told
		for i, stage := range stages {
			inner, cancel := context.WithCancel(failed)
			told, returned, drained := before, make(chan struct{}), make(chan struct{})
			group.Go(func() error {
				defer close(returned)
				return unlessEnded(inner, stage.Run(inner))
			})
			group.Go(func() error {
				defer close(drained)
				defer cancel()
				select {
				case <-told:
					cancel()
				case <-returned:
					if i > 0 { // it ended by itself, and so may those before it still go on
						<-told
					}
				}
				<-returned
				return nil
			})
			before = drained
		}
		return group.Wait()
	})
}

// unlessEnded drops the context's own error once the context has ended, for that is how a service obeys.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return nil
	}
	return err
}

// Signals returns a context that ends at the first SIGINT or SIGTERM. The second one kills the process, as it would
// without Sonde, so that nobody has to wait for a drain. Call stop to hear no more signals.
func Signals(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	ctx, stop = signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
