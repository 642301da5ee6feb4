package cri_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

const showNames = `hostname; echo "$HOSTNAME"; cat /etc/hostname; cat /etc/resolv.conf; busybox grep -v -e ^fe00 -e ^::1 -e ^127 /etc/hosts`

// cellSearches has the cell itself look for names in a domain.
func cellSearches(t *testing.T, domain string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	must(t, os.WriteFile(path, []byte("nameserver 10.9.9.53\nsearch "+domain+".\n"), 0o600))
	must(t, unix.Mount(path, "/etc/resolv.conf", "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount("/etc/resolv.conf", unix.MNT_DETACH)) })
}

// testNames: what the pod's containers see of its names and of its DNS, with as
// many search domains as count.
func testNames(t *testing.T, c *cell) {
	cellSearches(t, "cells.example")
	yes, five := true, "5"
	pod := newPod(corev1.RestartPolicyNever, shell("main", showNames))
	pod.Spec.Hostname, pod.Spec.Subdomain, pod.Spec.SetHostnameAsFQDN = "web-0", "web", &yes
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "10.9.9.9", Hostnames: []string{"db", "sql"}}, {IP: "fd00::9", Hostnames: []string{"db6"}}}
	pod.Spec.DNSPolicy = corev1.DNSClusterFirst
	pod.Spec.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"10.96.0.10"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &five}, {Name: "rotate"}},
		Searches: []string{"default.svc.corp.example", "svc.corp.example", "corp.example"}}
	for i := range 29 {
		pod.Spec.DNSConfig.Searches = append(pod.Spec.DNSConfig.Searches, fmt.Sprintf("%060d.example", i))
	}
	c.run(pod)
	c.waitPhase(corev1.PodSucceeded)
	searches := slices.Insert(pod.Spec.DNSConfig.Searches[:31:31], 3, "cells.example")
	const full = "web-0.web.default.svc.corp.example"
	want := full + "\n" + full + "\n" + full + "\n" +
		"search " + strings.Join(searches, " ") + "\nnameserver 10.96.0.10\noptions ndots:5 rotate\n" +
		"# Kubernetes-managed hosts file.\n" + podIP + "\t" + full + "\tweb-0\n\n# Entries added by HostAliases.\n10.9.9.9\tdb\tsql\nfd00::9\tdb6\n"
	if got := c.logs("main"); got != want {
		t.Errorf("log: %q\nwant %q", got, want)
	}
	event := "Warning DNSConfigForming Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
	c.wantEvents((event + strings.Join(searches, " "))[:len("Warning DNSConfigForming ")+itzo.MaxEventMessage])
}

// testLongName: a full name that Linux cannot hold keeps the pod from starting, as
// with a kubelet, and the event says so.
func testLongName(t *testing.T, c *cell) {
	yes := true
	pod := newPod(corev1.RestartPolicyNever, shell("main", showNames))
	pod.Name = strings.Repeat("w", 40)
	pod.Spec.Subdomain, pod.Spec.SetHostnameAsFQDN = "web", &yes
	c.run(pod)
	const want = "failed to construct FQDN from pod hostname and cluster domain, FQDN wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww.web.default.svc.cluster.local " +
		"is too long (64 characters is the max, 70 characters requested)"
	c.wait("the pod waits and says why", func(status *corev1.PodStatus) bool {
		waiting := statusOf(status, "main").State.Waiting
		return status.Phase == corev1.PodPending && waiting != nil && strings.Contains(waiting.Message, want)
	})
	c.wantEvents("Warning FailedCreatePodSandBox Failed to create pod sandbox: " + want)
}
