package service

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// Variable names the environment variable that stands in for a flag: SONDE_<DAEMON>_<FLAG>, or SONDE_<FLAG> when daemon
// is empty, as in sonde all, whose flags carry the daemon's name themselves.
func Variable(daemon, flag string) string {
	name := "SONDE_" + flag
	if daemon != "" {
		name = "SONDE_" + daemon + "_" + flag
	}
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// Bind sets, after the command line was parsed, every flag that was not on it from its environment variable, if there
// is one; what is left keeps its default. A flag that may be given several times takes a line of the variable each
// time. Bind returns all bad values, each named by its variable. lookup is os.LookupEnv but in tests.
func Bind(fs *pflag.FlagSet, daemon string, lookup func(string) (string, bool)) error {
	var bad []error
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			return
		}
		variable := Variable(daemon, f.Name)
		text, ok := lookup(variable)
		if !ok {
			return
		}
		values := []string{text}
		if _, list := f.Value.(pflag.SliceValue); list {
			values = strings.Split(strings.TrimRight(text, "\n"), "\n")
		}
		for _, value := range values {
			if err := f.Value.Set(value); err != nil {
				bad = append(bad, fmt.Errorf("%s: invalid value %q for --%s: %w", variable, value, f.Name, err))
				return
			}
		}
		f.Changed = true
	})
	return errors.Join(bad...)
}

// Environment is os.LookupEnv, for Bind. It is here because this is the one place that reads the environment.
func Environment(name string) (string, bool) {
	return os.LookupEnv(name)
}

// Prefixed registers flags under a prefix: what register calls listen becomes prefix-listen. So sonde all holds the
// flags of every daemon.
func Prefixed(fs *pflag.FlagSet, prefix string, register func(*pflag.FlagSet)) {
	inner := pflag.NewFlagSet(prefix, pflag.ContinueOnError)
	register(inner)
	inner.VisitAll(func(f *pflag.Flag) {
		f.Name, f.Shorthand = prefix+"-"+f.Name, ""
		fs.AddFlag(f)
	})
}

// maxSecretBytes bounds a secret file; it guards against a wrong path, not against an enemy.
const maxSecretBytes = 64 << 10

// Secret reads a secret from the file that an --x-file flag names, without the line's end.
func Secret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	if len(text) > maxSecretBytes {
		return "", fmt.Errorf("%s: more than %d bytes, too many for a secret", path, maxSecretBytes)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
