package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/pricetable"
)

// The values of --output.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputYAML  = "yaml"
)

// defaultLimit is how many offerings are shown unless told otherwise.
const defaultLimit = 10

// priceOptions are what "kubectl kip price" is told.
type priceOptions struct {
	files                           []string
	class, launchType, instanceType string
	limit                           int
	rejected                        bool
	output                          string
	timeout                         time.Duration
	operatorNamespace               string

	loading   *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

func (o *priceOptions) validate() error {
	switch {
	case len(o.files) == 0:
		return errors.New("-f is missing: the file with the pods, - for standard input")
	case o.output != outputTable && o.output != outputJSON && o.output != outputYAML:
		return fmt.Errorf("--output=%s: must be %s, %s or %s", o.output, outputTable, outputJSON, outputYAML)
	case o.limit < 0:
		return fmt.Errorf("--limit=%d: must be the number of offerings to show, 0 for all", o.limit)
	case o.timeout <= 0:
		return fmt.Errorf("--timeout=%s: must be more than 0", o.timeout)
	}
	return nil
}

// run shows what can be shown; its error tells of all the rest.
func (o *priceOptions) run(cmd *cobra.Command) error {
	if err := o.validate(); err != nil {
		return err
	}
	notes := cmd.ErrOrStderr()
	workloads, err := o.workloads(cmd.InOrStdin(), notes)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	cluster, err := o.readCluster(ctx, notes)
	if err != nil {
		return err
	}
	asked, failures := o.pairs(workloads, cluster)
	if len(asked) == 0 {
		return errors.Join(failures...)
	}
	market, err := loadMarket(ctx, asked, cluster, notes)
	if err != nil {
		return err
	}
	var quotes []*pricetable.Quote
	for _, a := range asked {
		quote, err := market.Quote(a.workload, a.class)
		switch {
		case err != nil:
			failures = append(failures, about(a.workload, err))
			continue
		case quote.Problem != nil:
			failures = append(failures, about(a.workload, errors.New(quote.Problem.Message)))
		}
		quote.Shorten(o.limit, o.rejected)
		quotes = append(quotes, quote)
	}
	if err := o.print(cmd.OutOrStdout(), quotes); err != nil {
		return err
	}
	return errors.Join(failures...)
}

// about says of which workload an error is; each of its lines does.
func about(w pricetable.Workload, err error) error {
	prefix := w.String() + ": "
	if !strings.Contains(err.Error(), "\n") {
		return fmt.Errorf("%s%w", prefix, err)
	}
	return errors.New(prefix + strings.ReplaceAll(err.Error(), "\n", "\n"+prefix))
}

// workloads reads all files.
func (o *priceOptions) workloads(stdin io.Reader, notes io.Writer) ([]pricetable.Workload, error) {
	var all []pricetable.Workload
	for _, file := range o.files {
		found, others, err := readFile(file, stdin)
		if err != nil {
			return nil, err
		}
		name := file
		if file == "-" {
			name = "standard input"
		}
		switch {
		case len(found) == 0 && len(others) == 0:
			return nil, fmt.Errorf("%s: is empty", name)
		case len(found) == 0:
			return nil, fmt.Errorf("%s: has no pods but %s: Pod, Deployment, ReplicaSet, StatefulSet, DaemonSet, Job and CronJob are right",
				name, strings.Join(others, ", "))
		case len(others) > 0:
			fmt.Fprintf(notes, "note: %s: passed over what has no pods: %s\n", name, strings.Join(others, ", "))
		}
		all = append(all, found...)
	}
	return all, nil
}

func readFile(file string, stdin io.Reader) (found []pricetable.Workload, others []string, err error) {
	if file == "-" {
		found, others, err = pricetable.Read(stdin)
		if err != nil {
			return nil, nil, fmt.Errorf("standard input: %w", err)
		}
		return found, others, nil
	}
	content, err := os.Open(file)
	if err != nil {
		return nil, nil, err // it names the file
	}
	defer func() { _ = content.Close() }()
	if found, others, err = pricetable.Read(content); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return found, others, nil
}

// asked is a workload with the class that counts for it.
type asked struct {
	workload pricetable.Workload
	class    *v1beta1.CellClass
}

// pairs finds the class of each workload.
func (o *priceOptions) pairs(workloads []pricetable.Workload, c *cluster) (pairs []asked, failures []error) {
	for _, w := range workloads {
		err := o.fill(w.Pod, c.namespace)
		var class *v1beta1.CellClass
		if err == nil {
			class, err = pricetable.ClassFor(w.Pod, c.classes, o.class)
		}
		if err != nil {
			failures = append(failures, about(w, err))
			continue
		}
		pairs = append(pairs, asked{w, class})
	}
	return pairs, failures
}

// fill puts into a pod what flags and kubeconfig say of it.
func (o *priceOptions) fill(pod *corev1.Pod, namespace string) error {
	if asked := o.overrides.Context.Namespace; asked != "" && pod.Namespace != "" && asked != pod.Namespace {
		return fmt.Errorf("metadata.namespace: %q is not the one of --namespace=%s", pod.Namespace, asked)
	}
	pod.Namespace = cmp.Or(pod.Namespace, namespace)
	for name, value := range map[string]string{
		v1beta1.AnnotationLaunchType: o.launchType, v1beta1.AnnotationInstanceType: o.instanceType,
	} {
		if value != "" {
			metav1.SetMetaDataAnnotation(&pod.ObjectMeta, name, value)
		}
	}
	return nil
}

func (o *priceOptions) print(w io.Writer, quotes []*pricetable.Quote) error {
	if o.output == outputTable {
		for i, quote := range quotes {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if err := quote.Write(w, time.Now()); err != nil {
				return err
			}
		}
		return nil
	}
	if quotes == nil {
		quotes = []*pricetable.Quote{}
	}
	text, err := json.MarshalIndent(quotes, "", "  ")
	text = append(text, '\n')
	if o.output == outputYAML {
		text, err = yaml.Marshal(quotes)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", o.output, err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("writing %s: %w", o.output, err)
	}
	return nil
}

// marketFrom is the market as the operator sees it that has just started:
// nothing is short.
func marketFrom(c *catalogue.Catalogue) pricetable.Market {
	return pricetable.Market{IndexFor: c.IndexFor, World: catalogue.NewCapacity(clock.RealClock{}).For(catalogue.Hardware{}), Region: c.Region}
}
