package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// trialPeriod is how long after its coming into force a configuration is suspected when the process goes down.
	trialPeriod = time.Minute
	// maxCrashes is how often it may.
	maxCrashes = 2
	// maxGuarded bounds what is remembered of either kind.
	maxGuarded = 16
)

// guard remembers on disk what is on trial, so that a configuration that brings the process down again and again is found
// out by the next one.
//
//	begin ──> on trial ──┬── 60 s, or a stop in good order: end of the trial
//	                     └── the next process finds it: a crash; the second one denies the hash
//
// What has survived its trial once is trusted: a kill is not its fault. A denied hash is denied up to its revision, so that
// an operator can have it tried again by publishing it anew. All methods may be called on nil, which guards nothing.
type guard struct {
	folder, name string
	memory       guardMemory
}

// guardMemory is the file's form.
type guardMemory struct {
	Trial   *trial  `json:"trial,omitempty"`
	Crashed []trial `json:"crashed,omitempty"`
	Trusted []trial `json:"trusted,omitempty"`
}

type trial struct {
	Revision uint64 `json:"revision"`
	Hash     string `json:"hash"`
	Crashes  int    `json:"crashes,omitempty"`
}

func newGuard(folder, name string) *guard { return &guard{folder: folder, name: name} }

// boot reads the memory; who is still on trial has brought the last process down. A file that cannot be read is begun anew.
func (g *guard) boot() error {
	if g == nil {
		return nil
	}
	content, err := os.ReadFile(filepath.Join(g.folder, g.name)) //nolint:gosec // the operator's own folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(content, &g.memory)
	}
	if err != nil {
		g.memory = guardMemory{}
		return err
	}
	on := g.memory.Trial
	if on == nil {
		return nil
	}
	g.memory.Trial = nil
	for i := range g.memory.Crashed {
		if c := &g.memory.Crashed[i]; c.Hash == on.Hash {
			c.Revision = max(c.Revision, on.Revision)
			c.Crashes++
			return g.write()
		}
	}
	g.memory.Crashed = bounded(g.memory.Crashed, trial{Revision: on.Revision, Hash: on.Hash, Crashes: 1})
	return g.write()
}

// denied returns why a configuration must not be tried.
func (g *guard) denied(it identity) error {
	if g == nil {
		return nil
	}
	for _, c := range g.memory.Crashed {
		if c.Hash == it.hash && c.Crashes >= maxCrashes && it.revision <= c.Revision {
			return fmt.Errorf("it brought the process down %d times within %v of being applied", c.Crashes, trialPeriod)
		}
	}
	return nil
}

// begin puts a configuration on trial, before it is applied.
func (g *guard) begin(it identity) error {
	if g == nil || slices.ContainsFunc(g.memory.Trusted, func(t trial) bool { return t.Hash == it.hash }) {
		return g.end()
	}
	g.memory.Trial = &trial{Revision: it.revision, Hash: it.hash}
	return g.write()
}

// survived ends the trial with trust.
func (g *guard) survived() error {
	if g == nil || g.memory.Trial == nil {
		return nil
	}
	t := *g.memory.Trial
	g.memory.Crashed = slices.DeleteFunc(g.memory.Crashed, func(c trial) bool { return c.Hash == t.Hash })
	g.memory.Trusted = bounded(g.memory.Trusted, t)
	return g.end()
}

// end ends the trial without a finding.
func (g *guard) end() error {
	if g == nil || g.memory.Trial == nil {
		return nil
	}
	g.memory.Trial = nil
	return g.write()
}

func (g *guard) write() error {
	content, err := json.Marshal(&g.memory)
	if err != nil {
		return err
	}
	return writeFile(g.folder, g.name, content, nil)
}

// bounded appends, and lets the oldest go.
func bounded(all []trial, t trial) []trial {
	all = append(all, t)
	return slices.Delete(all, 0, max(0, len(all)-maxGuarded))
}
