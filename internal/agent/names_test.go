package agent

import (
	"io"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// cellWithFiles is a cell of which only the files count.
type cellWithFiles struct {
	Host
	files map[string]string
}

type closable struct{ io.ReadSeeker }

func (closable) Close() error { return nil }

func (c cellWithFiles) OpenFile(path string) (io.ReadSeekCloser, error) {
	content, found := c.files[path]
	if !found {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return closable{strings.NewReader(content)}, nil
}

// TestWhoseDNS: which policies mean the cell's own DNS, to which dnsConfig is added.
func TestWhoseDNS(t *testing.T) {
	a := &Agent{config: Config{Host: cellWithFiles{files: map[string]string{
		"/etc/resolv.conf": "nameserver 10.9.9.53\nsearch near\noptions ndots:2 edns0\n"}}}}
	five := "5"
	config := &corev1.PodDNSConfig{Nameservers: []string{"10.96.0.10"}, Searches: []string{"far"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &five}}}
	added := &DNS{Servers: []string{"10.9.9.53", "10.96.0.10"}, Searches: []string{"near", "far"}, Options: []string{"edns0", "ndots:5"}}
	exactly := &DNS{Servers: []string{"10.96.0.10"}, Searches: []string{"far"}, Options: []string{"ndots:5"}}
	for _, test := range []struct {
		policy      corev1.DNSPolicy
		hostNetwork bool
		config      *corev1.PodDNSConfig
		want        *DNS
	}{
		{corev1.DNSClusterFirst, false, nil, nil},
		{corev1.DNSClusterFirst, true, nil, nil},
		{corev1.DNSDefault, false, config, added},
		{corev1.DNSDefault, true, config, added},
		{corev1.DNSClusterFirst, false, config, exactly},
		{corev1.DNSClusterFirst, true, config, added},
		{corev1.DNSClusterFirstWithHostNet, true, config, exactly},
		{corev1.DNSNone, true, config, exactly},
	} {
		got, err := a.dnsFor(&corev1.Pod{Spec: corev1.PodSpec{DNSPolicy: test.policy, HostNetwork: test.hostNetwork, DNSConfig: test.config}})
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s, hostNetwork %t: %v, %s", test.policy, test.hostNetwork, err, diff)
		}
	}
}

// TestHostsInTheCellsNetwork: the cell's own file, if it has one, with the pod's aliases.
func TestHostsInTheCellsNetwork(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{HostNetwork: true, HostAliases: []corev1.HostAlias{{IP: "10.9.9.8", Hostnames: []string{"db", "sql"}}}}}
	const header, aliases = "# Kubernetes-managed hosts file (host network).\n", "\n# Entries added by HostAliases.\n10.9.9.8\tdb\tsql\n"
	for own, files := range map[string]map[string]string{"10.9.9.9\tnear\n": {"/etc/hosts": "10.9.9.9\tnear\n"}, "": {}} {
		a := &Agent{config: Config{Host: cellWithFiles{files: files}}}
		got, err := a.hostsFile(job{pod: pod, ip: netip.MustParseAddr("10.0.0.1")})
		if want := header + own + aliases; err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}
