package embedded

import (
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"go.uber.org/zap/zapcore"

	"sonde.example/internal/telemetry"
)

// bridge brings the server's log into this process's. The server tells a lot; only what goes wrong is for an operator. It
// warns of what it was told to do while it starts, and calls each closed listener an error while it stops: only what it says
// while it serves is heard.
type bridge struct {
	log     *slog.Logger
	serving *atomic.Bool
	fields  []zapcore.Field
}

var _ zapcore.Core = bridge{}

// Enabled implements zapcore.LevelEnabler.
func (b bridge) Enabled(level zapcore.Level) bool {
	return level >= zapcore.WarnLevel && b.serving.Load()
}

// With implements zapcore.Core.
func (b bridge) With(fields []zapcore.Field) zapcore.Core {
	b.fields = append(b.fields[:len(b.fields):len(b.fields)], fields...)
	return b
}

// Check implements zapcore.Core.
func (b bridge) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(entry.Level) {
		return checked.AddCore(entry, b)
	}
	return checked
}

// Write implements zapcore.Core.
func (b bridge) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	encoder := zapcore.NewMapObjectEncoder()
	for _, f := range append(b.fields[:len(b.fields):len(b.fields)], fields...) {
		f.AddTo(encoder)
	}
	attributes := []any{telemetry.KeyComponent, "etcd"}
	for _, key := range slices.Sorted(maps.Keys(encoder.Fields)) {
		attributes = append(attributes, key, encoder.Fields[key])
	}
	if entry.Level >= zapcore.ErrorLevel {
		b.log.Error(entry.Message, attributes...)
	} else {
		b.log.Warn(entry.Message, attributes...)
	}
	return nil
}

// Sync implements zapcore.Core.
func (bridge) Sync() error { return nil }
