package dev

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// RollOperators ends the operator's replicas and starts them anew, one after the other, as a Deployment's rolling update does.
func (e Environment) RollOperators(ctx context.Context) error {
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
	e.Replicas = len(e.operators()) // also while one of them is not there
	for _, name := range e.operators() {
		if err := proc.Stop(ctx, e.Dir, name, 0); err != nil {
			return fmt.Errorf("ending %s: %w", name, err)
		}
		if err := e.startOperators(ctx); err != nil {
			return err
		}
	}
	return nil
}
