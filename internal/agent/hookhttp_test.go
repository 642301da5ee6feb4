package agent_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// hookStatus has a container's hook ask its HTTP server, which answers with a
// status code; 0: nothing listens.
func hookStatus(c *cell, code int, scheme corev1.URIScheme) *corev1.LifecycleHandler {
	c.host.SetPort("10.0.0.2:8080", code)
	return &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/hook", Port: intstr.FromInt32(8080), Scheme: scheme}}
}

// Only a hook whose request gets no answer has failed.
func TestHTTPHooks(t *testing.T) {
	const failedStart, failedStop = " Warning FailedPostStartHook PostStartHook failed", " Warning FailedPreStopHook PreStopHook failed"
	const fallback = "Warning LifecycleHTTPFallback request to HTTPS lifecycle hook 10.0.0.2:8080 got HTTP response, retry with HTTP succeeded"
	const main = "spec.containers{main}"
	tests := map[string]struct {
		code     int
		scheme   corev1.URIScheme
		fails    bool
		fallback bool
	}{
		"found":               {code: 200},
		"elsewhere":           {code: 302},
		"not found":           {code: 404},
		"broken":              {code: 500},
		"nothing there":       {fails: true},
		"HTTP for HTTPS":      {code: 404, scheme: corev1.URISchemeHTTPS, fallback: true},
		"nothing there, TLS":  {scheme: corev1.URISchemeHTTPS, fails: true},
		"HTTP as it is named": {code: 204, scheme: corev1.URISchemeHTTP},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				pod := newPod(corev1.RestartPolicyNever, `{"main":[{"forever":true}]}`, "main")
				hook := hookStatus(c, test.code, test.scheme)
				pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: hook}
				c.update(pod)
				start := append(pulled(main), created(main)...)
				switch {
				case test.fails:
					c.newEvents(0, append(start, main+failedStart, main+" Normal Killing FailedPostStartHook")...)
				case test.fallback:
					c.newEvents(0, append(start, fallback)...)
					c.wantRunning("main")
				default:
					c.newEvents(0, start...)
					c.wantRunning("main")
				}
			})
			inCell(t, func(t *testing.T, c *cell) {
				pod := newPod(corev1.RestartPolicyNever, `{"main":[{"forever":true}]}`, "main")
				pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: hookStatus(c, test.code, test.scheme)}
				c.update(pod)
				last := c.newEvents(0, append(pulled(main), created(main)...)...)
				c.sendStop("uid-1", 30)
				want := []string{main + " Normal Killing Stopping container main"}
				switch {
				case test.fails:
					want = append(want, main+failedStop)
				case test.fallback:
					want = append(want, fallback)
				}
				c.newEvents(last, want...)
			})
		})
	}
}
