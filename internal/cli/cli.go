// Package cli is the command line: one subcommand a daemon, and the operator's commands that speak to a collector over the
// same gRPC that any other client uses. It is the one place that knows all daemons; nothing of what they do is here.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/status"

	"sonde.example/internal/service"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // it was tried and did not work
	exitUsage = 2 // it was not tried: the command line is wrong
)

// streams are where a command reads and writes. Results go to out, everything else to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errReported says that the command has already told what is wrong.
var errReported = errors.New("reported")

// Main runs one command line and returns the process's exit code.
func Main(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := service.Signals(ctx)
	defer stop()
	// When the reader of standard output has gone, as head does, the write fails. Otherwise the process would die on the
	// spot, and leave behind what it has on disk.
	gone := make(chan os.Signal, 1)
	signal.Notify(gone, syscall.SIGPIPE)
	defer signal.Stop(gone)
	root := newRoot(streams{in: in, out: out, err: errs})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported), errors.Is(err, syscall.EPIPE):
		return exitError
	case errors.As(err, &usage):
		complain(errs, err.Error())
		return exitUsage
	}
	complain(errs, explain(err))
	return exitError
}

// complain says who speaks in each line, for an error may be several. It may also hold what a stranger has called a file.
func complain(errs io.Writer, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(errs, "sonde: %s\n", printable(line))
	}
}

// explain shows what a server said without gRPC's wrapping.
func explain(err error) string {
	var answer interface{ GRPCStatus() *status.Status }
	if errors.As(err, &answer) && answer.GRPCStatus().Message() != "" {
		return fmt.Sprintf("%s (%s)", answer.GRPCStatus().Message(), answer.GRPCStatus().Code())
	}
	return err.Error()
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "sonde",
		Short: "Sonde analyses network traffic in real time",
		Long: `Sonde sniffs packets at many capture points, cuts the traffic into sessions, classifies each
from the head of its traffic, and accounts for every packet.

Begin with a capture file, or with a device:

  sonde analyze FILE...
  sudo sonde all --capture eth0`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddGroup(&cobra.Group{ID: "use", Title: "Use:"}, &cobra.Group{ID: "run", Title: "Daemons:"})
	root.AddCommand(
		newAnalyze(s), newResults(s), newTail(s), newPackets(s), newLabel(s), newLabels(s), newAccount(s), newAgents(s), newConfig(s),
		newModel(s), newDataset(s),
		newAll(s), newAgent(s), newCollector(s), newInference(s), newConfsync(s), newCerts(s), newVersion(s),
	)
	for _, c := range root.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return root
}

// usageArgs makes a wrong number of arguments a mistake in the command line.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check == nil {
			check = cobra.NoArgs
		}
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
		}
		return nil
	}
}

// setUp completes the flags from the environment and checks them.
func setUp(fs *pflag.FlagSet, daemon string, validate func() error) error {
	if err := service.Bind(fs, daemon, service.Environment); err != nil {
		return usageError{err}
	}
	if err := validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// version is set by the linker; without it the build's own record has to do.
var version string

// Version tells which version this is.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

func newVersion(s streams) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  sonde version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(s.out, "sonde %s\n", Version())
			return err
		},
	}
}
