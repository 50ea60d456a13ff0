package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sonde.example/internal/mtls"
)

func newCerts(s streams) *cobra.Command {
	dir, domain, validity := filepath.Join(stateFolder(), "certs"), mtls.DevelopmentDomain, mtls.DevelopmentValidity
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make certificates for development and small sites",
		Long: `Make certificates for development and small sites. Any authority can take over whose certificates carry one
URI name spiffe://DOMAIN/ROLE/NAME with a role of agent, service, operator or viewer.`,
		Example: `  sonde certs init
  sonde certs issue agent probe-7
  sonde certs issue service collector --host collector.example.net --host 192.0.2.7`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", dir, "folder of the certificates")
	cmd.PersistentFlags().DurationVar(&validity, "validity", validity, "how long new certificates are good for")

	initialize := &cobra.Command{
		Use:     "init",
		Short:   "Make what is missing of an authority and a certificate for each role",
		Example: "  sonde certs init --dir ./certs",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			made, err := mtls.EnsureDevelopment(dir, mtls.DevelopmentOptions{Domain: domain, Validity: validity})
			if err != nil {
				return err
			}
			for _, f := range []mtls.Files{made.Service, made.Agent, made.Operator, made.Viewer} {
				if _, err := fmt.Fprintln(s.out, f.Certificate); err != nil {
					return err
				}
			}
			return nil
		},
	}
	initialize.Flags().StringVar(&domain, "domain", domain, "trust domain of a new authority")

	var hosts []string
	issue := &cobra.Command{
		Use:     "issue ROLE NAME",
		Short:   "Make a certificate; ROLE is agent, service, operator or viewer",
		Example: "  sonde certs issue agent probe-7",
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			role := mtls.Role(args[0])
			if !isRole(role) {
				return usageError{fmt.Errorf("%q is no role; take one of %s", args[0], roleNames())}
			}
			if role == mtls.RoleService && len(hosts) == 0 {
				return usageError{errors.New("--host: a service needs at least one host name or address, for its callers check it")}
			}
			authority, err := mtls.OpenAuthority(dir)
			if err != nil {
				return fmt.Errorf("%w; sonde certs init --dir %s makes an authority", err, dir)
			}
			files, err := authority.Issue(role, args[1], hosts, validity)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.out, "%s\n%s\ngood until %s\n", files.Certificate, files.Key, time.Now().Add(validity).Format(time.DateOnly))
			return err
		},
	}
	issue.Flags().StringArrayVar(&hosts, "host", nil, "host name or address that a service answers to (may be given several times)")
	cmd.AddCommand(initialize, issue)
	return cmd
}

func isRole(r mtls.Role) bool {
	for _, role := range mtls.Roles() {
		if r == role {
			return true
		}
	}
	return false
}

func roleNames() string {
	names := make([]string, 0, len(mtls.Roles()))
	for _, r := range mtls.Roles() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}
