package dev

import (
	"context"
	"testing"

	"kip.elotl.co/hack/proc"
)

// TestReplicas: two replicas have the same ports on addresses of their own.
func TestReplicas(t *testing.T) {
	for _, hollow := range []bool{false, true} {
		e := testEnvironment(t, hollow)
		e.Replicas = 2
		if err := e.choosePorts(t.Context()); err != nil {
			t.Fatal(err)
		}
		at, err := e.Endpoints()
		if err != nil || len(at.Operators) != 2 {
			t.Fatalf("hollow %v: %+v, %v", hollow, at, err)
		}
		seen := map[string]bool{}
		for _, o := range at.Operators {
			for _, endpoint := range []string{o.Metrics, o.Health, o.Kubelet, o.Agents} {
				if seen[endpoint] {
					t.Errorf("hollow %v: %s twice in %+v", hollow, endpoint, at.Operators)
				}
				seen[endpoint] = true
			}
		}
	}
	e := testEnvironment(t, true)
	e.Replicas = 3
	if _, err := e.complete(); err == nil {
		t.Error("three replicas are accepted")
	}
}

// TestReplicasStay: who does not say how many gets as many as there are.
func TestReplicasStay(t *testing.T) {
	e := testEnvironment(t, true)
	if got := len(e.operators()); got != 1 {
		t.Errorf("%d at first", got)
	}
	_, err := proc.Start(t.Context(), proc.Spec{Name: SecondOperator, Dir: e.Dir, Path: "/bin/sleep", Args: []string{"1000"}, DieWithParent: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.stopOperators(context.WithoutCancel(t.Context()), 0); err != nil {
			t.Error(err)
		}
	})
	if got := len(e.operators()); got != 2 {
		t.Errorf("%d where two run", got)
	}
	if err := e.stopOperators(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := len(e.operators()); got != 1 {
		t.Errorf("%d after the second was ended", got)
	}
}
