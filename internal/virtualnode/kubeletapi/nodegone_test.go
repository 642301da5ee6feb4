package kubeletapi

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"

	"kip.elotl.co/internal/itzo/itzotest"
	"kip.elotl.co/internal/virtualnode"
)

// TestNodeGone: what a node's clients have open ends with it, so that nothing of
// it is left at a port that another node may get.
func TestNodeGone(t *testing.T) {
	agent := agentOf(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, sample)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	s := newStatsServer(stubPods{pod: webPod(running, never), agent: agent}, everything)
	s.options.Kept = stubKept{}
	s.certificate = &servingCertificate{}
	certificate := itzotest.NewAuthority(t).Server("node").TLS(t)
	s.certificate.current.Store(&certificate)
	ports := virtualnode.NewPorts("127.0.0.1", 20000, 10000)
	t.Cleanup(ports.Close)
	port, err := ports.Keep(t.Context(), "kip-a", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ports.Serve(func(node string, listener net.Listener) {
		go func() { ended <- s.serveNode(t.Context(), node, listener) }()
	})
	client := &http.Client{Transport: asUser{&http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}}
	answer, err := client.Get("https://127.0.0.1:" + strconv.Itoa(int(port)) + "/containerLogs/default/web/main?follow=true")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	log := bufio.NewReader(answer.Body)
	if line, err := log.ReadString('\n'); err != nil {
		t.Fatalf("the log begins with %q: %v", line, err)
	}
	ports.Drop("kip-a")
	if _, err := io.Copy(io.Discard, log); err == nil {
		t.Error("the log ended as if it were whole")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
