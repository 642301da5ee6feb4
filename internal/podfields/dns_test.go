package podfields_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/podfields"
)

func TestMergeDNS(t *testing.T) {
	two, five := "2", "5"
	base := &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.1"}, Searches: []string{"a", "b"},
		Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &five}, {Name: "edns0"}}}
	own := &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.2", "10.0.0.1"}, Searches: []string{"b", "c"},
		Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}, {Name: "rotate"}, {Name: "rotate"}}}
	want := &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.1", "10.0.0.2"}, Searches: []string{"a", "b", "c"},
		Options: []corev1.PodDNSConfigOption{{Name: "edns0"}, {Name: "ndots", Value: &two}, {Name: "rotate"}}}
	if diff := cmp.Diff(want, podfields.MergeDNS(base, own)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(base, podfields.MergeDNS(base, nil)); diff != "" {
		t.Errorf("nothing to add: %s", diff)
	}
}

// TestLimitDNS: each limit by itself, as a kubelet cuts.
func TestLimitDNS(t *testing.T) {
	numbered := func(n, length int) []string {
		texts := make([]string, n)
		for i := range texts {
			texts[i] = fmt.Sprintf("%0*d", length, i)
		}
		return texts
	}
	for what, test := range map[string]struct {
		searches []string
		want     int
	}{
		"as many as count":      {numbered(32, 3), 32},
		"one more":              {numbered(33, 3), 32},
		"as long a line":        {append(numbered(8, 253), strings.Repeat("x", 16)), 9},
		"a longer one":          {append(numbered(8, 253), strings.Repeat("x", 17)), 8},
		"a domain too long":     {[]string{"a", strings.Repeat("x", 254), "b"}, 2},
		"too long and too many": {append(numbered(31, 3), strings.Repeat("x", 254), "b"), 31},
	} {
		got, left := podfields.LimitDNS(&corev1.PodDNSConfig{Nameservers: numbered(4, 1), Searches: test.searches})
		if len(got.Searches) != test.want || len(got.Nameservers) != 3 {
			t.Errorf("%s: %d searches and %d servers are left, want %d", what, len(got.Searches), len(got.Nameservers), test.want)
		}
		said := []string{"Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 0 1 2"}
		if test.want < len(test.searches) {
			said = append(said, "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "+strings.Join(got.Searches, " "))
		}
		if diff := cmp.Diff(said, left); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	if _, left := podfields.LimitDNS(&corev1.PodDNSConfig{Nameservers: numbered(3, 1), Searches: numbered(32, 3)}); left != nil {
		t.Errorf("within the limits: %q", left)
	}
}

// TestWithCellSearches: the cell's domains come behind the cluster's, before the
// pod's own, and nowhere else.
func TestWithCellSearches(t *testing.T) {
	clusters := podfields.ClusterSearches("team", "corp.example")
	for _, test := range []struct{ searches, cells, want []string }{
		{clusters, []string{"ec2.internal"}, append(clusters[:3:3], "ec2.internal")},
		{append(clusters[:3:3], "mine", "ec2.internal"), []string{"near", "ec2.internal", "corp.example"}, append(clusters[:3:3], "near", "ec2.internal", "mine")},
		{clusters, nil, clusters},
		{[]string{"mine"}, []string{"near"}, []string{"mine"}},
		{[]string{"svc.corp.example", "corp.example", "mine"}, []string{"near"}, []string{"svc.corp.example", "corp.example", "mine"}},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team"}, Spec: corev1.PodSpec{DNSConfig: &corev1.PodDNSConfig{
			Nameservers: []string{"10.96.0.10"}, Searches: test.searches, Options: []corev1.PodDNSConfigOption{{Name: "edns0"}}}}}
		want := pod.Spec.DNSConfig.DeepCopy()
		want.Searches = test.want
		if diff := cmp.Diff(want, podfields.WithCellSearches(pod, test.cells)); diff != "" {
			t.Errorf("%q behind %q: %s", test.cells, test.searches, diff)
		}
	}
}

func TestNodename(t *testing.T) {
	yes := true
	for _, test := range []struct {
		name, subdomain, override string
		asFQDN                    *bool
		want, problem             string
	}{
		{"web", "", "", nil, "web", ""},
		{"web", "db", "", nil, "web", ""},
		{"web", "", "", &yes, "web", ""},
		{"web", "db", "", &yes, "web.db.team.svc.corp.example", ""},
		{"web", "db", "other.example", nil, "other.example", ""},
		{strings.Repeat("w", 39), "db", "", &yes, strings.Repeat("w", 39) + ".db.team.svc.corp.example", ""},
		{strings.Repeat("w", 40), "db", "", &yes, "", "failed to construct FQDN from pod hostname and cluster domain, FQDN " + strings.Repeat("w", 40) +
			".db.team.svc.corp.example is too long (64 characters is the max, 65 characters requested)"},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: test.name, Namespace: "team"}, Spec: corev1.PodSpec{
			Subdomain: test.subdomain, SetHostnameAsFQDN: test.asFQDN,
			DNSConfig: &corev1.PodDNSConfig{Searches: []string{"team.svc.corp.example", "svc.corp.example"}},
		}}
		if test.override != "" {
			pod.Spec.HostnameOverride = &test.override
		}
		got, err := podfields.Nodename(pod)
		if got != test.want || (err == nil) != (test.problem == "") || err != nil && err.Error() != test.problem {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
}
