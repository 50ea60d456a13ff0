package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"

	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/service"
)

// client is how the operator's commands reach a collector.
type client struct {
	collector string
	state     string
	files     mtls.Files
}

func newClient() *client {
	return &client{collector: "localhost:7443", state: stateFolder()}
}

// maxAnswerBytes bounds one answer: a page of a thousand results.
const maxAnswerBytes = 64 << 20

func (c *client) registerFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.collector, "collector", c.collector, "collector's address, host:port")
	fs.StringVar(&c.state, "state", c.state, "folder whose certs/ has the operator's certificate, unless the --tls flags name one")
	c.files.RegisterFlags(fs)
}

// dial completes the flags and returns a connection to the collector.
func (c *client) dial(fs *pflag.FlagSet) (*grpc.ClientConn, error) {
	if err := setUp(fs, "", func() error { return nil }); err != nil {
		return nil, err
	}
	if c.files == (mtls.Files{}) {
		dir := filepath.Join(c.state, "certs")
		c.files = mtls.Files{
			CA:          filepath.Join(dir, "ca.crt"),
			Certificate: filepath.Join(dir, "operator-admin.crt"),
			Key:         filepath.Join(dir, "operator-admin.key"),
		}
		if _, err := os.Stat(c.files.Certificate); errors.Is(err, os.ErrNotExist) {
			return nil, usageError{fmt.Errorf("no operator's certificate at %s; name one with --tls-ca, --tls-certificate and --tls-key, "+
				"or another folder with --state", c.files.Certificate)}
		}
	}
	if err := c.files.Validate(); err != nil {
		return nil, usageError{err}
	}
	return c.open(c.collector)
}

// open returns a connection, once the flags are complete.
func (c *client) open(address string) (*grpc.ClientConn, error) {
	source, err := mtls.Open(c.files, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return rpc.Dial(address, rpc.DialOptions{Certificates: source, MaxMessageBytes: maxAnswerBytes})
}

// with runs a command with a connection to the collector.
func (c *client) with(ctx context.Context, fs *pflag.FlagSet, run func(ctx context.Context, conn *grpc.ClientConn) error) (err error) {
	conn, err := c.dial(fs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return service.Func(func(ctx context.Context) error { return run(ctx, conn) }).Run(ctx)
}
