package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sonde.example/confsync"
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
	if err := t.Set(ctx, tableOf(c.kind()), keyOf(c.kind(), name), columns); err != nil {
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
	wanted, err := t.WantedHash(context.WithoutCancel(ctx), before.Kind, before.Name)
	if err != nil {
		return false, err
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		statuses, err := t.Status(context.WithoutCancel(ctx), before.Kind, before.Name)
		if err != nil {
			return false, err
		}
		now := statusOf(statuses, before.Kind, before.Name)
		if answered(before.Status, now, wanted) {
			return now.State == stateApplied, writeAnswer(out, who, now, columns)
		}
		if unchanged(before.Settings, columns) && now != nil && now.State != stateApplying {
			_, err := fmt.Fprintf(out, "%s: nothing to change\n", who)
			return now.State == stateApplied, errors.Join(err, writeAnswer(out, who, now, columns))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			_, err := fmt.Fprintf(out, "%s: no answer yet; %s revision %s. Is it there (sonde agents), and does the change make a difference for it?\n",
				who, now.stateText(), now.revisionText())
			return false, err
		}
	}
}

// answered tells whether a status is the answer to what was changed since another one. In force is what has the wanted hash:
// the answer to an earlier change may still be on its way.
func answered(before, now *outcome, wanted string) bool {
	switch {
	case now == nil || now.State == stateApplying:
		return false
	case now.State == stateApplied:
		return now.Hash == wanted
	}
	if before == nil || now.Wanted > before.Wanted {
		return true
	}
	// Confsync refuses without a new revision; that what was refused is well again needs none either.
	return now.State != before.State || now.Error != before.Error || now.State == stateFailed && now.Time != before.Time
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
const position = `at character (\d+)`

func writeAnswer(out io.Writer, who string, o *outcome, columns map[string]*string) error {
	if o.State != stateFailed {
		line := fmt.Sprintf("%s: %s revision %d", who, o.stateText(), o.Running)
		if o.LatencyMS != nil {
			line += fmt.Sprintf(" after %d ms", *o.LatencyMS)
		}
		if o.Warning != "" {
			line += "; " + printable(o.Warning)
		}
		_, err := fmt.Fprintln(out, line)
		return err
	}
	line := fmt.Sprintf("%s: FAILED, revision %d goes on\n  ", who, o.Running)
	if o.Field != "" {
		line += printable(o.Field) + ": "
	}
	line += printable(o.Error) + "\n"
	if at := regexp.MustCompile(position).FindStringSubmatch(o.Error); at != nil && columns[o.Field] != nil {
		wrong := *columns[o.Field]
		if n, err := strconv.Atoi(at[1]); err == nil && n >= 1 && n <= len(wrong)+1 {
			line += "  " + printable(wrong) + "\n  " + strings.Repeat(" ", n-1) + "^\n"
		}
	}
	_, err := io.WriteString(out, line)
	return err
}

// writeStatus tells a row's status in words.
func writeStatus(out io.Writer, r row) error {
	if r.Status == nil {
		if r.Kind == kindGroup {
			return nil
		}
		_, err := fmt.Fprintln(out, "  not answered yet")
		return err
	}
	return writeAnswer(out, "status", r.Status, r.Settings)
}

func writeHistory(out io.Writer, attempts []confsync.Record, asJSON bool) error {
	const line = "%-26s  %8v  %-8s  %10s  %s\n"
	if !asJSON {
		if _, err := fmt.Fprintf(out, line, "TIME", "REVISION", "STATE", "LATENCY", "ERROR"); err != nil {
			return err
		}
	}
	for _, attempt := range attempts {
		o := outcomeOf(attempt)
		if asJSON {
			text, err := json.Marshal(o)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "%s\n", text); err != nil {
				return err
			}
			continue
		}
		latency, wrong := "", printable(o.Error)
		if o.LatencyMS != nil {
			latency = strconv.FormatInt(*o.LatencyMS, 10) + " ms"
		}
		if o.Field != "" {
			wrong = printable(o.Field) + ": " + wrong
		}
		if _, err := fmt.Fprintf(out, line, printable(o.Time), o.Wanted, o.stateText(), latency, wrong); err != nil {
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
	var offers []cobra.Completion
	if len(args) > 0 {
		if cmd.Name() != "set" {
			return nil, none
		}
		columns, err := t.Columns(cmd.Context(), tableOf(c.kind()))
		if err != nil {
			return nil, none
		}
		for _, column := range columns {
			offers = append(offers, column+"=")
		}
		return offers, none | cobra.ShellCompDirectiveNoSpace
	}
	all, err := rows(cmd.Context(), t)
	if err != nil {
		return nil, none
	}
	for _, r := range all {
		if r.Kind == c.kind() {
			offers = append(offers, r.Name)
		}
	}
	return offers, none
}
