package dev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"kip.elotl.co/hack/proc"
	"kip.elotl.co/hack/proc/atomicfile"
)

// leaseName is that of the operator's lease, in its namespace.
const leaseName = "kip-operator"

// leaderFile holds the identity under which the operator of this environment led last.
const leaderFile = "leader"

// kube is a client as administrator.
func (e Environment) kube() (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", e.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return kubernetes.NewForConfig(config)
}

// leads checks that one of the operators that run holds the lease. That of an operator of this environment that was killed is removed, so that
// the next one need not wait until it runs out; one of an operator that somebody runs besides is left to run out.
func (e Environment) leads(ctx context.Context, kube kubernetes.Interface) error {
	first, last, err := e.since()
	if err != nil {
		return err
	}
	lease, err := kube.CoordinationV1().Leases(Namespace).Get(ctx, leaseName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading the operator's lease: %w", err)
	}
	holder := holderOf(lease)
	if holder == "" {
		return errors.New("no operator leads yet")
	}
	acquired, renewed := timeOf(lease.Spec.AcquireTime), timeOf(lease.Spec.RenewTime)
	if !acquired.Before(first) && !renewed.Before(last) {
		_, err := atomicfile.Write(e.path(leaderFile), []byte(holder), 0o644)
		return err
	}
	before, err := os.ReadFile(e.path(leaderFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading who led last: %w", err)
	}
	// One that runs has renewed it since it was started, but for the first moments.
	if string(before) == holder && acquired.Before(first) {
		if err := removeLease(ctx, kube, lease); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s still holds the lease, and the operator that runs waits for it", holder)
}

// since tells when the first and the last of the operators that run were started.
func (e Environment) since() (first, last time.Time, err error) {
	for _, name := range e.operators() {
		operator, alive, err := proc.Alive(e.Dir, name)
		if err != nil {
			return first, last, err
		}
		if !alive {
			continue
		}
		if first.IsZero() || operator.Since.Before(first) {
			first = operator.Since
		}
		if operator.Since.After(last) {
			last = operator.Since
		}
	}
	if first.IsZero() {
		return first, last, errors.New("no operator runs")
	}
	return first, last, nil
}

// timeOf is the zero time where there is none.
func timeOf(t *metav1.MicroTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func holderOf(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// removeLease removes the lease as it was read: not one that somebody has taken over or renewed meanwhile.
func removeLease(ctx context.Context, kube kubernetes.Interface, lease *coordinationv1.Lease) error {
	err := kube.CoordinationV1().Leases(lease.Namespace).Delete(ctx, lease.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("removing the lease of an operator that has ended: %w", err)
	}
	return nil
}
