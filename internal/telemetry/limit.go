package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// maxLimited bounds how many messages a limited log remembers. Messages are constants, so a daemon has fewer.
const maxLimited = 1024

// Limited returns a logger that lets each warning or error, told apart by its message, through once in an interval.
// The next one says in held_back how many it stands for. Lower levels pass as they are. Loggers made from it with With
// share its memory.
func Limited(log *slog.Logger, interval time.Duration) *slog.Logger {
	return slog.New(&limitHandler{
		Handler: log.Handler(),
		memory:  &limitMemory{interval: interval, last: map[string]*limitEntry{}},
	})
}

type limitHandler struct {
	slog.Handler
	memory *limitMemory
}

type limitMemory struct {
	interval time.Duration
	mu       sync.Mutex // guards last
	last     map[string]*limitEntry
}

type limitEntry struct {
	at   time.Time
	held int
}

func (h *limitHandler) Handle(ctx context.Context, record slog.Record) error {
	if record.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, record)
	}
	held, pass := h.memory.admit(record.Message, time.Now())
	if !pass {
		return nil
	}
	if held > 0 {
		record = record.Clone()
		record.AddAttrs(slog.Int(KeyHeldBack, held))
	}
	return h.Handler.Handle(ctx, record)
}

func (h *limitHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limitHandler{Handler: h.Handler.WithAttrs(attrs), memory: h.memory}
}

func (h *limitHandler) WithGroup(name string) slog.Handler {
	return &limitHandler{Handler: h.Handler.WithGroup(name), memory: h.memory}
}

func (m *limitMemory) admit(message string, now time.Time) (held int, pass bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, known := m.last[message]
	if !known {
		if len(m.last) >= maxLimited {
			clear(m.last)
		}
		m.last[message] = &limitEntry{at: now}
		return 0, true
	}
	if now.Sub(entry.at) < m.interval {
		entry.held++
		return 0, false
	}
	held, entry.at, entry.held = entry.held, now, 0
	return held, true
}
