package podfields_test

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/podfields"
)

// The cases of Kubernetes' own expansion.
func TestExpand(t *testing.T) {
	values := map[string]string{"VAR_A": "A", "VAR_B": "B", "VAR_REF": "$(VAR_A)", "VAR_EMPTY": ""}
	for text, want := range map[string]string{
		"$(VAR_A)": "A", "___$(VAR_B)___": "___B___", "$(VAR_A)$(VAR_B)": "AB", "$$(VAR_A)": "$(VAR_A)",
		"$$(VAR_A)_$(VAR_B)": "$(VAR_A)_B", "foo$(NOT_DEFINED)bar": "foo$(NOT_DEFINED)bar", "$(VAR_REF)": "$(VAR_A)",
		"f000-$VAR_A": "f000-$VAR_A", "$(VAR_A": "$(VAR_A", "$(VAR_A$(VAR_B)": "$(VAR_A$(VAR_B)", "$": "$", "$$": "$", "$$$": "$$",
		"": "", "$()": "$()", "$(VAR_EMPTY)x": "x", "a$": "a$", "$é$(VAR_A)": "$éA", "$$$(VAR_A)": "$A",
	} {
		if got := podfields.Expand(text, values); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("$(A) $$ $( $(B")
	f.Fuzz(func(t *testing.T, text string) {
		if got := podfields.Expand(strings.ReplaceAll(text, "$", "$$"), map[string]string{"A": "x"}); got != text {
			t.Errorf("escaped %q became %q", text, got)
		}
	})
}

func TestHostname(t *testing.T) {
	for name, want := range map[string]string{"web": "web", strings.Repeat("a", 62) + ".b": strings.Repeat("a", 62), strings.Repeat("a", 70): strings.Repeat("a", 63)} {
		if got := podfields.Hostname(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestHostsFile(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "default"}, Spec: corev1.PodSpec{
		Subdomain: "web", HostAliases: []corev1.HostAlias{{IP: "10.0.0.9", Hostnames: []string{"db", "db.local"}}},
		DNSConfig: &corev1.PodDNSConfig{Searches: []string{"default.svc.corp", "svc.corp", "corp"}},
	}}
	got := podfields.HostsFile(pod, netip.MustParseAddr("10.0.0.2"))
	for _, want := range []string{"127.0.0.1\tlocalhost\n", "10.0.0.2\tweb-0.web.default.svc.corp\tweb-0\n", "10.0.0.9\tdb\tdb.local\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}
