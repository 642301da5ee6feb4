package agent

import (
	"io"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/podfields"
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
	clusters := podfields.ClusterSearches("team", "cluster.local")
	cluster := &corev1.PodDNSConfig{Nameservers: []string{"10.96.0.10"}, Searches: append(clusters[:3:3], "far")}
	behind := &DNS{Servers: []string{"10.96.0.10"}, Searches: append(clusters[:3:3], "near", "far")}
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
		{corev1.DNSClusterFirst, false, cluster, behind},
		{corev1.DNSClusterFirstWithHostNet, true, cluster, behind},
		{corev1.DNSNone, false, cluster, &DNS{Servers: cluster.Nameservers, Searches: cluster.Searches}},
	} {
		got, _, err := a.dnsFor(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team"}, Spec: corev1.PodSpec{DNSPolicy: test.policy, HostNetwork: test.hostNetwork, DNSConfig: test.config}})
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s, hostNetwork %t: %v, %s", test.policy, test.hostNetwork, err, diff)
		}
	}
}

// TestServersOfTheCellItself: a stub resolver on the cell is out of a pod's reach,
// but not of one in the cell's network.
func TestServersOfTheCellItself(t *testing.T) {
	const stub, asked = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch ec2.internal\n", "nameserver 10.0.0.2\nsearch ec2.internal\n"
	two := "2"
	resolved := map[string]string{resolvConf: stub, resolvedConf: asked}
	for _, test := range []struct {
		files       map[string]string
		hostNetwork bool
		config      *corev1.PodDNSConfig
		want        *DNS
	}{
		{resolved, false, nil, &DNS{Servers: []string{"10.0.0.2"}, Searches: []string{"ec2.internal"}}},
		{resolved, false, &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &two}}},
			&DNS{Servers: []string{"10.0.0.2"}, Searches: []string{"ec2.internal"}, Options: []string{"ndots:2"}}},
		{resolved, true, nil, nil},
		{map[string]string{resolvConf: stub}, false, nil, nil},
		{map[string]string{resolvConf: asked, resolvedConf: stub}, false, nil, nil},
		{map[string]string{resolvConf: "nameserver 10.0.0.2\nsearch .\n"}, false, &corev1.PodDNSConfig{Searches: []string{"a"}},
			&DNS{Servers: []string{"10.0.0.2"}, Searches: []string{"a"}}},
		{map[string]string{resolvConf: "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\nsearch a.\n"}, false, nil,
			&DNS{Servers: []string{"1.1.1.1", "1.1.1.2", "1.1.1.3"}, Searches: []string{"a"}}},
		{nil, false, nil, nil},
		{nil, false, &corev1.PodDNSConfig{Searches: []string{"a"}}, &DNS{Searches: []string{"a"}}},
	} {
		a := &Agent{config: Config{Host: cellWithFiles{files: test.files}}}
		got, _, err := a.dnsFor(&corev1.Pod{Spec: corev1.PodSpec{DNSPolicy: corev1.DNSDefault, HostNetwork: test.hostNetwork, DNSConfig: test.config}})
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%v, hostNetwork %t: %v, %s", test.files, test.hostNetwork, err, diff)
		}
	}
}

// FuzzResolvConf: whatever the cell's file says, something comes of it.
func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 1.1.1.1\nsearch a b\noptions ndots:5 edns0 :\ndomain\n")
	f.Fuzz(func(t *testing.T, text string) {
		config, err := parseResolvConf(strings.NewReader(text))
		if err != nil {
			return
		}
		limited, _ := podfields.LimitDNS(podfields.MergeDNS(config, config))
		if len(limited.Nameservers) > 3 || len(limited.Searches) > 32 {
			t.Errorf("%+v", limited)
		}
	})
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
