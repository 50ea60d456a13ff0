// Package telemetry is how a daemon is watched: its log, its metrics, and the small HTTP server that tells whether it
// is alive and ready. Everything is made here and handed on; nothing registers itself anywhere.
package telemetry

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// Keys of log attributes. One thing has one key, so that a search finds it in every daemon's log.
const (
	KeyComponent      = "component"
	KeyAgent          = "agent"
	KeyEpoch          = "epoch"
	KeyLane           = "lane"
	KeySequence       = "sequence"
	KeySessionNumber  = "session_number"
	KeySessionID      = "session_id"
	KeyConfigRevision = "config_revision"
	KeyCapturePoint   = "capture_point"
	KeyModel          = "model"
	KeyModelVersion   = "model_version"
	KeyPeer           = "peer"
	KeyMethod         = "method"
	KeyAddress        = "address"
	KeyURL            = "url"
	KeyFile           = "file"
	KeyReason         = "reason"
	KeyDuration       = "duration"
	KeyHeldBack       = "held_back"
	KeyError          = "err"
)

// Formats of a log.
const (
	FormatAuto = "auto" // text on a terminal, otherwise JSON
	FormatText = "text"
	FormatJSON = "json"
)

// LogConfig is what an operator says about the log.
type LogConfig struct {
	Level  string // debug, info, warn or error
	Format string // FormatAuto, FormatText or FormatJSON
}

// DefaultLogConfig is info and above, in the form that suits where it goes.
func DefaultLogConfig() LogConfig {
	return LogConfig{Level: "info", Format: FormatAuto}
}

// RegisterFlags adds --log-level and --log-format; the defaults are the values already in c.
func (c *LogConfig) RegisterFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Level, "log-level", c.Level, "least severity that is logged: debug, info, warn or error")
	fs.StringVar(&c.Format, "log-format", c.Format, "form of the log: text, json, or auto (text on a terminal, otherwise json)")
}

// Validate returns everything that is wrong, each named by its flag.
func (c *LogConfig) Validate() error {
	_, err := c.level()
	if c.Format != FormatAuto && c.Format != FormatText && c.Format != FormatJSON {
		err = errors.Join(err, fmt.Errorf("--log-format: %q is not text, json or auto", c.Format))
	}
	return err
}

func (c *LogConfig) level() (slog.Level, error) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[c.Level]
	if !ok {
		return 0, fmt.Errorf("--log-level: %q is not debug, info, warn or error", c.Level)
	}
	return level, nil
}

// NewLogger returns a logger that writes to w, usually stderr.
func NewLogger(w io.Writer, c LogConfig) (*slog.Logger, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	level, err := c.level()
	if err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == FormatText || c.Format == FormatAuto && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return slog.New(slog.NewJSONHandler(w, options)), nil
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// NewRegistry returns a registry with what the Go runtime and the operating system tell about the process.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}
