package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kip.elotl.co/hack/localaws/admin"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/journal"
)

// table prints lines in columns.
func table(w io.Writer, header string, lines [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ReplaceAll(header, " ", "\t"))
	for _, l := range lines {
		fmt.Fprintln(t, strings.Join(l, "\t"))
	}
	return t.Flush()
}

func usd(price float64) string { return strconv.FormatFloat(price, 'f', 4, 64) }

func instances(c *client) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "instances", Short: "List the instances with what they cost",
		Example: "  localctl instances\n  localctl instances --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var found []admin.Instance
			if err := c.call(cmd.Context(), http.MethodGet, "instances", nil, nil, &found); err != nil {
				return err
			}
			var lines [][]string
			for _, i := range found {
				if all || i.State != "terminated" {
					lines = append(lines, []string{i.ID, i.State, i.InstanceType, i.Zone, i.Market, usd(i.PricePerHour), i.PrivateIP, i.Tags["Name"], i.Reason})
				}
			}
			return table(cmd.OutOrStdout(), "ID STATE TYPE ZONE MARKET USD/HOUR ADDRESS NAME REASON", lines)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list the terminated ones too")
	return cmd
}

func journalOf(c *client) *cobra.Command {
	var action string
	var last int
	cmd := &cobra.Command{
		Use: "journal", Short: "List calls, the newest last",
		Example: "  localctl journal --last 50\n  localctl journal --action RunInstances",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var found []journal.Entry
			query := url.Values{"last": {strconv.Itoa(last)}, "action": {action}}
			if err := c.call(cmd.Context(), http.MethodGet, "journal", query, nil, &found); err != nil {
				return err
			}
			var lines [][]string
			for _, e := range found {
				lines = append(lines, []string{
					strconv.FormatInt(e.Seq, 10), e.Time.Local().Format("15:04:05.000"), e.Action, outcome(e), e.Took.Round(1e5).String(), parameters(e.Params),
				})
			}
			return table(cmd.OutOrStdout(), "SEQ TIME ACTION OUTCOME TOOK PARAMETERS", lines)
		},
	}
	cmd.Flags().StringVar(&action, "action", "", "of this action only")
	cmd.Flags().IntVar(&last, "last", 20, "how many; 0 for all that are remembered")
	return cmd
}

func outcome(e journal.Entry) string {
	parts := slices.DeleteFunc([]string{e.Code, e.Fault, strings.Join(e.Created, " ")}, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return "ok"
	}
	return strings.Join(parts, ", ")
}

// parameters shows what was asked in one line that is not too long.
func parameters(params map[string]string) string {
	const most = 160
	var out []string
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !strings.HasPrefix(name, "UserData") {
			out = append(out, name+"="+params[name])
		}
	}
	line := []rune(strings.Join(out, " "))
	if len(line) > most {
		return string(line[:most]) + "…"
	}
	return string(line)
}

func calls(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "calls", Short: "Count the calls by action, with their errors",
		Example: "  localctl calls",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var found map[string]admin.Calls
			if err := c.call(cmd.Context(), http.MethodGet, "calls", nil, nil, &found); err != nil {
				return err
			}
			var lines [][]string
			for _, action := range slices.Sorted(maps.Keys(found)) {
				var codes []string
				for _, code := range slices.Sorted(maps.Keys(found[action].Errors)) {
					codes = append(codes, fmt.Sprintf("%s: %d", code, found[action].Errors[code]))
				}
				lines = append(lines, []string{action, strconv.Itoa(found[action].Calls), strconv.Itoa(found[action].Created), strings.Join(codes, ", ")})
			}
			return table(cmd.OutOrStdout(), "ACTION CALLS CREATED ERRORS", lines)
		},
	}
}

func showFaults(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "faults", Short: "Show what is to go wrong",
		Example: "  localctl faults",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var plan faults.Plan
			if err := c.call(cmd.Context(), http.MethodGet, "faults", nil, nil, &plan); err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), plan)
		},
	}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
