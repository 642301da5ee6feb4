package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
)

const uninstallHelp = `Says what would stay if Kip were uninstalled now, and in which order to remove it. Nothing is changed.

Kip's operator ends the instances of Cells, and takes virtual nodes and RuntimeClasses away with their classes. So pods go
first, then Cells, then CellClasses, while the operator runs, and the operator with its roles and kinds last.

What is left in the cloud is found by its tags, with your own AWS credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY), in the region of the classes' subnets, else that of AWS_REGION. They need ec2:DescribeInstances,
ec2:DescribeVolumes, ec2:DescribeNetworkInterfaces, ec2:DescribeSecurityGroups and ssm:DescribeParameters. Cells of several
regions are not Kip's: what an operator made in a region that it is not in any more is not looked for.

The exit code is 0 when nothing would stay, and 1 when something would, or when not all could be looked at.`

const uninstallExample = `  # What would stay?
  kubectl kip uninstall --check

  # In the cluster alone
  kubectl kip uninstall --check --cloud=false

  # Kip is gone already, and ran with --cluster-id=prod
  AWS_REGION=us-east-1 kubectl kip uninstall --check --cluster-id=prod`

type uninstallOptions struct {
	check, cloud bool
	namespace    string
	clusterID    string
	timeout      time.Duration

	loading   *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

func newUninstallCommand() *cobra.Command {
	o := &uninstallOptions{loading: clientcmd.NewDefaultClientConfigLoadingRules()}
	cmd := &cobra.Command{
		Use: "uninstall --check", Short: "Say what would stay if Kip were uninstalled now", Long: uninstallHelp, Example: uninstallExample,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&o.check, "check", false, "only look; there is nothing else that this command does")
	flags.BoolVar(&o.cloud, "cloud", true, "look into the cloud too")
	flags.StringVar(&o.namespace, "operator-namespace", "kip-system", "namespace of Kip's operator")
	flags.StringVar(&o.clusterID, "cluster-id", "", "the operator's own --cluster-id (default: that of its Deployment, else the UID of namespace kube-system)")
	flags.DurationVar(&o.timeout, "timeout", defaultTimeout, "how long cluster and AWS may take together")
	flags.StringVar(&o.loading.ExplicitPath, "kubeconfig", "", "file that says how to reach the cluster")
	clientcmd.BindOverrideFlags(&o.overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
	return cmd
}

func (o *uninstallOptions) run(cmd *cobra.Command) error {
	if !o.check {
		return errors.New("nothing is removed by this command: say --check, and do as it says")
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	api, err := newAPI(clientcmd.NewNonInteractiveDeferredLoadingClientConfig(o.loading, &o.overrides))
	if err != nil {
		return err
	}
	r := &remains{namespace: o.namespace, clusterID: o.clusterID}
	if err := r.readCluster(ctx, api); err != nil {
		return err
	}
	if o.cloud {
		if err := r.readCloud(ctx); err != nil {
			r.unknown = append(r.unknown, fmt.Sprintf("the cloud: %v%s", err, remedy(err)))
		}
	}
	return r.report(cmd.OutOrStdout())
}

// step is what is to be removed at one time.
type step struct {
	what string
	how  string
	// things are listed, the first of them.
	things []string
}

// shownThings is how many things of a step are listed.
const shownThings = 20

// report writes the steps. The error says that something would stay, or that it
// is not known.
func (r *remains) report(out io.Writer) error {
	fmt.Fprintln(out, r.aboutOperator())
	number, count := 0, 0
	for _, s := range r.steps() {
		if len(s.things) == 0 {
			continue
		}
		number++
		count += len(s.things)
		fmt.Fprintf(out, "\n%d. %s: %d\n", number, s.what, len(s.things))
		for _, thing := range s.things[:min(len(s.things), shownThings)] {
			fmt.Fprintf(out, "     %s\n", thing)
		}
		if more := len(s.things) - shownThings; more > 0 {
			fmt.Fprintf(out, "     and %d more\n", more)
		}
		fmt.Fprintf(out, "   %s\n", s.how)
	}
	if r.installed() && len(r.own) > 0 {
		fmt.Fprintf(out, "\nGoes with the operator's manifests (kustomize build config/default | kubectl delete -f -), which are to be deleted last: %s\n", names(r.own))
	}
	for _, u := range r.unknown {
		fmt.Fprintf(out, "\nNot known: %s\n", u)
	}
	switch {
	case count > 0:
		return fmt.Errorf("%d things would stay", count)
	case len(r.unknown) > 0:
		return errors.New("not all could be looked at")
	}
	fmt.Fprintln(out, "\nNothing would stay.")
	return nil
}
