package dev

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/proc"
)

// MaxReplicas is how many operators an environment can run.
const MaxReplicas = 2

// operatorNames are those of the operator's replicas as processes.
func operatorNames() []string { return []string{Operator, SecondOperator} }

// operators are the names of the replicas that the environment is to have.
func (e Environment) operators() []string {
	names := operatorNames()
	replicas := e.Replicas
	if there, err := proc.Names(e.Dir); replicas == 0 && err == nil && slices.Contains(there, SecondOperator) {
		replicas = MaxReplicas
	}
	return names[:max(1, replicas)]
}

// startOperators starts what does not run as it should of the operator's replicas, ends those that are too many, and waits until one leads.
func (e Environment) startOperators(ctx context.Context) error {
	at, err := e.Endpoints()
	if err != nil {
		return err
	}
	if err := e.stopOperators(ctx, len(at.Operators)); err != nil {
		return err
	}
	names := operatorNames()
	for n, endpoints := range at.Operators {
		p, err := e.operatorPart(names[n], endpoints)
		if err != nil {
			return err
		}
		if err := e.run(ctx, p); err != nil {
			return err
		}
	}
	kube, err := e.kube()
	if err != nil {
		return err
	}
	return proc.WaitReady(ctx, e.Dir, Operator, func(ctx context.Context) error { return e.leads(ctx, kube) })
}

// stopOperators ends the replicas from the n-th on, counted from 0.
func (e Environment) stopOperators(ctx context.Context, n int) error {
	var errs []error
	for _, name := range operatorNames()[n:] {
		if err := proc.Stop(ctx, e.Dir, name, 0); err != nil {
			errs = append(errs, fmt.Errorf("ending %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// StartOperator starts the operator's replicas alone, where Up was called before, and waits until one leads.
func (e Environment) StartOperator(ctx context.Context) error {
	return e.whereUp(func(e Environment) error { return e.startOperators(ctx) })
}

// RollOperators ends the operator's replicas and starts them anew, one after the other and the leader last, as a Deployment's rolling update
// does.
func (e Environment) RollOperators(ctx context.Context) error {
	return e.whereUp(func(e Environment) error {
		names, err := e.leaderLast(ctx)
		if err != nil {
			return err
		}
		e.Replicas = len(names) // also while one of them is not there
		for _, name := range names {
			if err := proc.Stop(ctx, e.Dir, name, 0); err != nil {
				return fmt.Errorf("ending %s: %w", name, err)
			}
			if err := e.startOperators(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// whereUp does something with an environment that Up was called for, and nobody else at the same time.
func (e Environment) whereUp(do func(Environment) error) error {
	e, err := e.complete()
	if err != nil {
		return err
	}
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if e, err = e.located(); err != nil {
		return err
	}
	return do(e)
}

// leaderLast are the replicas in the order in which they are ended. The leader is at the virtual nodes' address; where there are none, the
// order does not matter.
func (e Environment) leaderLast(ctx context.Context) ([]string, error) {
	kube, err := e.kube()
	if err != nil {
		return nil, err
	}
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: v1beta1.LabelCellClass, Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("looking for the leader: %w", err)
	}
	names := e.operators()
	for n, name := range names {
		here := func(a corev1.NodeAddress) bool { return a.Address == e.replicaAddress(n).String() }
		if len(nodes.Items) > 0 && slices.ContainsFunc(nodes.Items[0].Status.Addresses, here) {
			return append(slices.Delete(names, n, n+1), name), nil
		}
	}
	return names, nil
}
