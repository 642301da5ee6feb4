// Package pod takes the pods that are bound to virtual nodes their way: a Cell
// for each, dispatched to the cell's agent, observed, and ended with it.
package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/ownwrites"
	"kip.elotl.co/internal/virtualnode"
)

// Agents gives the client of a Cell's agent.
type Agents interface {
	ForCell(*v1beta1.Cell) (*itzo.Client, error)
}

// NodeClients gives clients that act as a node, so that the API server allows
// them what a kubelet on that node may do, and no more.
type NodeClients interface {
	ForNode(name string) (kubernetes.Interface, error)
}

// Recorders give recorders of the events of pods, by the pods' node.
type Recorders interface {
	ForNode(name string) record.EventRecorder
}

// Options are what a Controller is made of.
type Options struct {
	Client client.Client
	// Live reads around the cache.
	Live   client.Reader
	Nodes  NodeClients
	Agents Agents
	Events Recorders
	Logs   LogKeeper
	// Fits chooses among cells that are there; nil: each pod gets one of its own making.
	Fits  Matcher
	Clock clock.WithTicker
	// Version is the operator's.
	Version string
}

// Controller reconciles pods.
type Controller struct {
	Options
	observers *observers
	written   *ownwrites.Versions
	claims    *claims
	// What pods refer to, for a moment.
	configMaps *sharedReads[corev1.ConfigMap]
	secrets    *sharedReads[corev1.Secret]
	// fetching has a place for each pod whose last logs are being fetched.
	fetching chan struct{}
}

// New makes a Controller; SetupWithManager registers it.
func New(options Options) *Controller {
	return &Controller{
		Options: options, observers: newObservers(options.Clock, options.Events), written: ownwrites.New(), claims: newClaims(options),
		configMaps: newSharedReads[corev1.ConfigMap](options.Clock), secrets: newSharedReads[corev1.Secret](options.Clock),
		fetching: make(chan struct{}, logsAtOnce),
	}
}

// scope is what one reconcile has read.
type scope struct {
	pod   *corev1.Pod
	class string
	// zone is that of the pod's node; empty where the node is its class's only one.
	zone string
	// labels are those of the pod's node.
	labels map[string]string
	node   kubernetes.Interface
	cell   *v1beta1.Cell // nil when the pod has none
	// wanted is the spec of the Cell that the pod asks for, before it is dispatched.
	wanted v1beta1.CellSpec
}

// Reconcile brings one pod a step further.
func (c *Controller) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	pod := &corev1.Pod{}
	if err := c.Client.Get(ctx, req.NamespacedName, pod); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, c.endCellsOf(ctx, req.NamespacedName, "")
		}
		return ctrl.Result{}, fmt.Errorf("reading pod: %w", err)
	}
	// Also when the pod that has the name now is none of ours.
	if err := c.endCellsOf(ctx, req.NamespacedName, pod.UID); err != nil {
		return ctrl.Result{}, err
	}
	s, err := c.scopeOf(ctx, pod)
	if err != nil || s == nil {
		return ctrl.Result{}, err
	}
	if c.written.Stale(pod) {
		return ctrl.Result{}, c.endLeft(ctx, pod)
	}
	if s.node, err = c.Nodes.ForNode(pod.Spec.NodeName); err != nil {
		return ctrl.Result{}, err
	}
	if s.cell, err = c.cellOf(ctx, pod); err != nil {
		return ctrl.Result{}, err
	}
	switch {
	case !pod.DeletionTimestamp.IsZero():
		return c.stop(ctx, s)
	case terminal(pod):
		return ctrl.Result{}, c.finish(ctx, s)
	}
	return c.run(ctx, s)
}

// scopeOf begins the scope of a pod that is bound to a virtual node; nil for
// any other.
func (c *Controller) scopeOf(ctx context.Context, pod *corev1.Pod) (*scope, error) {
	if !maybeOurs(pod) {
		return nil, nil
	}
	node := &corev1.Node{}
	err := c.Client.Get(ctx, client.ObjectKey{Name: pod.Spec.NodeName}, node)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading node %s: %w", pod.Spec.NodeName, err)
	}
	id, ours := virtualnode.IdentityOf(node)
	if !ours {
		return nil, nil
	}
	return &scope{pod: pod, class: id.Class, zone: id.Zone, labels: node.Labels}, nil
}

func terminal(pod *corev1.Pod) bool { return terminalPhase(pod.Status.Phase) }

func terminalPhase(phase corev1.PodPhase) bool {
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}

// run brings a pod that is to run to run, and keeps its status true.
func (c *Controller) run(ctx context.Context, s *scope) (ctrl.Result, error) {
	if err := c.bearOutages(ctx, s.pod); err != nil {
		return ctrl.Result{}, err
	}
	// One that was dispatched and changed since goes on as it was.
	if !dispatched(s.pod) {
		refusal, err := c.review(ctx, s)
		if err != nil {
			return ctrl.Result{}, err
		}
		if refusal != nil {
			return ctrl.Result{}, errors.Join(c.refused(ctx, s, refusal), c.endCell(ctx, s))
		}
		if refusedHere(s) {
			return ctrl.Result{}, c.endCell(ctx, s)
		}
	}
	switch state := cellState(s.cell); {
	case state == cellReady:
		return c.onCell(ctx, s)
	case state != cellNotReady:
		return ctrl.Result{}, c.withoutCell(ctx, s, state)
	case !dispatched(s.pod) && outdated(s):
		return ctrl.Result{}, c.deleteCell(ctx, s.cell)
	}
	return c.pending(ctx, s)
}

// review says why the pod cannot run as it is written, and else what cell it
// asks for.
func (c *Controller) review(ctx context.Context, s *scope) (*refusal, error) {
	if refusal := refuse(s.pod, expectedAgent()); refusal != nil {
		return refusal, nil
	}
	class, err := c.classOf(ctx, s.class)
	if err != nil {
		return nil, err
	}
	if refusal := want(s, class); refusal != nil {
		return refusal, nil
	}
	return c.knownToBeRefused(s, class), nil
}

// withoutCell fails a pod that ran on a cell which is no more. One that did
// not run yet gets another, once the old one is out of the way.
func (c *Controller) withoutCell(ctx context.Context, s *scope, state cellStateKind) error {
	switch {
	case state == cellNone && dispatched(s.pod):
		return c.lostForSure(ctx, s)
	case dispatched(s.pod):
		return c.lost(ctx, s, whyLost(s.cell, state))
	case state == cellNone:
		return c.takeCell(ctx, s)
	}
	return c.endCell(ctx, s)
}

// onCell gives the pod to the agent of its cell, or copies its status from there.
func (c *Controller) onCell(ctx context.Context, s *scope) (ctrl.Result, error) {
	agent, err := c.Agents.ForCell(s.cell)
	if err != nil {
		return ctrl.Result{}, err
	}
	seen := c.observers.watch(s.pod, s.cell, agent)
	switch {
	case seen.reply == nil:
		return c.awaitAgent(ctx, s, seen)
	case seen.reply.PodUID == "" && !dispatched(s.pod) && seen.reply.Notices != nil && seen.reply.Notices.Interruption != nil:
		return c.beforeIt(ctx, s, seen.reply.Notices)
	case seen.reply.PodUID == "":
		return c.dispatch(ctx, s, agent, seen)
	case !seen.silent.IsZero():
		return c.silent(ctx, s, seen, seen.silent.Add(silenceTime))
	}
	if err := errors.Join(c.tellNotices(ctx, s, seen.reply.Notices), c.prepareNext(ctx, s)); err != nil {
		return ctrl.Result{}, err
	}
	if left := c.settling(s.pod, seen); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	if err := c.copyStatus(ctx, s, seen); err != nil {
		return ctrl.Result{}, err
	}
	return c.refresh(ctx, s, agent, seen), nil
}

// newPod is how long the API server's authorizer may take to learn of a pod.
const newPod = 5 * time.Second
