package pod_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/agent"
)

// Pods have the DNS that their class says where they want the cluster's; a
// change of the class counts for the next.
func TestClassesDNS(t *testing.T) {
	s := newScene(t)
	class := s.openClass()
	s.operator()
	_, _, bare := s.start("bare", policy(corev1.RestartPolicyAlways))
	class.Spec.DNS = &v1beta1.DNSSpec{Servers: []string{"10.96.0.10"}}
	s.change(class)
	if class.Spec.DNS.Domain != "cluster.local" {
		t.Errorf("the domain is %q by default", class.Spec.DNS.Domain)
	}
	p, cell, first := s.start("first", policy(corev1.RestartPolicyAlways))
	_, _, own := s.start("own", func(p *corev1.Pod) { p.Spec.DNSPolicy = corev1.DNSDefault })
	want := &agent.DNS{Servers: []string{"10.96.0.10"}, Searches: []string{s.namespace + ".svc.cluster.local", "svc.cluster.local", "cluster.local"}, Options: []string{"ndots:5"}}
	for what, c := range map[string]struct {
		h    *hollow
		want *agent.DNS
	}{"without one": {bare, nil}, "the cluster's": {first, want}, "the cell's": {own, nil}} {
		if diff := cmp.Diff(c.want, c.h.runtime.lastDNS()); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	// What a running pod is given after a change is not refused.
	class.Spec.DNS.Servers = []string{"10.96.0.11"}
	s.change(class)
	s.update(p, `{"spec":{"activeDeadlineSeconds":3600}}`)
	p = s.podIs(p, "observed", func(p *corev1.Pod) bool {
		return p.Spec.ActiveDeadlineSeconds != nil && p.Status.ObservedGeneration == p.Generation
	})
	if got := first.status(t, s.ca, cell).Status.ObservedGeneration; got != p.Generation {
		t.Errorf("the agent has generation %d, want %d", got, p.Generation)
	}
}
