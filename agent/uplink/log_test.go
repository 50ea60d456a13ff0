package uplink_test

import (
	"bytes"
	"log/slog"
)

// logTap hands on warnings and errors, as far as somebody listens.
type logTap struct{ told chan string }

func (l *logTap) Write(line []byte) (int, error) {
	select {
	case l.told <- string(bytes.TrimSpace(line)):
	default:
	}
	return len(line), nil
}

func (l *logTap) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
