package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
)

const rootHelp = `Kip runs every pod on an EC2 instance of its own, the cheapest that will do. This plugin says which that is,
replaces the certificate authority by which operator and cells know each other, and says what would stay if Kip were uninstalled.`

const rootExample = `  # Which instance would this pod get, and what would it cost?
  kubectl kip price -f pod.yaml

  # And why no other type?
  kubectl kip price -f pod.yaml --rejected`

const priceHelp = `Says which instances Kip would try for pods that are only written down, in which order and at what price. Nothing is launched.

Each Pod, and the pods of each Deployment, ReplicaSet, StatefulSet, DaemonSet, Job and CronJob in the files, are counted
as the operator counts them: by resources, node selector and affinity, and the annotations pod.elotl.co/... . What the
operator would refuse, such as a field that no agent honours, is refused here too. What admission adds to a pod in its
namespace, such as a LimitRange's defaults, is not known here.

Class, prices of your own (ConfigMap kip-prices) and the memory that cells of a type really have are read from the
cluster; types and prices from AWS, in the class's region, with your own credentials, which need
ec2:DescribeInstanceTypes, ec2:DescribeInstanceTypeOfferings, ec2:DescribeSpotPriceHistory and pricing:GetProducts.
AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, say whose they are. Without pricing:GetProducts the prices
that are built in stand in: their source is Table, or Estimate outside us-east-1.

What has no capacity for the moment only the operator knows: it passes over such offerings for 1 to 30 minutes. It also
knows better how many addresses the subnets have left, by which it chooses between zones of one price. The status of a
Cell shows what was really chosen.

INSTANCE/H includes, for burstable types, the CPU that is asked for above the baseline. All prices are in USD per hour.

The exit code is 1 where there is something that nothing fits, or that would be refused.`

const priceExample = `  # The ten cheapest offerings for the pod
  kubectl kip price -f pod.yaml

  # All offerings in the class "big", and why the other types were turned down
  kubectl kip price -f pod.yaml --class=big --limit=0 --rejected

  # What would it cost on Spot, and what as a c5 of any size?
  kubectl kip price -f pod.yaml --launch-type=spot --instance-type='c5.*'

  # What is running now, as one figure
  kubectl get deployment web -o yaml | kubectl kip price -f - -o json | jq -r '.[0].offers[0].pricePerHour'`

// defaultTimeout is for cluster and cloud together: a region's price list has
// a dozen pages, each of which takes a second.
const defaultTimeout = time.Minute

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "kubectl-kip", Short: "Ask about Kip's cells", Long: rootHelp, Example: rootExample,
		Annotations:  map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl kip"},
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	cmd.AddCommand(newPriceCommand(), newRotateCommand(), newUninstallCommand(), &cobra.Command{
		Use: "version", Short: "Print the plugin's version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	})
	return cmd
}

func newPriceCommand() *cobra.Command {
	o := &priceOptions{loading: clientcmd.NewDefaultClientConfigLoadingRules()}
	cmd := &cobra.Command{
		Use: "price -f FILE", Short: "Show which instances a pod could get, and what they cost", Long: priceHelp, Example: priceExample,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringSliceVarP(&o.files, "filename", "f", nil, "file with the pods, - for standard input; may be given several times")
	flags.StringVar(&o.class, "class", "", "CellClass to count with (default: that of spec.runtimeClassName, else the only one)")
	flags.StringVar(&o.launchType, "launch-type", "", "on-demand, spot or spot-preferred, instead of the pod's annotation")
	flags.StringVar(&o.instanceType, "instance-type", "", "type, or pattern with *, instead of the pod's annotation")
	flags.IntVar(&o.limit, "limit", defaultLimit, "how many offerings to show, 0 for all")
	flags.BoolVar(&o.rejected, "rejected", false, "show also which types were turned down, at which step and why")
	flags.StringVarP(&o.output, "output", "o", outputTable, "table, json or yaml")
	flags.DurationVar(&o.timeout, "timeout", defaultTimeout, "how long cluster and AWS may take together")
	flags.StringVar(&o.operatorNamespace, "operator-namespace", "kip-system", "namespace of Kip's operator, which holds the ConfigMap kip-prices")
	flags.StringVar(&o.loading.ExplicitPath, "kubeconfig", "", "file that says how to reach the cluster")
	clientcmd.BindOverrideFlags(&o.overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
	return cmd
}
