package inference

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sonde.example/inference/batcher"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/mtls"
	"sonde.example/internal/serving"
)

// Config is what an operator sets.
type Config struct {
	// Listen is the address of all gRPC services, host:port; port 0 takes a free one.
	Listen string
	// Models is the folder of models, a path or file:PATH; empty leaves only what is
	// built in.
	Models string
	// Model is loaded at the start, and is what ClassifierService answers with
	// unless it is told otherwise.
	Model string
	// ONNXRuntime is the path of libonnxruntime.so; empty takes SONDE_ONNXRUNTIME, else
	// the one beside the executable, else what the system finds.
	ONNXRuntime string
	// Workers is how many runs go on at the same time; 0 means one a core.
	Workers int
	// MaxQueueRows bounds the rows that wait; 0 means eight full runs a worker.
	MaxQueueRows int
	// MaxDelay is how long a small request waits for company though a worker is free.
	MaxDelay time.Duration
	// Admin is the address of the admin HTTP; empty means none.
	Admin string
	// ConfigStore is the URL of the store that a configuration comes from; empty means that there are only the flags.
	ConfigStore string
	// ConfigName is the name under which it lies there.
	ConfigName string
	// State is the folder for the last good configuration; empty means none.
	State string
	// Store, if set, is used in the place of ConfigStore. It stays the caller's.
	Store confstore.Client
	// TLS are the certificate files.
	TLS mtls.Files

	// Version is the program's, told by ServerMetadata.
	Version string
	// BuiltIn is the repository inside the binary, used for models that Models does
	// not have; nil means none.
	BuiltIn fs.FS
}

// DefaultConfig is what is in force when nothing is said; the certificates are
// missing from it.
func DefaultConfig() Config {
	return Config{Listen: ":8001", Model: "sonde", Admin: "127.0.0.1:9465", ConfigName: config.DefaultName, BuiltIn: builtIn()}
}

// RegisterFlags adds the flags; the defaults are the values already in c.
func (c *Config) RegisterFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.Listen, "listen", c.Listen, "address of all gRPC services, host:port")
	fs.StringVar(&c.Models, "models", c.Models, "folder of models, MODEL/VERSION/model.onnx; they win over the one built in")
	fs.StringVar(&c.Model, "model", c.Model, "model that is loaded at the start and classifies by default; others are loaded by RepositoryModelLoad")
	fs.StringVar(&c.ONNXRuntime, "onnxruntime", c.ONNXRuntime, "path of libonnxruntime.so; empty: SONDE_ONNXRUNTIME, then beside the program, then where the system looks")
	fs.IntVar(&c.Workers, "workers", c.Workers, "runs at the same time; 0: one a core")
	fs.IntVar(&c.MaxQueueRows, "max-queue-rows", c.MaxQueueRows, "rows that may wait; 0: eight full runs a worker")
	fs.DurationVar(&c.MaxDelay, "max-delay", c.MaxDelay, "how long a small request waits for company though a worker is free")
	fs.StringVar(&c.Admin, "admin", c.Admin, "address of the admin HTTP (metrics, health, profiles); empty: none")
	fs.StringVar(&c.ConfigStore, "config-store", c.ConfigStore, "store of the configuration, etcd://HOST:PORT[,HOST:PORT][?root=/sonde]; what it does not set the flags do; empty: none")
	fs.StringVar(&c.ConfigName, "config-name", c.ConfigName, "name in service_config")
	fs.StringVar(&c.State, "state", c.State, "folder for the last good configuration; empty: none is kept")
	c.TLS.RegisterFlags(fs)
}

const (
	maxWorkers   = 256 // more than cores there are; a worker has buffers in every model
	maxQueueRows = 1 << 20
	maxMaxDelay  = time.Second // beyond it every deadline would pass in the queue
)

// Validate returns everything that is wrong, each named by its flag.
func (c *Config) Validate() error {
	var bad []error
	fail := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		fail("--listen: %w", err)
	}
	if c.Admin != "" {
		if _, _, err := net.SplitHostPort(c.Admin); err != nil {
			fail("--admin: %w", err)
		}
	}
	if strings.Contains(c.Models, "://") && !strings.HasPrefix(c.Models, "file://") {
		fail("--models: %q is neither a path nor file:PATH", c.Models)
	}
	if c.Model == "" {
		fail("--model: is empty")
	}
	if c.Models == "" && c.BuiltIn == nil {
		fail("--models: is empty, and no model is built in")
	}
	if c.Workers < 0 || c.Workers > maxWorkers {
		fail("--workers: %d is not within 0 and %d", c.Workers, maxWorkers)
	}
	if n := c.MaxQueueRows; n != 0 && (n < serving.MaxRequestRows || n > maxQueueRows) {
		fail("--max-queue-rows: %d is not within %d, which is one request, and %d", n, serving.MaxRequestRows, maxQueueRows)
	}
	if c.MaxDelay < 0 || c.MaxDelay > maxMaxDelay {
		fail("--max-delay: %v is not within 0 and %v", c.MaxDelay, maxMaxDelay)
	}
	if c.ConfigStore != "" {
		if _, _, err := parseStore(c.ConfigStore); err != nil {
			fail("--config-store: %w", err)
		}
	}
	if err := config.CheckName(c.ConfigName); err != nil {
		fail("--config-name: %w", err)
	}
	return errors.Join(append(bad, c.TLS.Validate())...)
}

// workers and queueRows replace zero by the default.
func (c *Config) workers() int {
	if c.Workers == 0 {
		return min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	return c.Workers
}

func (c *Config) queueRows() int {
	if c.MaxQueueRows == 0 {
		return batcher.DefaultQueueRows(c.workers())
	}
	return c.MaxQueueRows
}
