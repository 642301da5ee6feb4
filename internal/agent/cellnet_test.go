package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/itzo"
)

// TestPodAddressOfTheCell: a pod waits as long as the operating system has taken
// its address, and says so.
func TestPodAddressOfTheCell(t *testing.T) {
	inCell(t, func(_ *testing.T, c *cell) {
		address := netip.MustParseAddr("10.0.0.2")
		c.host.SetDevice(address, "ens5")
		c.update(newPod(corev1.RestartPolicyAlways, "", "web"))
		waiting := c.container("web").State.Waiting
		if waiting == nil || waiting.Reason != "PodAddressTaken" ||
			!strings.Contains(waiting.Message, "10.0.0.2") || !strings.Contains(waiting.Message, "ens5") {
			t.Fatalf("waiting: %+v", waiting)
		}
		c.wantPhase(corev1.PodPending)
		c.host.SetDevice(address, "")
		time.Sleep(time.Minute) // of the bubble
		c.wantPhase(corev1.PodRunning)
	})
}

// TestMetadataIsForPodsThatNameAProfile, in the word that the operator knows. A
// pod in the cell's network is kept out with the cell.
func TestMetadataIsForPodsThatNameAProfile(t *testing.T) {
	for _, test := range []struct {
		profile     string
		hostNetwork bool
		want        agent.MetadataAccess
	}{
		{"", false, agent.MetadataForCell}, {"reader", false, agent.MetadataForPods},
		{"", true, agent.MetadataForNone}, {"reader", true, agent.MetadataForPods},
	} {
		inCell(t, func(t *testing.T, c *cell) {
			pod := newPod(corev1.RestartPolicyAlways, "", "web")
			pod.Annotations = map[string]string{v1beta1.AnnotationInstanceProfile: test.profile}
			pod.Spec.HostNetwork = test.hostNetwork
			c.update(pod)
			c.wantPhase(corev1.PodRunning)
			if got := c.host.Metadata(); got != test.want {
				t.Errorf("%+v: got %v", test, got)
			}
		})
	}
}

// TestCellsNetwork: the pod has the cell's address, on whatever interface that is.
func TestCellsNetwork(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.host.SetDevice(netip.MustParseAddr("10.0.0.2"), "ens5")
		pod := newPod(corev1.RestartPolicyAlways, "", "web")
		pod.Spec.HostNetwork = true
		c.update(pod)
		c.wantPhase(corev1.PodRunning)
		status := c.status()
		if status.PodIP != "10.0.0.1" || len(status.PodIPs) != 1 || status.PodIPs[0].IP != "10.0.0.1" || status.HostIP != "10.0.0.1" {
			t.Errorf("addresses %s %v, host %s", status.PodIP, status.PodIPs, status.HostIP)
		}
	})
}

// awayRuntime is one that does not answer.
type awayRuntime struct{ *fake.Runtime }

func (awayRuntime) Info(context.Context) (itzo.RuntimeInfo, error) {
	return itzo.RuntimeInfo{}, errors.New("it is being installed")
}

// TestInfoSaysWhyThereIsNoRuntime, and so does who is turned away.
func TestInfoSaysWhyThereIsNoRuntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := agent.New(agent.Config{Runtime: awayRuntime{fake.NewRuntime()}, Host: fake.NewHost(agent.Resources{})})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { a.Run(ctx); close(done) }()
		synctest.Wait()
		if got := a.Info().Runtime; got.Problem != "it is being installed" || got.Version != "" {
			t.Errorf("got %+v", got)
		}
		body, err := json.Marshal(parameters(newPod(corev1.RestartPolicyAlways, "", "web")))
		if err != nil {
			t.Fatal(err)
		}
		recorder := httptest.NewRecorder()
		a.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/rest/v1/updatepod", strings.NewReader(string(body))))
		if recorder.Code != http.StatusServiceUnavailable || !strings.Contains(recorder.Body.String(), "not up yet: it is being installed") {
			t.Errorf("%d %s", recorder.Code, recorder.Body)
		}
		cancel()
		<-done
	})
}
