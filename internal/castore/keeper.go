package castore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/pki"
)

// Options are what a Keeper is made of.
type Options struct {
	// Client reads from the API server itself, not from a cache: what is decided
	// by it cannot be taken back.
	Client client.Client
	Events events.EventRecorder
	Clock  clock.PassiveClock
	// Namespace is the operator's own.
	Namespace string
}

// Keeper gives the authorities as the Secret has them, and changes the Secret
// where this replica is the one that acts.
type Keeper struct {
	Options

	// step is held from a look at the Secret until what follows from it is done:
	// what was read before a change of this process's own is not taken over after it.
	step sync.Mutex
	// asked is the request for another authority that the Secret had last.
	asked string

	mu   sync.RWMutex
	held pki.Authorities
	// problem is why the Secret is not followed; nil when it is.
	problem error
}

// Open loads the authorities; see Load.
func Open(ctx context.Context, options Options) (*Keeper, error) {
	held, err := Load(ctx, options.Client, options.Namespace, options.Clock.Now())
	if err != nil {
		return nil, err
	}
	return &Keeper{Options: options, held: held}, nil
}

// Authorities implements pki.Source.
func (k *Keeper) Authorities() pki.Authorities {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.held
}

// Check is a readiness check: it fails while the Secret is lost or unusable.
// The operator then goes on with what it has in memory.
func (k *Keeper) Check(*http.Request) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.problem
}

// SetupWithManager has every replica follow the Secret, and the one that acts
// keep it.
func (k *Keeper) SetupWithManager(mgr ctrl.Manager) error {
	everyReplica := false
	if err := k.watch(mgr, "ca-follower", k.follow, &everyReplica); err != nil {
		return err
	}
	return k.watch(mgr, "ca-keeper", k.Reconcile, nil)
}

func (k *Keeper) watch(mgr ctrl.Manager, name string, reconciler reconcile.Func, needLeader *bool) error {
	only := predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() == k.Namespace && o.GetName() == SecretName
	})
	// A Secret that is gone before the first look makes no event.
	once := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		queue.Add(ctrl.Request{NamespacedName: client.ObjectKey{Namespace: k.Namespace, Name: SecretName}})
		return nil
	})
	err := ctrl.NewControllerManagedBy(mgr).Named(name).
		For(&corev1.Secret{}, builder.WithPredicates(only)).
		WatchesRawSource(once).
		WithOptions(controller.Options{NeedLeaderElection: needLeader}).
		Complete(reconciler)
	if err != nil {
		return fmt.Errorf("watching Secret %s: %w", SecretName, err)
	}
	return nil
}

// follow takes over what another replica, or a user, has changed.
func (k *Keeper) follow(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	k.step.Lock()
	defer k.step.Unlock()
	var result ctrl.Result
	_, err := k.read(ctx)
	if k.Check(nil) != nil { // another replica mends it, or a user
		result.RequeueAfter, err = unusableRetry, nil
	}
	return result, err
}

// Reconcile brings the change of authorities one step further. Each step
// follows from the Secret and the Cells alone.
func (k *Keeper) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	k.step.Lock()
	defer k.step.Unlock()
	secret, err := k.read(ctx)
	if err == nil || errors.Is(err, errUnusable) {
		k.asked = secret.Annotations[v1beta1.AnnotationRotate]
	}
	switch {
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, k.restore(ctx)
	case errors.Is(err, errUnusable):
		k.report(secret, v1beta1.ReasonAuthorityUnusable, err)
		return ctrl.Result{RequeueAfter: unusableRetry}, k.mark(ctx, secret, err.Error())
	case err != nil:
		return ctrl.Result{}, err
	}
	if err := k.mark(ctx, secret, ""); err != nil {
		return ctrl.Result{}, err
	}
	held := k.Authorities()
	if held.Previous != nil {
		return k.finish(ctx, secret, held)
	}
	wait := rotationDue(held.Current).Sub(k.Clock.Now())
	if secret.Annotations[v1beta1.AnnotationRotate] != "" || wait <= 0 {
		return k.begin(ctx, secret, held)
	}
	return ctrl.Result{RequeueAfter: min(wait, ageLook)}, nil
}

// mark writes beside the Secret's keys why it is not followed; empty: it is.
func (k *Keeper) mark(ctx context.Context, secret *corev1.Secret, problem string) error {
	if secret.Annotations[AnnotationProblem] == problem {
		return nil
	}
	if problem == "" {
		delete(secret.Annotations, AnnotationProblem)
	} else {
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, AnnotationProblem, problem)
	}
	if err := k.Client.Update(ctx, secret); err != nil {
		return fmt.Errorf("noting on Secret %s/%s whether it is followed: %w", k.Namespace, SecretName, err)
	}
	return nil
}

// errUnusable is wrapped by errors about a Secret that is not followed.
var errUnusable = errors.New("the Secret is not followed")

// read reads the Secret and takes over what it holds, unless Cells depend on
// what it holds no more.
func (k *Keeper) read(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := k.Client.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: SecretName}, secret)
	if err == nil {
		err = k.take(ctx, secret)
	}
	if err != nil {
		err = fmt.Errorf("reading Secret %s/%s: %w", k.Namespace, SecretName, err)
	}
	if err == nil || apierrors.IsNotFound(err) || errors.Is(err, errUnusable) {
		k.mu.Lock()
		k.problem = err
		k.mu.Unlock()
	}
	return secret, err
}

func (k *Keeper) take(ctx context.Context, secret *corev1.Secret) error {
	stored, err := parse(secret.Data)
	if err != nil {
		return fmt.Errorf("%w: %w; delete it, and it is written back from memory", errUnusable, err)
	}
	for _, id := range k.Authorities().IDs() {
		if stored.ByID(id) != nil {
			continue
		}
		cell, err := k.dependant(ctx, id)
		if err != nil {
			return err
		}
		if cell != "" {
			return fmt.Errorf("%w: it does not hold authority %s any more, on which Cell %s depends; delete it, and it is written back from memory",
				errUnusable, id, cell)
		}
	}
	k.hold(stored)
	return nil
}

func (k *Keeper) hold(authorities pki.Authorities) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held, k.problem = authorities, nil
}

// dependant names a Cell that depends on an authority; empty: none does.
func (k *Keeper) dependant(ctx context.Context, authority string) (string, error) {
	var cells v1beta1.CellList
	if err := k.Client.List(ctx, &cells); err != nil {
		return "", fmt.Errorf("listing Cells: %w", err)
	}
	for i := range cells.Items {
		if DependsOn(&cells.Items[i], authority) {
			return cells.Items[i].Name, nil
		}
	}
	return "", nil
}

// restore writes a Secret that somebody deleted back from memory: cells depend
// on it, and the next operator will.
func (k *Keeper) restore(ctx context.Context) error {
	held := k.Authorities()
	secret, err := newSecret(k.Namespace, held)
	if err != nil {
		return err
	}
	if held.Previous != nil {
		secret.Annotations[v1beta1.AnnotationRotated] = k.Clock.Now().UTC().Format(time.RFC3339)
	}
	text := "it was deleted, and is written back from the operator's memory: cells depend on it"
	if k.asked != "" && held.Previous == nil {
		secret.Annotations[v1beta1.AnnotationRotate] = k.asked
		text += "; so is the request for another authority, which is made next"
	}
	if err := k.Client.Create(ctx, secret); err != nil {
		return fmt.Errorf("writing Secret %s/%s, which was deleted, back from memory: %w", k.Namespace, SecretName, err)
	}
	k.report(secret, v1beta1.ReasonAuthorityRestored, errors.New(text))
	k.hold(held)
	return nil
}

func (k *Keeper) report(secret *corev1.Secret, reason string, what error) {
	if secret.Name == "" {
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: k.Namespace, Name: SecretName}
	}
	k.Events.Eventf(secret, nil, corev1.EventTypeWarning, reason, "Keep", "%v", what)
}

// note says a step of a change in an event and in the log.
func (k *Keeper) note(ctx context.Context, secret *corev1.Secret, reason, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	logr.FromContextOrDiscard(ctx).Info(text, "reason", reason)
	k.Events.Eventf(secret, nil, corev1.EventTypeNormal, reason, "Rotate", "%s", text)
}
