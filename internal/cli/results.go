package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

// pageSize is how many results a listing fetches at once.
const pageSize = 1000

func newResults(s streams) *cobra.Command {
	c, filter, limit, asJSON := newClient(), "", 100, false
	cmd := &cobra.Command{
		Use:     "results",
		GroupID: "use",
		Short:   "List stored results, newest session first",
		Long: `List stored results, newest session first.

The table's LABEL is "unknown (dns?)" where the model abstains and dns would have been its guess, "dns (weak)" where it says
dns though it has learnt that label from too little to know how often it is right, "failed" where the session could not be
classified, and "-" where there was nothing to classify.`,
		Example: `  sonde results --filter 'label = tls AND server.address = 10.0.0.0/8'
  sonde results --json --limit 0 | jq -r .classification.label | sort | uniq -c`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usageError{fmt.Errorf("--limit: %d is negative; 0 lists all", limit)}
			}
			return c.with(cmd.Context(), cmd.Flags(), func(ctx context.Context, conn *grpc.ClientConn) error {
				w := newWriter(s.out, asJSON)
				return errors.Join(list(ctx, queryv1.NewQueryServiceClient(conn), filter, limit, w.write), w.flush())
			})
		},
	}
	c.registerFlags(cmd.Flags())
	cmd.Flags().StringVar(&filter, "filter", "", "terms FIELD OP VALUE joined by AND, for example: label = dns AND NOT unknown = true")
	cmd.Flags().IntVar(&limit, "limit", limit, "most results to list; 0 lists all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one sonde.query.v1.Result as JSON a line")
	return cmd
}

// list pages through results; limit 0 means all.
func list(ctx context.Context, q queryv1.QueryServiceClient, filter string, limit int, take func(*queryv1.Result) error) error {
	request := &queryv1.ListResultsRequest{Filter: filter}
	for left := limit; ; {
		request.PageSize = pageSize
		if limit > 0 {
			request.PageSize = int32(min(left, pageSize))
		}
		page, err := q.ListResults(ctx, request)
		if err != nil {
			return err
		}
		for _, r := range page.GetResults() {
			if err := take(r); err != nil {
				return err
			}
		}
		left -= len(page.GetResults())
		request.PageToken = page.GetNextPageToken()
		if request.GetPageToken() == "" || (limit > 0 && left <= 0) {
			return nil
		}
	}
}

func newTail(s streams) *cobra.Command {
	c, filter, asJSON := newClient(), "", false
	cmd := &cobra.Command{
		Use:     "tail",
		GroupID: "use",
		Short:   "Show results as they are stored, until interrupted",
		Example: `  sonde tail
  sonde tail --json --filter 'unknown = true' | jq .server`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), cmd.Flags(), func(ctx context.Context, conn *grpc.ClientConn) error {
				return tail(ctx, s, queryv1.NewQueryServiceClient(conn), filter, newWriter(s.out, asJSON))
			})
		},
	}
	c.registerFlags(cmd.Flags())
	cmd.Flags().StringVar(&filter, "filter", "", "terms FIELD OP VALUE joined by AND, as for sonde results")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one sonde.query.v1.Result as JSON a line")
	return cmd
}

func tail(ctx context.Context, s streams, q queryv1.QueryServiceClient, filter string, w *writer) error {
	stream, err := q.WatchResults(ctx, &queryv1.WatchResultsRequest{Filter: filter})
	if err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) || (ctx.Err() != nil && status.Code(err) == codes.Canceled):
			return nil // the operator has seen enough
		case err != nil:
			return err
		}
		if missed := response.GetMissed(); missed > 0 {
			fmt.Fprintf(s.err, "sonde: %d results were missed here: this reader is too slow; sonde results has them\n", missed)
		}
		if r := response.GetResult(); r != nil {
			if err := errors.Join(w.write(r), w.flush()); err != nil {
				return err
			}
		}
	}
}

func newPackets(s streams) *cobra.Command {
	c := newClient()
	cmd := &cobra.Command{
		Use:     "packets SESSION_ID",
		GroupID: "use",
		Short:   "Write the packets of one session as pcapng",
		Example: "  sonde packets 01JD2Y8R3MZ3V4J7T2N5C6A9EX > session.pcapng",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isTerminal(s.out) {
				return usageError{errors.New("pcapng is nothing for a terminal; write > FILE.pcapng or | wireshark -k -i -")}
			}
			return c.with(cmd.Context(), cmd.Flags(), func(ctx context.Context, conn *grpc.ClientConn) error {
				response, err := queryv1.NewQueryServiceClient(conn).GetSessionPackets(ctx, &queryv1.GetSessionPacketsRequest{SessionId: args[0]})
				if err != nil {
					return err
				}
				_, err = s.out.Write(response.GetPcapng())
				return err
			})
		},
	}
	c.registerFlags(cmd.Flags())
	return cmd
}
