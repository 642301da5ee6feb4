package main

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
)

// The ConfigMap with prices of the user's own, and its key.
const (
	overridesName = "kip-prices"
	overridesKey  = "overrides"
)

// cluster is what is read from Kubernetes.
type cluster struct {
	// namespace is that of pods that name none.
	namespace string
	classes   []v1beta1.CellClass
	overrides catalogue.Overrides
	// memory is what cells of a type have reported, in bytes; the least counts.
	memory []reported
}

type reported struct {
	instanceType string
	bytes        int64
}

// readCluster reads what the operator knows from the API server. Without the
// right to read all of it there is a note, and the operator's defaults count.
func (o *priceOptions) readCluster(ctx context.Context, notes io.Writer) (*cluster, error) {
	config := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(o.loading, &o.overrides)
	namespace, _, err := config.Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	api, err := newAPI(config)
	if err != nil {
		return nil, err
	}
	c := &cluster{namespace: namespace}
	if err := c.readClasses(ctx, api); err != nil {
		return nil, err
	}
	if err := c.readMemory(ctx, api); err != nil {
		fmt.Fprintf(notes, "note: the memory that cells really have does not count: %v\n", err)
	}
	if err := c.readOverrides(ctx, api, o.operatorNamespace); err != nil {
		fmt.Fprintf(notes, "note: prices of your own do not count: %v\n", err)
	}
	return c, nil
}

// newAPI makes a client of the API server that a kubeconfig names.
func newAPI(config clientcmd.ClientConfig) (client.Client, error) {
	access, err := config.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	access.UserAgent = "kubectl-kip/" + version
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering types: %w", err)
		}
	}
	api, err := client.New(access, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", access.Host, err)
	}
	return api, nil
}

func (c *cluster) readClasses(ctx context.Context, api client.Reader) error {
	var classes v1beta1.CellClassList
	err := api.List(ctx, &classes)
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("listing CellClasses: the cluster does not know them: Kip is not installed in it")
	case err != nil:
		return fmt.Errorf("listing CellClasses: %w", err)
	}
	c.classes = classes.Items
	return nil
}

func (c *cluster) readMemory(ctx context.Context, api client.Reader) error {
	var cells v1beta1.CellList
	if err := api.List(ctx, &cells); err != nil {
		return fmt.Errorf("listing Cells: %w", err)
	}
	for i := range cells.Items {
		status := &cells.Items[i].Status
		if status.Agent != nil && status.Agent.Memory != nil && status.InstanceType != "" {
			c.memory = append(c.memory, reported{status.InstanceType, status.Agent.Memory.Value()})
		}
	}
	return nil
}

func (c *cluster) readOverrides(ctx context.Context, api client.Reader, namespace string) error {
	prices := &corev1.ConfigMap{}
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: overridesName}, prices)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, overridesName, err)
	}
	if c.overrides, err = catalogue.ParseOverrides([]byte(prices.Data[overridesKey]), lastChange(prices)); err != nil {
		return fmt.Errorf("ConfigMap %s/%s, key %s: %w", namespace, overridesName, overridesKey, err)
	}
	return nil
}

// lastChange is when an object was written last.
func lastChange(object client.Object) time.Time {
	last := object.GetCreationTimestamp().Time
	for _, f := range object.GetManagedFields() {
		if f.Time != nil && f.Time.After(last) {
			last = f.Time.Time
		}
	}
	return last
}
