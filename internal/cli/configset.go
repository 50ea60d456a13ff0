package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"sonde.example/confsync"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	"sonde.example/internal/config"
)

func newConfigSet(s streams, c *configFlags) *cobra.Command {
	wait := 5 * time.Second
	cmd := &cobra.Command{
		Use:   "set NAME COLUMN=VALUE... | COLUMN-...",
		Short: "Change columns of one row, which is made if it is not there, and say what became of it",
		Long: `Change columns of one row, which is made if it is not there, and wait for what becomes of it. COLUMN=VALUE sets a column,
COLUMN- unsets it: an agent then takes its group's value, or the default.

The exit code is 0 when the change is in force, and 1 when it was refused or nobody has answered in time.`,
		Example: `  sonde config set local filter='tcp port 443'
  sonde config set local filter- device=eth0,eth1
  sonde config set routers --group head_packets=16
  sonde config set default --service collector hand_over_deadline_ms=2000`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			columns, err := parseAssignments(args[1:])
			if err != nil {
				return usageError{err}
			}
			if err := config.CheckName(args[0]); err != nil {
				return usageError{fmt.Errorf("NAME: %w", err)}
			}
			if wait < 0 {
				return usageError{fmt.Errorf("--wait: %s is negative", wait)}
			}
			return c.with(cmd, func(ctx context.Context, t *confsync.Tables) error {
				return c.set(ctx, s.out, t, args[0], columns, wait)
			})
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long to wait for the daemon's answer; 0: not at all")
	c.registerRow(cmd)
	return cmd
}

// parseAssignments reads COLUMN=VALUE and COLUMN-.
func parseAssignments(args []string) (map[string]*string, error) {
	columns := map[string]*string{}
	for _, arg := range args {
		column, value, sets := strings.Cut(arg, "=")
		to := &value
		if !sets {
			var unsets bool
			if column, unsets = strings.CutSuffix(arg, "-"); !unsets {
				return nil, fmt.Errorf("%q is neither COLUMN=VALUE nor COLUMN-", arg)
			}
			to = nil
		}
		if slices.Contains(notSettings(), column) {
			return nil, fmt.Errorf("%s: nobody sets it", column)
		}
		if _, twice := columns[column]; twice {
			return nil, fmt.Errorf("%s is given twice", column)
		}
		columns[column] = to
	}
	return columns, nil
}

// set changes the row and waits for those whom it concerns.
func (c *configFlags) set(ctx context.Context, out io.Writer, t *confsync.Tables, name string, columns map[string]*string, wait time.Duration) error {
	before, err := rows(ctx, t)
	if err != nil {
		return err
	}
	if err := t.Set(ctx, tableOf(c.kind()), c.kind(), name, columns); err != nil {
		return err
	}
	if wait == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	failed := false
	for _, concerned := range concerns(before, c.kind(), name) {
		ok, err := c.await(ctx, out, t, concerned, columns)
		if err != nil {
			return err
		}
		failed = failed || !ok
	}
	if failed {
		return errReported
	}
	return nil
}

// concerns returns the daemons that a change of a row may reach: itself, or the members of the group.
func concerns(all []row, kind, name string) []row {
	var out []row
	for _, r := range all {
		if r.Kind == kind && r.Name == name || kind == kindGroup && r.Kind == config.RoleAgent && text(r.Settings["group_name"]) == name {
			out = append(out, r)
		}
	}
	if kind == kindGroup {
		return slices.DeleteFunc(out, func(r row) bool { return r.Kind == kindGroup })
	}
	if len(out) == 0 {
		out = append(out, row{Kind: kind, Name: name})
	}
	return out
}

// lookEvery is how often the status is looked at, which is a read of one small table.
const lookEvery = 20 * time.Millisecond

// await waits for the answer to a change of the row, and tells it. It returns false when the change is not in force.
func (c *configFlags) await(ctx context.Context, out io.Writer, t *confsync.Tables, before row, columns map[string]*string) (bool, error) {
	who := before.Kind + " " + printable(before.Name)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		statuses, err := t.Statuses(context.WithoutCancel(ctx))
		if err != nil {
			return false, err
		}
		now := statusOf(statuses, before.Kind, before.Name)
		if answered(before.status, now) {
			return now.GetState() == configv1.ConfigState_CONFIG_STATE_APPLIED, writeAnswer(out, who, now, columns)
		}
		if unchanged(before.Settings, columns) && now != nil {
			_, err := fmt.Fprintf(out, "%s: nothing to change, %s revision %s\n", who, stateText(now), revisionText(now))
			return now.GetState() == configv1.ConfigState_CONFIG_STATE_APPLIED, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			_, err := fmt.Fprintf(out, "%s: no answer yet; %s revision %s. Is it there (sonde agents), and does the change make a difference for it?\n",
				who, stateText(now), revisionText(now))
			return false, err
		}
	}
}

// answered tells whether a status is the answer to what was changed since another one.
func answered(before, now *configv1.ConfigStatus) bool {
	if now == nil || now.GetState() == configv1.ConfigState_CONFIG_STATE_APPLYING {
		return false
	}
	if before == nil || now.GetWantedRevision() > before.GetWantedRevision() {
		return true
	}
	// Confsync refuses without a new revision; that what was refused is well again needs none either.
	return now.GetState() != before.GetState() || now.GetError() != before.GetError() ||
		now.GetState() == configv1.ConfigState_CONFIG_STATE_FAILED && !proto.Equal(now.GetStatusTime(), before.GetStatusTime())
}

// unchanged tells whether the row has these values already.
func unchanged(settings, columns map[string]*string) bool {
	for column, to := range columns {
		has, known := settings[column]
		if !known || (has == nil) != (to == nil) || has != nil && *has != *to {
			return false
		}
	}
	return true
}

// position is how an error tells where in a text it is, from 1.
const position = `position (\d+)`

func writeAnswer(out io.Writer, who string, s *configv1.ConfigStatus, columns map[string]*string) error {
	if s.GetState() == configv1.ConfigState_CONFIG_STATE_APPLIED {
		line := fmt.Sprintf("%s: APPLIED revision %d", who, s.GetRunningRevision())
		if s.GetLatency() != nil {
			line += fmt.Sprintf(" after %d ms", s.GetLatency().AsDuration().Milliseconds())
		}
		if s.GetWarning() != "" {
			line += "; " + printable(s.GetWarning())
		}
		_, err := fmt.Fprintln(out, line)
		return err
	}
	line := fmt.Sprintf("%s: FAILED, revision %d goes on\n", who, s.GetRunningRevision())
	if s.GetField() != "" {
		line += "  " + printable(s.GetField()) + ": "
	} else {
		line += "  "
	}
	line += printable(s.GetError()) + "\n"
	if at := regexp.MustCompile(position).FindStringSubmatch(s.GetError()); at != nil && columns[s.GetField()] != nil {
		if n, err := strconv.Atoi(at[1]); err == nil && n >= 1 && n <= len(*columns[s.GetField()])+1 {
			line += "  " + printable(*columns[s.GetField()]) + "\n  " + strings.Repeat(" ", n-1) + "^\n"
		}
	}
	_, err := io.WriteString(out, line)
	return err
}

// writeStatus tells a row's status in words.
func writeStatus(out io.Writer, r row) error {
	if r.status == nil {
		if r.Kind == kindGroup {
			return nil
		}
		_, err := fmt.Fprintln(out, "  not answered yet")
		return err
	}
	return writeAnswer(out, "status", r.status, r.Settings)
}

func writeHistory(out io.Writer, attempts []*configv1.ConfigStatus, asJSON bool) error {
	if asJSON {
		for _, a := range attempts {
			line, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(a)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
				return err
			}
		}
		return nil
	}
	const line = "%-24s  %8v  %-8s  %10s  %s\n"
	if _, err := fmt.Fprintf(out, line, "TIME", "REVISION", "STATE", "LATENCY", "ERROR"); err != nil {
		return err
	}
	for _, a := range attempts {
		latency, wrong := "", printable(a.GetError())
		if a.GetLatency() != nil {
			latency = strconv.FormatInt(a.GetLatency().AsDuration().Milliseconds(), 10) + " ms"
		}
		if a.GetField() != "" {
			wrong = printable(a.GetField()) + ": " + wrong
		}
		if _, err := fmt.Fprintf(out, line, a.GetStatusTime().AsTime().Format("2006-01-02 15:04:05.000"), a.GetWantedRevision(), stateText(a), latency, wrong); err != nil {
			return err
		}
	}
	return nil
}

// complete offers names, and then columns.
func (c *configFlags) complete(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	none := cobra.ShellCompDirectiveNoFileComp
	t, err := c.open(cmd.Context())
	if err != nil {
		return nil, none
	}
	defer func() { _ = t.Close() }() // there is nobody to tell
	all, err := rows(cmd.Context(), t)
	if err != nil {
		return nil, none
	}
	var offers []cobra.Completion
	for _, r := range all {
		switch {
		case r.Kind != c.kind():
		case len(args) == 0:
			offers = append(offers, r.Name)
		case r.Name == args[0] && cmd.Name() == "set":
			for _, column := range slices.Sorted(maps.Keys(r.Settings)) {
				offers = append(offers, column+"=")
			}
		}
	}
	if len(args) > 0 {
		none |= cobra.ShellCompDirectiveNoSpace
	}
	return offers, none
}

