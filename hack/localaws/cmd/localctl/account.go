package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kip.elotl.co/hack/localaws/admin"
)

func parametersOf(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "parameters", Short: "List the parameters of the Parameter Store, without their values",
		Example: "  localctl parameters",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var found []admin.Parameter
			if err := c.call(cmd.Context(), http.MethodGet, "parameters", nil, nil, &found); err != nil {
				return err
			}
			var lines [][]string
			for _, p := range found {
				var tags []string
				for _, key := range slices.Sorted(maps.Keys(p.Tags)) {
					tags = append(tags, key+"="+p.Tags[key])
				}
				lines = append(lines, []string{p.Name, p.Type, p.Tier, strconv.FormatInt(p.Version, 10), strconv.Itoa(p.Bytes), p.KeyID, strings.Join(tags, ",")})
			}
			return table(cmd.OutOrStdout(), "NAME TYPE TIER VERSION BYTES KEY TAGS", lines)
		},
	}
}

func rolesOf(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "roles", Short: "List the roles, with their instance profiles and policies",
		Example: "  localctl roles",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var found []admin.Role
			if err := c.call(cmd.Context(), http.MethodGet, "roles", nil, nil, &found); err != nil {
				return err
			}
			var lines [][]string
			for _, r := range found {
				lines = append(lines, []string{r.Name, r.ID, strings.Join(r.Profiles, ","), strings.Join(slices.Sorted(maps.Keys(r.Policies)), ",")})
			}
			return table(cmd.OutOrStdout(), "NAME ID PROFILES POLICIES", lines)
		},
	}
}

func role(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "role NAME POLICY-FILE", Short: "Make a role, in an instance profile of its name, or change its policy",
		Example: "  localctl role kip-cell config/iam/cells.json",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			document, err := os.ReadFile(args[1])
			if err != nil {
				return fmt.Errorf("reading the policy: %w", err)
			}
			if err := c.call(cmd.Context(), http.MethodPut, "roles/"+url.PathEscape(args[0]), nil, admin.RoleRequest{Policy: string(document)}, nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "role %s has the policy of %s\n", args[0], args[1])
			return nil
		},
	}
}

func credentials(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "credentials INSTANCE", Short: "Show the credentials of an instance's role, as its metadata service gives them",
		Example: "  localctl credentials i-0123456789abcdef0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var found map[string]string
			if err := c.call(cmd.Context(), http.MethodGet, "instances/"+url.PathEscape(args[0])+"/credentials", nil, nil, &found); err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), found)
		},
	}
}
