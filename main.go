// Command sonde is every daemon of Sonde and the operator's tools in one binary; see internal/cli.
package main

import (
	"context"
	"os"

	"sonde.example/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
