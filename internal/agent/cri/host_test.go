package cri_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// inode is the number by which two namespaces, or files, are the same one.
func inode(t *testing.T, path string) string {
	t.Helper()
	target, err := os.Readlink(path)
	must(t, err)
	return target
}

// namespaces is what a container prints of its own.
const printNamespaces = `for n in net ipc pid uts; do busybox readlink /proc/self/ns/$n; done`

// testHostNamespaces: network, processes and IPC are the cell's.
func testHostNamespaces(t *testing.T, c *cell) {
	hostname, err := os.Hostname()
	must(t, err)
	hosts, err := os.ReadFile("/etc/hosts")
	must(t, err)
	main := shell("main", printNamespaces+`; hostname; echo $IP; cat /etc/hosts; exec httpd -f -p 18080 -h /`)
	main.Env = []corev1.EnvVar{{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}}}
	main.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 18080, HostPort: 18080}}
	main.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}, PeriodSeconds: 1}
	main.ReadinessProbe.TCPSocket.Port.StrVal, main.ReadinessProbe.TCPSocket.Port.Type = "http", 1
	pod := newPod(corev1.RestartPolicyAlways, main)
	pod.Spec.HostNetwork, pod.Spec.HostPID, pod.Spec.HostIPC, pod.Spec.Hostname = true, true, true, "web-0"
	pod.Spec.DNSPolicy = corev1.DNSClusterFirst
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "10.77.0.9", Hostnames: []string{"db"}}}
	c.run(pod)
	status := c.wait("ready", func(status *corev1.PodStatus) bool {
		return len(status.ContainerStatuses) == 1 && status.ContainerStatuses[0].Ready
	})
	if status.PodIP != cellIP || len(status.PodIPs) != 1 || status.PodIPs[0].IP != cellIP {
		t.Errorf("addresses: %s, %v", status.PodIP, status.PodIPs)
	}
	var want strings.Builder
	for _, kind := range []string{"net", "ipc", "pid", "uts"} {
		fmt.Fprintln(&want, inode(t, "/proc/self/ns/"+kind))
	}
	fmt.Fprintf(&want, "%s\n%s\n# Kubernetes-managed hosts file (host network).\n%s\n# Entries added by HostAliases.\n10.77.0.9\tdb\n", hostname, cellIP, hosts)
	if got := c.logs("main"); got != want.String() {
		t.Errorf("log: %q, want %q", got, want.String())
	}
	response, err := http.Get("http://" + cellIP + ":18080/etc/hosts")
	must(t, err)
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the pod's server at the cell's address: %s", response.Status)
	}
}

// testHostNetworkMetadata: who shares the cell's network is kept from the metadata, and the cell with it.
func testHostNetworkMetadata(t *testing.T, c *cell) {
	serveMetadata(t)
	pod := newPod(corev1.RestartPolicyNever, shell("ask", askMetadata))
	pod.Spec.HostNetwork = true
	c.run(pod)
	c.waitPhase(corev1.PodSucceeded)
	if got := c.logs("ask"); strings.Contains(got, "metadata\n") || !strings.Contains(got, "can't connect to remote host") {
		t.Errorf("a pod without a profile: %q", got)
	}
}

// testSharedProcesses: each container sees the others' processes, and orphans are taken in by the sandbox's.
func testSharedProcesses(t *testing.T, c *cell) {
	main := shell("main", `exec httpd -f -p 8080`)
	beside := shell("beside", `until busybox pidof httpd >/dev/null; do sleep 0.05; done; [ $$$$ -ne 1 ] && echo seen; busybox killall httpd`)
	pod := newPod(corev1.RestartPolicyNever, main, beside)
	yes := true
	pod.Spec.ShareProcessNamespace = &yes
	c.run(pod)
	status := c.waitPhase(corev1.PodFailed)
	if got := c.logs("beside"); got != "seen\n" {
		t.Errorf("beside: %q", got)
	}
	if end := ended(t, status, "main"); end.ExitCode != 143 {
		t.Errorf("main: %+v", end)
	}
}

// testSysctls: those of the pod's own namespaces, safe or not.
func testSysctls(t *testing.T, c *cell) {
	before, err := os.ReadFile("/proc/sys/kernel/msgmax")
	must(t, err)
	pod := newPod(corev1.RestartPolicyNever, shell("main",
		`cd /proc/sys; cat kernel/shm_rmid_forced net/ipv4/ip_local_port_range kernel/msgmax net/core/somaxconn`))
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{
		{Name: "kernel.shm_rmid_forced", Value: "1"}, {Name: "net/ipv4/ip_local_port_range", Value: "20000 20100"},
		{Name: "kernel.msgmax", Value: "65536"}, {Name: "net.core.somaxconn", Value: "77"},
	}}
	c.run(pod)
	c.waitPhase(corev1.PodSucceeded)
	if got := c.logs("main"); got != "1\n20000\t20100\n65536\n77\n" {
		t.Errorf("got %q", got)
	}
	after, err := os.ReadFile("/proc/sys/kernel/msgmax")
	must(t, err)
	if string(before) != string(after) {
		t.Errorf("the cell's own msgmax was %s and is %s", before, after)
	}
}

// testUsers: groups, capabilities and what a process may gain.
func testUsers(t *testing.T, c *cell) {
	const print = `id -u; id -g; id -G; busybox grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | busybox tr -d '\t'`
	yes, no, group, user := true, false, int64(3000), int64(1000)
	grouped := shell("grouped", print)
	grouped.SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{
		Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_BIND_SERVICE"}}, AllowPrivilegeEscalation: &no}
	privileged := shell("privileged", print)
	privileged.SecurityContext = &corev1.SecurityContext{Privileged: &yes, RunAsGroup: new(int64), SeccompProfile: &corev1.SeccompProfile{
		Type: corev1.SeccompProfileTypeRuntimeDefault}}
	confined := shell("confined", print)
	confined.SecurityContext = &corev1.SecurityContext{RunAsUser: &user, SeccompProfile: &corev1.SeccompProfile{
		Type: corev1.SeccompProfileTypeRuntimeDefault}}
	pod := newPod(corev1.RestartPolicyNever, grouped, privileged, confined)
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsGroup: &group, SupplementalGroups: []int64{4000}, FSGroup: new(int64(5000))}
	c.run(pod)
	c.waitPhase(corev1.PodSucceeded)
	for name, want := range map[string]string{
		"grouped":  "0\n3000\n3000 4000 5000\nCapEff:0000000000000400\nNoNewPrivs:1\nSeccomp:0\n",
		"confined": "1000\n3000\n3000 4000 5000\nCapEff:0000000000000000\nNoNewPrivs:0\nSeccomp:2\n",
	} {
		if got := c.logs(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := c.logs("privileged"); !strings.HasPrefix(got, "0\n0\n") || strings.Contains(got, "CapEff:00000000a80425fb") || !strings.HasSuffix(got, "Seccomp:0\n") {
		t.Errorf("privileged: %q", got)
	}
}

// testProfiles: seccomp profiles of the cell's own, and /proc as it is.
func testProfiles(t *testing.T, c *cell) {
	must(t, os.MkdirAll(filepath.Join(c.config.SeccompDir, "own"), 0o755))
	must(t, os.WriteFile(filepath.Join(c.config.SeccompDir, "own/no-mkdir.json"), []byte(`{"defaultAction": "SCMP_ACT_ALLOW",
		"syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}`), 0o644))
	local := func(path string) *corev1.SecurityContext {
		return &corev1.SecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost, LocalhostProfile: &path}}
	}
	confined := shell("confined", `mkdir /tmp/x 2>/dev/null || echo refused; touch /tmp/y && echo ran`)
	confined.SecurityContext = local("own/no-mkdir.json")
	missing := shell("missing", "true")
	missing.SecurityContext = local("own/missing.json")
	unmasked, masked := corev1.UnmaskedProcMount, shell("masked", `cat /proc/self/mounts | busybox grep -c ' /proc/'`)
	open := shell("open", `cat /proc/self/mounts | busybox grep -c ' /proc/' || true`)
	open.SecurityContext = &corev1.SecurityContext{ProcMount: &unmasked, SELinuxOptions: &corev1.SELinuxOptions{Level: "s0:c1,c2"}}
	c.run(newPod(corev1.RestartPolicyOnFailure, confined, missing, masked, open))
	c.wait("the missing profile, and the ends", func(status *corev1.PodStatus) bool {
		waiting, done := false, 0
		for _, container := range status.ContainerStatuses {
			if w := container.State.Waiting; container.Name == "missing" && w != nil {
				waiting = w.Reason == "CreateContainerError" && strings.Contains(w.Message, "own/missing.json")
			}
			if container.State.Terminated != nil {
				done++
			}
		}
		return waiting && done == 3
	})
	if got := c.logs("confined"); got != "refused\nran\n" {
		t.Errorf("confined: %q", got)
	}
	if got := c.logs("masked"); got == "0\n" || got == "" {
		t.Errorf("paths of /proc that are masked: %q", got)
	}
	if got := c.logs("open"); got != "0\n" {
		t.Errorf("paths of /proc that are masked although they shall not: %q", got)
	}
}

// testRefusedSecurity: what this cell has not is refused by field.
func testRefusedSecurity(t *testing.T, c *cell) {
	pod := newPod(corev1.RestartPolicyNever, shell("main", "true"))
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{
		AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault},
		Sysctls:         []corev1.Sysctl{{Name: "vm.max_map_count", Value: "262144"}},
	}
	pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}
	err := c.client.UpdatePod(t.Context(), &itzo.PodParameters{PodName: "default_web", PodIP: podIP, Pod: pod})
	want := []string{`forbidden sysctl: "vm.max_map_count" not allowlisted`, "spec.containers[0].ports[0].hostPort: Forbidden"}
	if _, missing := os.Stat("/sys/kernel/security/apparmor"); missing != nil {
		want = append(want, "Cannot enforce AppArmor: AppArmor is not enabled on the host")
	}
	for _, text := range want {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q in it", err, text)
		}
	}
}

// testNonRoot: in the kubelet's words.
func testNonRoot(t *testing.T, c *cell) {
	yes := true
	main := shell("main", "true")
	main.SecurityContext = &corev1.SecurityContext{RunAsNonRoot: &yes}
	pod := newPod(corev1.RestartPolicyNever, main)
	c.run(pod)
	c.wait("the reason", func(status *corev1.PodStatus) bool {
		waiting := status.ContainerStatuses[0].State.Waiting
		return waiting != nil && waiting.Reason == "CreateContainerConfigError" && waiting.Message ==
			fmt.Sprintf("container has runAsNonRoot and image will run as root (pod: %q, container: main)", "web_default("+string(pod.UID)+")")
	})
}

// told says whether there was an event for a reason.
func (c *cell) told(reason string) bool {
	c.t.Helper()
	first := int64(0)
	reply, err := c.client.Poll(c.t.Context(), itzo.StatusQuery{Events: &first})
	must(c.t, err)
	return slices.ContainsFunc(reply.Events, func(e itzo.Event) bool { return e.Reason == reason })
}

// testFailedMount: a hostPath of the wrong kind keeps the pod's sandbox from being
// made, in the kubelet's words, until it is of the right one.
func testFailedMount(t *testing.T, c *cell) {
	directory := corev1.HostPathDirectory
	path := filepath.Join(t.TempDir(), "data")
	must(t, os.WriteFile(path, nil, 0o600))
	pod := withVolume(newPod(corev1.RestartPolicyNever, shell("main", "true")), "data",
		corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &directory}}, "/data")
	c.run(pod)
	status := c.wait("the pod waits and says why", func(*corev1.PodStatus) bool { return c.told("FailedMount") })
	if waiting := statusOf(status, "main").State.Waiting; waiting == nil || waiting.Reason != "ContainerCreating" || waiting.Message != "" {
		t.Errorf("got %+v", waiting)
	}
	c.wantEvents(` Warning FailedMount MountVolume.SetUp failed for volume "data" : hostPath type check failed: ` + path + " is not a directory")
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o755))
	c.waitPhase(corev1.PodSucceeded)
}
