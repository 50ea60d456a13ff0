package publish

import (
	"errors"
	"fmt"
	"sync"
	"time"

	configv1 "sonde.example/gen/go/sonde/config/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

// Compile turns filter text into programs, one for each link type that it fits; filter.Compile behind it cannot be
// interrupted.
type Compile func(text string) ([]*configv1.Program, error)

// CompileFilter compiles for the link types that live capture points have: Ethernet, and bare IP. A filter that only
// Ethernet can have ("vlan", "ether host") fits that alone; one that does not fit Ethernet is wrong.
func CompileFilter(text string) ([]*configv1.Program, error) {
	program, err := filter.Compile(text, packet.LinkEthernet)
	if err != nil {
		return nil, err
	}
	programs := []*configv1.Program{config.EncodeProgram(program)}
	if raw, err := filter.Compile(text, packet.LinkRaw); err == nil {
		programs = append(programs, config.EncodeProgram(raw))
	}
	return programs, nil
}

const (
	compileWorkers = 2
	compileQuick   = 100 * time.Millisecond // what a row waits for; what takes longer is published when it is there
	compileSlow    = 5 * time.Second        // beyond, the filter is refused
	compileCache   = 1024                   // texts
)

var errSlow = errors.New("takes too long to compile: it has too many alternatives")

// compiler compiles each text once, a few at the same time, and lets nobody wait for a slow one.
type compiler struct {
	compile Compile
	workers chan struct{}
	ready   func(text string) // called, on a goroutine of its own, when a text that was not ready is

	mu    sync.Mutex // guards what follows
	texts map[string]*compiled
}

type compiled struct {
	done     chan struct{}
	programs []*configv1.Program
	err      error
	slow     bool // refused before it was done; guarded by compiler.mu
}

func newCompiler(compile Compile, ready func(text string)) *compiler {
	return &compiler{compile: compile, ready: ready, workers: make(chan struct{}, compileWorkers), texts: map[string]*compiled{}}
}

// get returns the programs of a text, or false when they are not ready yet; ready tells when they are.
func (c *compiler) get(text string) (programs []*configv1.Program, ok bool, err error) {
	c.mu.Lock()
	job := c.texts[text]
	if job == nil {
		if len(c.texts) >= compileCache {
			c.forget()
		}
		job = &compiled{done: make(chan struct{})}
		c.texts[text] = job
		go c.work(text, job)
	}
	slow := job.slow
	c.mu.Unlock()
	if slow {
		return nil, true, errSlow
	}
	timer := time.NewTimer(compileQuick)
	defer timer.Stop()
	select {
	case <-job.done:
		return job.programs, true, job.err
	case <-timer.C:
		return nil, false, nil
	}
}

// forget makes room: of texts that are done any can go, for what it was needed for is published. The caller holds mu.
func (c *compiler) forget() {
	for text, job := range c.texts {
		select {
		case <-job.done:
			delete(c.texts, text)
		default:
		}
	}
}

func (c *compiler) work(text string, job *compiled) {
	c.workers <- struct{}{}
	began := time.Now()
	overdue := time.AfterFunc(compileSlow, func() {
		c.mu.Lock()
		job.slow = true
		c.mu.Unlock()
		c.ready(text)
	})
	job.programs, job.err = c.run(text)
	<-c.workers
	close(job.done)
	if overdue.Stop() && time.Since(began) >= compileQuick {
		c.ready(text)
	}
}

func (c *compiler) run(text string) (programs []*configv1.Program, err error) {
	defer func() { // libpcap's lexer is not ours; one text must not end confsync
		if p := recover(); p != nil {
			programs, err = nil, fmt.Errorf("compiler failed: %v", p)
		}
	}()
	return c.compile(text)
}
