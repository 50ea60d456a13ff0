package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sonde.example/confsync"
	"sonde.example/confsync/change"
	"sonde.example/internal/config"
)

// kindGroup is a group of agents, beside the roles of daemons.
const kindGroup = "group"

// configFlags say which tables, and which row of them.
type configFlags struct {
	state, database string
	group           bool
	service         string // role
}

func newConfig(s streams) *cobra.Command {
	c := &configFlags{state: stateFolder()}
	cmd := &cobra.Command{
		Use:     "config",
		GroupID: "use",
		Short:   "Show and change the rows that daemons take their configuration from",
		Long: `Show and change the rows that daemons take their configuration from, as any other client of the database can. A name is
an agent's, the one in its certificate, unless --group or --service says otherwise. docs/operations.md explains every column.`,
		Example: `  sonde config list
  sonde config set local device=eth0 filter='tcp port 443'
  sonde config set routers --group head_packets=16
  sonde config set default --service inference model_version=2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	fs := cmd.PersistentFlags()
	fs.StringVar(&c.state, "state", c.state, "folder of sonde all")
	fs.StringVar(&c.database, "database", "", "the tables, sqlite:PATH; empty: config.db in the folder of --state")
	cmd.AddCommand(newConfigList(s, c), newConfigGet(s, c), newConfigSet(s, c), newConfigDelete(s, c), newConfigHistory(s, c))
	for _, sub := range cmd.Commands() {
		sub.Args = usageArgs(sub.Args)
	}
	return cmd
}

// databaseOf is the URL of the tables in a state folder.
func databaseOf(state string) string { return "sqlite:" + filepath.Join(state, "config.db") }

// registerRow adds the flags that say what a NAME names.
func (c *configFlags) registerRow(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.group, "group", false, "NAME is a group of agents")
	cmd.Flags().StringVar(&c.service, "service", "", "NAME is a service's, of the role collector or inference; its name is default unless it was given another")
	_ = cmd.RegisterFlagCompletionFunc("service", cobra.FixedCompletions([]string{config.RoleCollector, config.RoleInference}, cobra.ShellCompDirectiveNoFileComp))
	cmd.ValidArgsFunction = c.complete
}

// with runs a command with the tables.
func (c *configFlags) with(cmd *cobra.Command, run func(ctx context.Context, t *confsync.Tables) error) (err error) {
	if err := setUp(cmd.Flags(), "", c.validate); err != nil {
		return err
	}
	t, err := c.open(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return run(cmd.Context(), t)
}

func (c *configFlags) open(ctx context.Context) (*confsync.Tables, error) {
	url := c.database
	if url == "" {
		url = databaseOf(c.state)
	}
	return confsync.OpenTables(ctx, url)
}

func (c *configFlags) validate() error {
	if c.group && c.service != "" {
		return errors.New("--group and --service: a name is one or the other")
	}
	if c.service != "" && c.service != config.RoleCollector && c.service != config.RoleInference {
		return fmt.Errorf("--service: %q is neither collector nor inference", c.service)
	}
	return nil
}

// kind is what a NAME names.
func (c *configFlags) kind() string {
	switch {
	case c.group:
		return kindGroup
	case c.service != "":
		return c.service
	}
	return config.RoleAgent
}

// row is one row as people know it.
type row struct {
	Kind     string             `json:"kind"`
	Name     string             `json:"name"`
	Settings map[string]*string `json:"settings"`
	Status   *outcome           `json:"status"` // nil: not answered yet, or a group
}

// outcome is what became of a configuration: a row of agent_status, or of agent_history.
type outcome struct {
	State     string `json:"state"`
	Wanted    uint64 `json:"revision_wanted"`
	Running   uint64 `json:"revision_running"` // 0 in a history
	Error     string `json:"error"`
	Field     string `json:"field"`
	Warning   string `json:"warning"`
	LatencyMS *int64 `json:"latency_ms"`
	FromCache bool   `json:"from_cache"`
	Time      string `json:"status_time"`
	Hash      string `json:"-"` // of what runs
}

// States of agent_status.
const (
	stateApplying = "APPLYING"
	stateApplied  = "APPLIED"
	stateFailed   = "FAILED"
)

func outcomeOf(r confsync.Record) *outcome {
	number := func(column string) uint64 {
		n, _ := strconv.ParseUint(r.Get(column), 10, 64) // what is no number was written by somebody else
		return n
	}
	o := &outcome{
		State: r.Get("state"), Wanted: max(number("revision_wanted"), number("revision")), Running: number("revision_running"),
		Error: r.Get("error"), Field: r.Get("field"), Warning: r.Get("warning"), FromCache: number("from_cache") != 0, Time: r.Get("status_time"),
		Hash: r.Get("hash"),
	}
	if latency, err := strconv.ParseInt(r.Get("latency_ms"), 10, 64); err == nil {
		o.LatencyMS = &latency
	}
	return o
}

// rowOf makes a row of a table's record.
func rowOf(table change.Table, r confsync.Record) row {
	out := row{Kind: config.RoleAgent, Name: r.Get("name"), Settings: map[string]*string{}}
	switch table {
	case change.AgentGroup:
		out.Kind = kindGroup
	case change.ServiceConfig:
		out.Kind = r.Get("role")
	}
	for _, f := range r {
		if !slices.Contains([]string{"id", "name", "role", "rev", "updated_at"}, f.Name) {
			out.Settings[f.Name] = f.Value
		}
	}
	return out
}

func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

// rows returns all rows with their statuses: agents, groups, services.
func rows(ctx context.Context, t *confsync.Tables) ([]row, error) {
	statuses, err := t.Status(ctx, "", "")
	if err != nil {
		return nil, err
	}
	var all []row
	for _, table := range []change.Table{change.AgentConfig, change.AgentGroup, change.ServiceConfig} {
		records, err := t.List(ctx, table)
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			r := rowOf(table, record)
			r.Status = statusOf(statuses, r.Kind, r.Name)
			all = append(all, r)
		}
	}
	return all, nil
}

// statusOf returns nil when the daemon has not answered yet.
func statusOf(statuses []confsync.Record, role, name string) *outcome {
	for _, s := range statuses {
		if s.Get("role") == role && s.Get("name") == name {
			return outcomeOf(s)
		}
	}
	return nil
}

// find returns one row.
func find(ctx context.Context, t *confsync.Tables, kind, name string) (row, error) {
	all, err := rows(ctx, t)
	if err != nil {
		return row{}, err
	}
	if i := indexOf(all, kind, name); i >= 0 {
		return all[i], nil
	}
	return row{}, noRow(kind, name)
}

func noRow(kind, name string) error {
	return fmt.Errorf("no %s %q in the tables; sonde config list shows what there is", kind, name)
}

// assignments writes the settings as sonde config set takes them.
func (r row) assignments() []string {
	var out []string
	for _, column := range slices.Sorted(maps.Keys(r.Settings)) {
		if value := r.Settings[column]; value != nil {
			out = append(out, column+"="+quoted(*value))
		}
	}
	return out
}

// quoted is a value as a shell takes it.
func quoted(value string) string {
	plain := strings.IndexFunc(value, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-:/,@%+", c)
	}) < 0
	if plain {
		return value
	}
	return "'" + strings.ReplaceAll(printable(value), "'", `'\''`) + "'"
}

// stateText is what a person wants to read of a state.
func (o *outcome) stateText() string {
	if o == nil {
		return "-"
	}
	return printable(o.State)
}

// revisionText is the revision in force, and the wanted one where it is another.
func (o *outcome) revisionText() string {
	switch {
	case o == nil:
		return "-"
	case o.Wanted > o.Running:
		return fmt.Sprintf("%d (wants %d)", o.Running, o.Wanted)
	}
	return strconv.FormatUint(o.Running, 10)
}

func newConfigList(s streams, c *configFlags) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List all rows, and what became of them",
		Example: "  sonde config list\n  sonde config list --json | jq 'select(.status.state == \"FAILED\")'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, t *confsync.Tables) error {
				all, err := rows(ctx, t)
				if err != nil {
					return err
				}
				if asJSON {
					return writeRows(s.out, all...)
				}
				return rowTable(s.out, all)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one row as JSON a line")
	return cmd
}

func writeRows(out io.Writer, all ...row) error {
	for _, r := range all {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
			return err
		}
	}
	return nil
}

func rowTable(out io.Writer, all []row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(w, "KIND\tNAME\tSTATE\tREVISION\tSETTINGS"); err != nil {
		return err
	}
	for _, r := range all {
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", printable(r.Kind), printable(r.Name), r.Status.stateText(), r.Status.revisionText(),
			strings.Join(r.assignments(), " ")); err != nil {
			return err
		}
	}
	return w.Flush()
}

func newConfigGet(s streams, c *configFlags) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "get NAME",
		Short:   "Show one row, and what became of it",
		Example: "  sonde config get local",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, t *confsync.Tables) error {
				r, err := find(ctx, t, c.kind(), args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return writeRows(s.out, r)
				}
				return errors.Join(writeSettings(s.out, r), writeStatus(s.out, r))
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "the row as JSON")
	c.registerRow(cmd)
	return cmd
}

func writeSettings(out io.Writer, r row) error {
	if _, err := fmt.Fprintf(out, "%s %s\n", r.Kind, printable(r.Name)); err != nil {
		return err
	}
	for _, line := range r.assignments() {
		if _, err := fmt.Fprintf(out, "  %s\n", line); err != nil {
			return err
		}
	}
	return nil
}

func newConfigDelete(s streams, c *configFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete one row; an agent stops capturing 30 seconds later, a service goes back to its flags",
		Example: "  sonde config delete probe-7",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, t *confsync.Tables) error {
				err := t.Delete(ctx, tableOf(c.kind()), keyOf(c.kind(), args[0]))
				if errors.Is(err, confsync.ErrNotFound) {
					return noRow(c.kind(), args[0])
				}
				if err == nil {
					_, err = fmt.Fprintf(s.out, "%s %s: deleted\n", c.kind(), printable(args[0]))
				}
				return err
			})
		},
	}
	c.registerRow(cmd)
	return cmd
}

// tableOf is where rows of a kind are.
func tableOf(kind string) change.Table {
	switch kind {
	case kindGroup:
		return change.AgentGroup
	case config.RoleAgent:
		return change.AgentConfig
	}
	return change.ServiceConfig
}

// keyOf is the name by which a table knows a row.
func keyOf(kind, name string) string {
	if kind == config.RoleCollector || kind == config.RoleInference {
		return kind + "/" + name
	}
	return name
}

func newConfigHistory(s streams, c *configFlags) *cobra.Command {
	limit, asJSON := 20, false
	cmd := &cobra.Command{
		Use:     "history NAME",
		Short:   "Show what became of each revision, newest first",
		Example: "  sonde config history local\n  sonde config history default --service collector",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usageError{fmt.Errorf("--limit: %d is not positive", limit)}
			}
			return c.with(cmd, func(ctx context.Context, t *confsync.Tables) error {
				if c.group {
					return usageError{errors.New("--group: agents answer, not groups")}
				}
				attempts, err := t.History(ctx, c.kind(), args[0], limit)
				if err != nil {
					return err
				}
				return writeHistory(s.out, attempts, asJSON)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "most attempts to show")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one attempt as JSON a line")
	c.registerRow(cmd)
	return cmd
}

// indexOf returns -1 when there is no such row.
func indexOf(all []row, kind, name string) int {
	return slices.IndexFunc(all, func(r row) bool { return r.Kind == kind && r.Name == name })
}
