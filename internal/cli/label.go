package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

// modelTimeout is how long a label waits for the model's own ones: they are for a hint only.
const modelTimeout = 2 * time.Second

func newLabel(s streams) *cobra.Command {
	c, inference, remove := newClient(), "localhost:8001", false
	cmd := &cobra.Command{
		Use:     "label SESSION_ID... LABEL",
		GroupID: "use",
		Short:   "Say what a session really was, for the next model to learn",
		Long: `Say what a session really was, for the next model to learn. The label is stored with the head of the session without
addresses, ports and headers, but with its payload, and both stay when the packets and the result are long gone, until the label
is removed. The head must still be there (see --keep-packets of the collector). A label is one of the model's or a new one, of
letters, digits and hyphens.`,
		Example: `  sonde label 01JD2Y8R3MZ3V4J7T2N5C6A9EX sql-database
  sonde label $(sonde results --json --filter 'server.port = 9999' | jq -r .session_id) our-protocol
  sonde label --remove 01JD2Y8R3MZ3V4J7T2N5C6A9EX`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sessions, label, err := labelArgs(args, remove)
			if err != nil {
				return err
			}
			return c.with(cmd.Context(), cmd.Flags(), func(ctx context.Context, conn *grpc.ClientConn) error {
				for _, id := range sessions {
					if err := storeLabel(ctx, s.out, queryv1.NewQueryServiceClient(conn), id, label); err != nil {
						return err
					}
				}
				if !remove {
					c.hintLabel(ctx, s.err, inference, label)
				}
				return nil
			})
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		return c.completeLabel(cmd, args, inference, begun), cobra.ShellCompDirectiveNoFileComp
	}
	c.registerFlags(cmd.Flags())
	cmd.Flags().StringVar(&inference, "inference", inference, "inference service's address, host:port, which knows the model's labels; nothing is said of them when it does not answer")
	cmd.Flags().BoolVar(&remove, "remove", false, "remove the labels of the sessions instead")
	return cmd
}

// labelArgs tells the sessions and the label, which is empty to remove.
func labelArgs(args []string, remove bool) (sessions []string, label string, err error) {
	if remove {
		return args, "", nil
	}
	sessions, label = args[:len(args)-1], args[len(args)-1]
	switch _, err := ulid.ParseStrict(label); {
	case err == nil:
		return nil, "", usageError{fmt.Errorf("the label is missing after session %s", label)}
	case len(sessions) == 0:
		return nil, "", usageError{fmt.Errorf("no session is named before the label %q", label)}
	case label == "":
		return nil, "", usageError{errors.New("the label is empty; --remove removes labels")}
	}
	return sessions, label, nil
}

// storeLabel stores one label, or removes it when it is empty, and says what became of it.
func storeLabel(ctx context.Context, out io.Writer, q queryv1.QueryServiceClient, id, label string) error {
	response, err := q.LabelSession(ctx, &queryv1.LabelSessionRequest{SessionId: id, Label: label})
	if err != nil {
		return err
	}
	c := response.GetCorrection()
	if c == nil {
		_, err = fmt.Fprintf(out, "%s has no label now\n", id)
		return err
	}
	_, err = fmt.Fprintf(out, "%s is %s; the model had said %s\n", c.GetSessionId(), c.GetLabel(), saidText(c.GetClassification()))
	return err
}

// saidText is what a model said of a session, and how sure it was.
func saidText(c *flowv1.Classification) string {
	if c == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s, %.2f", classText(c), c.GetProbability())
}

// hintLabel says so when the model does not know a label, which may be meant or a slip. Without the model's labels there is
// no hint.
func (c *client) hintLabel(ctx context.Context, errs io.Writer, address, label string) {
	model, err := c.model(ctx, address)
	if err != nil {
		return
	}
	known := labelNames(model)
	if !slices.Contains(known, label) {
		fmt.Fprintf(errs, "sonde: model %s version %s has no label %q, which is right for something new; it has %s\n",
			printable(model.GetModel()), printable(model.GetVersion()), label, strings.Join(known, " "))
	}
}

// completeLabel offers the labels of the model for the last argument of sonde label.
func (c *client) completeLabel(cmd *cobra.Command, sessions []string, address, begun string) []string {
	conn, err := c.dial(cmd.Flags()) // which completes the flags; nothing is sent to the collector
	if err != nil || len(sessions) == 0 || conn.Close() != nil {
		return nil
	}
	model, err := c.model(cmd.Context(), address)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(labelNames(model), func(name string) bool { return !strings.HasPrefix(name, begun) })
}

// model asks inference what is served, and does not wait for long.
func (c *client) model(ctx context.Context, address string) (_ *inferencev1.GetModelResponse, err error) {
	conn, err := c.open(address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, modelTimeout)
	defer cancel()
	return inferencev1.NewClassifierServiceClient(conn).GetModel(ctx, &inferencev1.GetModelRequest{})
}

func labelNames(model *inferencev1.GetModelResponse) []string {
	names := make([]string, len(model.GetLabels()))
	for i, l := range model.GetLabels() {
		names[i] = printable(l.GetName())
	}
	return names
}

func newLabels(s streams) *cobra.Command {
	c, asJSON := newClient(), false
	cmd := &cobra.Command{
		Use:     "labels",
		GroupID: "use",
		Short:   "List what sonde label has stored, oldest first",
		Long: `List what sonde label has stored, oldest first. With --json it is the file that sonde dataset --corrections and make train
CORRECTIONS= take; it holds payload.`,
		Example: "  sonde labels\n  sonde labels --json > corrections.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), cmd.Flags(), func(ctx context.Context, conn *grpc.ClientConn) error {
				write := correctionTable
				if asJSON {
					write = correctionLines
				}
				return write(s.out, func(take func(*queryv1.Correction) error) error {
					return listCorrections(ctx, queryv1.NewQueryServiceClient(conn), take)
				})
			})
		},
	}
	c.registerFlags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "one sonde.query.v1.Correction as JSON a line")
	return cmd
}

// listCorrections pages through all of them.
func listCorrections(ctx context.Context, q queryv1.QueryServiceClient, take func(*queryv1.Correction) error) error {
	request := &queryv1.ListCorrectionsRequest{PageSize: pageSize}
	for {
		page, err := q.ListCorrections(ctx, request)
		if err != nil {
			return err
		}
		for _, c := range page.GetCorrections() {
			if err := take(c); err != nil {
				return err
			}
		}
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			return nil
		}
	}
}

func correctionLines(out io.Writer, all func(take func(*queryv1.Correction) error) error) error {
	w := bufio.NewWriter(out)
	var line []byte
	err := all(func(c *queryv1.Correction) (err error) {
		if line, err = appendJSON(line[:0], c); err != nil {
			return err
		}
		_, err = w.Write(append(line, '\n'))
		return err
	})
	return errors.Join(err, w.Flush())
}

func correctionTable(out io.Writer, all func(take func(*queryv1.Correction) error) error) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintln(w, "SESSION\tLABEL\tMODEL SAID\tPACKETS\tAUTHOR\tTIME")
	if err == nil {
		err = all(func(c *queryv1.Correction) error {
			_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", c.GetSessionId(), c.GetLabel(), saidText(c.GetClassification()),
				len(c.GetSession().GetSignedSizes()), c.GetAuthor(), c.GetCreateTime().AsTime().Format(time.RFC3339))
			return err
		})
	}
	return errors.Join(err, w.Flush())
}
