package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
)

func newAccount(s streams) *cobra.Command {
	c, agent, asJSON := newClient(), "", false
	cmd := &cobra.Command{
		Use:     "account",
		GroupID: "use",
		Short:   "Print the ledger: where every packet went",
		Long: `Print the ledger: where every packet went, for each lane of each agent, and the sum.

  seen     = filtered + non_ip + undecodable + frag_unmatched + dup + cut + accepted
  accepted = applied + rejected + dropped + released + lost + on the way
  cut + accepted = the packets that stored results count

The residual is what these leave over; at rest it is 0.`,
		Example: "  sonde account\n  sonde account --agent probe-7 --json | jq .total.residual",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), cmd.Flags(), func(ctx context.Context, conn *grpc.ClientConn) error {
				ledger, err := fleetv1.NewFleetServiceClient(conn).GetLedger(ctx, &fleetv1.GetLedgerRequest{Agent: agent})
				if err != nil {
					return err
				}
				if asJSON {
					text, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(ledger)
					if err != nil {
						return err
					}
					_, err = fmt.Fprintf(s.out, "%s\n", text)
					return err
				}
				return errors.Join(ledgerTable(s.out, ledger.GetEntries()), ledgerLine(s.out, ledger.GetTotal()))
			})
		},
	}
	c.registerFlags(cmd.Flags())
	cmd.Flags().StringVar(&agent, "agent", "", "only this agent")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the answer of FleetService.GetLedger as JSON")
	return cmd
}

// ledgerTerm is one term of the ledger.
type ledgerTerm struct {
	name  string
	value uint64
}

// ledgerTerms lists the terms in the order in which packets meet them.
func ledgerTerms(e *fleetv1.LedgerEntry) []ledgerTerm {
	c, p := e.GetCounters(), e.GetSpool()
	return []ledgerTerm{
		{"seen", c.GetSeen()}, {"filtered", c.GetFiltered()}, {"non_ip", c.GetNonIp()}, {"undecodable", c.GetUndecodable()},
		{"frag_unmatched", c.GetFragUnmatched()}, {"dup", c.GetDup()}, {"cut", c.GetCut()}, {"accepted", c.GetAccepted()},
		{"applied", e.GetApplied()}, {"rejected", e.GetRejected()}, {"dropped", p.GetDropped()}, {"released", p.GetReleased()},
		{"lost_crash", e.GetLostCrash()}, {"elsewhere", e.GetElsewhere()}, {"mismatched", e.GetMismatched()}, {"kernel_dropped", c.GetKernelDropped()},
		{"sessions", e.GetOpenedSessions()}, {"results", e.GetStoredSessions()}, {"pending", e.GetPendingSessions()},
	}
}

// ledgerTable prints one line a lane, without the terms that are 0 in every lane, but for those that everyone looks for.
func ledgerTable(out io.Writer, entries []*fleetv1.LedgerEntry) error {
	if len(entries) == 0 {
		return nil
	}
	header, lines := "AGENT\tEPOCH\tLANE", make([]string, len(entries))
	for i, e := range entries {
		lines[i] = fmt.Sprintf("%s\t%016x\t%d", e.GetAgent(), e.GetEpoch(), e.GetLane())
	}
	for column, term := range ledgerTerms(entries[0]) {
		shown := alwaysShown(term.name)
		for _, e := range entries {
			shown = shown || ledgerTerms(e)[column].value != 0
		}
		if !shown {
			continue
		}
		header += "\t" + strings.ToUpper(term.name)
		for i, e := range entries {
			lines[i] += fmt.Sprintf("\t%d", ledgerTerms(e)[column].value)
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := fmt.Fprintf(w, "%s\tRESIDUAL\t\n", header); err != nil {
		return err
	}
	for i, e := range entries {
		if _, err := fmt.Fprintf(w, "%s\t%d\t\n", lines[i], e.GetResidual()); err != nil {
			return err
		}
	}
	return w.Flush()
}

// alwaysShown names the terms that are shown even when they are 0.
func alwaysShown(term string) bool { return term == "seen" || term == "results" }

// ledgerLine is the sum in one line; terms that are 0 are left out, but for those that everyone looks for.
func ledgerLine(out io.Writer, e *fleetv1.LedgerEntry) error {
	var b strings.Builder
	b.WriteString("ledger:")
	for _, t := range ledgerTerms(e) {
		if t.value != 0 || alwaysShown(t.name) {
			fmt.Fprintf(&b, " %s=%d", t.name, t.value)
		}
	}
	_, err := fmt.Fprintf(out, "%s residual=%d\n", b.String(), e.GetResidual())
	return err
}
