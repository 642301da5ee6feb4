// Package prices keeps the price overrides of the catalogue as one ConfigMap
// says.
package prices

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
)

const (
	// ConfigMapName is the ConfigMap's, in the operator's namespace.
	ConfigMapName = "kip-prices"
	// Key holds a YAML list of catalogue.Override.
	Key = "overrides"
)

// Catalogue takes overrides in.
type Catalogue interface {
	SetOverrides(catalogue.Overrides)
}

// Options are what a Controller is made of.
type Options struct {
	Client    client.Client
	Catalogue Catalogue
	Events    events.EventRecorder
	Clock     clock.PassiveClock
	// Namespace is the operator's own.
	Namespace string
}

// Controller reconciles the ConfigMap.
type Controller struct{ Options }

// New makes a Controller; SetupWithManager registers it.
func New(options Options) *Controller { return &Controller{options} }

// Reconcile gives the catalogue what the ConfigMap says. What is malformed is
// said in an event on it; the last that was well-formed stays in force.
func (c *Controller) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	is := &corev1.ConfigMap{}
	err := c.Client.Get(ctx, request.NamespacedName, is)
	if apierrors.IsNotFound(err) {
		c.Catalogue.SetOverrides(catalogue.Overrides{})
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading ConfigMap %s: %w", request, err)
	}
	overrides, err := c.parse(is)
	if err != nil {
		c.Events.Eventf(is, nil, corev1.EventTypeWarning, v1beta1.ReasonInvalidPrices, "Read",
			"%v; the prices that were in force stay", err)
		return ctrl.Result{}, nil
	}
	c.Catalogue.SetOverrides(overrides)
	return ctrl.Result{}, nil
}

func (c *Controller) parse(is *corev1.ConfigMap) (catalogue.Overrides, error) {
	document, ok := is.Data[Key]
	if !ok {
		return catalogue.Overrides{}, fmt.Errorf("data.%s is missing: a YAML list of price overrides, [] for none", Key)
	}
	overrides, err := catalogue.ParseOverrides([]byte(document), c.Clock.Now())
	if err != nil {
		return catalogue.Overrides{}, fmt.Errorf("data.%s: %w", Key, err)
	}
	return overrides, nil
}

// +kubebuilder:rbac:groups="",namespace=kip-system,resources=configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager registers the controller. The manager's cache need not hold
// other ConfigMaps.
func (c *Controller) SetupWithManager(mgr ctrl.Manager) error {
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetName() == ConfigMapName && o.GetNamespace() == c.Namespace
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("prices").
		For(&corev1.ConfigMap{}, builder.WithPredicates(ours)).
		Complete(c)
}
