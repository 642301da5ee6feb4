package pod_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"kip.elotl.co/api/v1beta1"
)

// countRequests counts what nodes' clients ask whose path ends so.
func (s *scene) countRequests(suffix string) *atomic.Int64 {
	var n atomic.Int64
	s.nodes = rest.CopyConfig(s.nodes)
	s.nodes.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, suffix) {
				n.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	return &n
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Pods of a node that refer to the same objects have them read together.
func TestRefreshesShareWhatTheyRead(t *testing.T) {
	s := newScene(t)
	requests := s.countRequests("/settings")
	s.operator()
	settings := &corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"a.conf": "1"}}
	s.create(settings)
	const pods = 12
	var cells []*v1beta1.Cell
	var hollows []*hollow
	for i := range pods {
		_, cell, h := s.start(fmt.Sprintf("web-%d", i), volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: object("settings")}}))
		cells, hollows = append(cells, cell), append(hollows, h)
	}
	settings.Data["a.conf"] = "2"
	s.change(settings)
	before := requests.Load()
	s.clock.shift(time.Minute)
	for _, cell := range cells {
		s.later(cell, 0)
	}
	for _, h := range hollows {
		s.holds(h, "a.conf", "2")
	}
	made := requests.Load() - before
	t.Logf("%d requests for the refreshes of %d pods", made, pods)
	if made < 1 || made > pods/2 {
		t.Errorf("%d requests for the refreshes of %d pods", made, pods)
	}
}
