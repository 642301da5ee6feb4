package cri_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/host"
)

const (
	metadataURL = "http://169.254.169.254/"
	// askMetadata is a request without a resolver, which a static busybox lacks.
	askMetadata = `printf "GET / HTTP/1.0\r\n\r\n" | busybox nc -w 20 169.254.169.254 80 2>&1 | tail -n 1`
)

// serveMetadata puts a metadata service behind the cell's network card, in a
// network namespace that has a way back to the pod.
func serveMetadata(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	// What another test's pod was kept from.
	cell, err := host.New(filepath.Join(dir, "state"))
	must(t, err)
	must(t, cell.GuardMetadata(agent.MetadataForPods))
	must(t, os.WriteFile(filepath.Join(dir, "index.html"), []byte("metadata\n"), 0o644))
	ip := func(arguments string) { t.Helper(); run(t, "ip", strings.Fields(arguments)...) }
	ip("netns add metadata")
	ip("link add ens5 type veth peer name up0 netns metadata")
	ip("link set ens5 up")
	ip("route add 169.254.169.254/32 dev ens5 src " + cellIP)
	ip("-n metadata link set lo up")
	ip("-n metadata link set up0 up")
	ip("-n metadata address add 169.254.169.254/32 dev up0")
	ip("-n metadata route add " + cellIP + "/32 dev up0")
	ip("-n metadata route add " + podIP + "/32 via " + cellIP + " dev up0 onlink")
	server := exec.Command("ip", "netns", "exec", "metadata", "busybox", "httpd", "-f", "-p", "169.254.169.254:80", "-h", dir)
	must(t, server.Start())
	t.Cleanup(func() {
		must(t, server.Process.Kill())
		_ = server.Wait()
		ip("link del ens5")
		ip("netns del metadata")
	})
	client := http.Client{Timeout: patience}
	for deadline := time.Now().Add(patience); ; {
		response, err := client.Get(metadataURL)
		if err == nil {
			response.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cell itself reaches no metadata: %v", err)
		}
	}
}

// testMetadata: the cell reaches its metadata, and its pod only when it named a
// profile. Privileged, it can change its own network as it likes.
func testMetadata(t *testing.T, c *cell) {
	serveMetadata(t)
	ask := shell("ask", askMetadata)
	yes := true
	ask.SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	c.run(newPod(corev1.RestartPolicyNever, ask))
	c.waitPhase(corev1.PodSucceeded)
	if got := c.logs("ask"); !strings.Contains(got, "can't connect to remote host") {
		t.Errorf("a pod without a profile: %q", got)
	}
	response, err := http.Get(metadataURL)
	if err != nil {
		t.Fatalf("the cell itself: %v", err)
	}
	response.Body.Close()
}

func testMetadataOfProfile(t *testing.T, c *cell) {
	serveMetadata(t)
	pod := newPod(corev1.RestartPolicyNever, shell("ask", askMetadata))
	pod.Annotations = map[string]string{"pod.elotl.co/instance-profile": "reader"}
	c.run(pod)
	c.waitPhase(corev1.PodSucceeded)
	if got := c.logs("ask"); got != "metadata\n" {
		t.Errorf("a pod with a profile: %q", got)
	}
}

// testAddressTaken: the pod waits until the cell's system has given the pod's
// address up.
func testAddressTaken(t *testing.T, c *cell) {
	run(t, "ip", "address", "add", podIP+"/24", "dev", "lo")
	c.run(newPod(corev1.RestartPolicyNever, shell("main", "echo ran")))
	c.wait("the reason", func(status *corev1.PodStatus) bool {
		waiting := status.ContainerStatuses[0].State.Waiting
		return waiting != nil && waiting.Reason == "PodAddressTaken" && strings.Contains(waiting.Message, podIP+" on its own interface lo")
	})
	run(t, "ip", "address", "del", podIP+"/24", "dev", "lo")
	c.waitPhase(corev1.PodSucceeded)
}
