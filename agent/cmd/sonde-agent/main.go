// Command sonde-agent is the agent alone: a static binary for routers and small boxes, without the other daemons.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"sonde.example/agent"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := service.Signals(context.Background())
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sonde-agent:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	config, logs := agent.DefaultConfig(), telemetry.DefaultLogConfig()
	config.Version = version
	fs := pflag.NewFlagSet("sonde-agent", pflag.ContinueOnError)
	config.RegisterFlags(fs)
	logs.RegisterFlags(fs)
	check := fs.Bool("check", false, "check the flags and what they name, and end")
	tell := fs.Bool("version", false, "print the version, and end")
	fs.Usage = func() {
		fmt.Fprintf(os.Stderr, "sonde-agent sniffs packets and streams them to a collector.\n\n"+
			"  sonde-agent --capture afpacket:eth0 --collector collector.example:7443 \\\n"+
			"    --tls-ca ca.crt --tls-certificate agent.crt --tls-key agent.key\n\n%s", fs.FlagUsages())
	}
	if err := fs.Parse(arguments); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil
		}
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", fs.Arg(0))
	}
	if *tell {
		_, err := fmt.Fprintln(os.Stdout, version)
		return err
	}
	if err := service.Bind(fs, "agent", service.Environment); err != nil {
		return err
	}
	log, err := telemetry.NewLogger(os.Stderr, logs)
	if err != nil {
		return err
	}
	a, err := agent.Open(ctx, config, log, telemetry.NewRegistry(), agent.Options{})
	if err != nil {
		return err
	}
	if *check {
		return a.Close()
	}
	return a.Run(ctx)
}
