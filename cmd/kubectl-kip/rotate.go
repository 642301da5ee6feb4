package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/castore"
)

const rotateHelp = `Replaces the certificate authority by which Kip's operator and its cells know each other, while pods run.

The operator makes a second authority beside the present one, and gives each running cell a certificate of it. Both
are trusted until no cell depends on the first, which is then dropped, by the cells too. No pod is restarted. It takes
some minutes; should the operator be restarted meanwhile, it goes on.

Cells whose agent takes no new certificate (those of the first Kip) keep the first authority until they are gone; they
are named.

Nothing but an annotation on the Secret kip-ca is written, for which you need the right to patch it; its keys are not
read. The operator does the same by itself a year before the authority ends.`

const rotateExample = `  # What would happen?
  kubectl kip rotate-ca --dry-run

  # Replace the authority, and see it done
  kubectl kip rotate-ca --wait

  # How far is it?
  kubectl kip rotate-ca --status`

// rotateLook is how often progress is looked at.
const rotateLook = time.Second

type rotateOptions struct {
	namespace            string
	wait, dryRun, status bool
	timeout              time.Duration

	loading   *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

func newRotateCommand() *cobra.Command {
	o := &rotateOptions{loading: clientcmd.NewDefaultClientConfigLoadingRules()}
	cmd := &cobra.Command{
		Use: "rotate-ca", Short: "Replace the cells' certificate authority while they run", Long: rotateHelp, Example: rotateExample,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&o.wait, "wait", false, "show progress, and end when it is done")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only say what would happen")
	flags.BoolVar(&o.status, "status", false, "only say how far it is")
	flags.DurationVar(&o.timeout, "timeout", 15*time.Minute, "how long to wait at most")
	flags.StringVar(&o.namespace, "operator-namespace", "kip-system", "namespace of Kip's operator, which holds the Secret kip-ca")
	flags.StringVar(&o.loading.ExplicitPath, "kubeconfig", "", "file that says how to reach the cluster")
	clientcmd.BindOverrideFlags(&o.overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
	cmd.MarkFlagsMutuallyExclusive("wait", "dry-run")
	cmd.MarkFlagsMutuallyExclusive("status", "dry-run")
	cmd.MarkFlagsMutuallyExclusive("status", "wait")
	return cmd
}

func (o *rotateOptions) run(cmd *cobra.Command) error {
	if o.timeout <= 0 {
		return fmt.Errorf("--timeout=%s: must be more than 0", o.timeout)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	api, err := newAPI(clientcmd.NewNonInteractiveDeferredLoadingClientConfig(o.loading, &o.overrides))
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	before, err := o.read(ctx, api)
	if err != nil {
		return err
	}
	if o.status {
		_, err := fmt.Fprintln(out, before)
		return err
	}
	if err := before.unusable(); err != nil {
		return err
	}
	before.plan(out)
	if o.dryRun {
		return nil
	}
	if !before.running() {
		if err := o.ask(ctx, api); err != nil {
			return err
		}
		fmt.Fprintln(out, "The operator is asked to.")
	}
	if !o.wait {
		return nil
	}
	return o.follow(ctx, api, out, before)
}

// ask annotates the Secret; what it holds is not read.
func (o *rotateOptions) ask(ctx context.Context, api client.Client) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1beta1.AnnotationRotate, time.Now().UTC().Format(time.RFC3339))
	if err := api.Patch(ctx, secretMetadata(o.namespace), client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return fmt.Errorf("asking the operator: annotating Secret %s/%s: %w", o.namespace, castore.SecretName, err)
	}
	return nil
}

// follow shows progress until the rotation that was asked for is over.
func (o *rotateOptions) follow(ctx context.Context, api client.Client, out io.Writer, before *rotation) error {
	last, shown := before, ""
	err := wait.PollUntilContextCancel(ctx, rotateLook, true, func(ctx context.Context) (bool, error) {
		now, err := o.read(ctx, api)
		if err != nil {
			return false, passing(err)
		}
		last = now
		if err := now.unusable(); err != nil {
			return false, err
		}
		if text := now.String(); text != shown {
			fmt.Fprintln(out, text)
			shown = text
		}
		return !now.running() && (before.running() || now.rotated != before.rotated), nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("not done within %s, and it goes on: %s", o.timeout, last)
	}
	return err
}

// passing lets the wait go on where the API server is away for a while.
func passing(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

// names lists some names, and how many others there are.
func names(all []string) string {
	const shown = 10
	if len(all) <= shown {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d others", strings.Join(all[:shown], ", "), len(all)-shown)
}
