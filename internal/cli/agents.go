package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"sonde.example/confsync"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	"sonde.example/internal/config"
)

func newAgents(s streams) *cobra.Command {
	c, database := newClient(), ""
	cmd := &cobra.Command{
		Use:     "agents",
		GroupID: "use",
		Short:   "List the agents that the collector knows, and what became of their configuration",
		Long: `List the agents that the collector knows. Where the tables of the configuration can be read, as on the machine of sonde all
or confsync, what became of each agent's row stands beside it.`,
		Example: "  sonde agents",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), cmd.Flags(), func(ctx context.Context, conn *grpc.ClientConn) error {
				response, err := fleetv1.NewFleetServiceClient(conn).ListAgents(ctx, &fleetv1.ListAgentsRequest{})
				if err != nil {
					return err
				}
				statuses, err := statusesOf(ctx, database, c.state)
				if err != nil {
					return err
				}
				return agentTable(s.out, response.GetAgents(), statuses)
			})
		},
	}
	c.registerFlags(cmd.Flags())
	cmd.Flags().StringVar(&database, "database", "", "tables of the configuration, sqlite:PATH; empty: config.db in the folder of --state, if there is one")
	return cmd
}

// statusesOf reads agent_status. That there are no tables here is no error, unless they were named.
func statusesOf(ctx context.Context, database, state string) (statuses []confsync.Record, err error) {
	if database == "" {
		database = databaseOf(state)
		if _, err := os.Stat(strings.TrimPrefix(database, "sqlite:")); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	t, err := confsync.OpenTables(ctx, database)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return t.Status(ctx, config.RoleAgent, "")
}

func agentTable(out io.Writer, agents []*fleetv1.Agent, statuses []confsync.Record) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(w, "NAME\tSTATE\tSEEN\tVERSION\tLANES\tREVISION\tCONFIG\tPEER\tCAPTURES"); err != nil {
		return err
	}
	for _, a := range agents {
		points := make([]string, len(a.GetCapturePoints()))
		for i, p := range a.GetCapturePoints() {
			points[i] = printable(p.GetName())
		}
		state := strings.ToLower(strings.TrimPrefix(a.GetState().String(), "AGENT_STATE_"))
		row := statusOf(statuses, config.RoleAgent, a.GetName())
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", a.GetName(), state, a.GetSeenTime().AsTime().Format(time.RFC3339),
			printable(a.GetVersion()), a.GetLanes(), a.GetConfigRevision(), configText(row), a.GetPeer(), strings.Join(points, " ")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// configText is what became of an agent's row, in a word.
func configText(o *outcome) string {
	switch {
	case o == nil:
		return "-"
	case o.State == stateFailed:
		return "FAILED " + printable(o.Field)
	case o.FromCache:
		return o.stateText() + " (cache)"
	}
	return o.stateText()
}
