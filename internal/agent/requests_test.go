package agent_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/itzo"
)

func (c *cell) raw(method, path, body string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	c.handler.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(body)))
	return recorder
}

func TestRoutes(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.expect(c.raw("GET", "/rest/v1/ping", ""), 200, "pong")
		c.expect(c.raw("GET", "/rest/v1/version", ""), 200, "1.0")
		c.expect(c.raw("GET", "/rest/v1/status", ""), 200, `{"unitStatus":null,"initUnitStatus":null,"podIP":""}`)
		for _, path := range []string{"/", "/rest/v1/exec/", "/rest/v1/kip/nothing", "/rest/v1/runcmd/", "/rest/v1/deploy/a"} {
			c.expect(c.raw("GET", path, ""), 404, "404 page not found")
		}
		// Wrong methods are unknown paths, never 405.
		c.expect(c.raw("POST", "/rest/v1/ping", ""), 404, "404 page not found")
		c.expect(c.raw("GET", "/rest/v1/updatepod", ""), 404, "404 page not found")
	})
}

func TestInfo(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		info := func() itzo.Info {
			var info itzo.Info
			if err := json.Unmarshal(c.raw("GET", "/rest/v1/kip/info", "").Body.Bytes(), &info); err != nil {
				t.Fatal(err)
			}
			return info
		}
		got := info()
		if got.Agent != "kip" || got.Version != "test" || got.Protocol != 1 || !got.Has(itzo.FeatureWait) || got.PodUID != "" ||
			got.MemoryBytes != 1<<30 || got.CPUs != 2 || got.BootID != "boot" || got.Runtime.Version == "" {
			t.Errorf("got %+v", got)
		}
		c.update(newPod(corev1.RestartPolicyAlways, "", "main"))
		if info().PodUID != "uid-1" {
			t.Errorf("got %+v", info())
		}
	})
}

func TestUpdateIsRefused(t *testing.T) {
	pod := func(change func(*corev1.Pod)) itzo.PodParameters {
		made := newPod(corev1.RestartPolicyAlways, "", "main")
		change(made)
		return parameters(made)
	}
	noPod, noIP := pod(func(*corev1.Pod) {}), pod(func(*corev1.Pod) {})
	noPod.Pod, noIP.PodIP = nil, ""
	tests := map[string]struct {
		params any
		want   string
	}{
		"not JSON":            {json.RawMessage(`"x"`), "400 Bad Request: Error decoding pod update request: "},
		"units only":          {noPod, "Pod: Required value"},
		"no address":          {noIP, "PodIP: Invalid value"},
		"unknown field":       {json.RawMessage(`{"PodIP":"10.0.0.2","Pod":{"spec":{"teleport":true}}}`), `unknown field "teleport"`},
		"unsupported field":   {pod(func(p *corev1.Pod) { p.Spec.HostUsers = new(bool) }), "spec.hostUsers: Forbidden"},
		"no containers":       {pod(func(p *corev1.Pod) { p.Spec.Containers = nil }), "spec.containers: Required value"},
		"bad UID":             {pod(func(p *corev1.Pod) { p.UID = "../x" }), "metadata.uid: Invalid value"},
		"bad name":            {pod(func(p *corev1.Pod) { p.Name = "../x" }), "metadata.name: Invalid value"},
		"bad namespace":       {pod(func(p *corev1.Pod) { p.Namespace = "a/b" }), "metadata.namespace: Invalid value"},
		"bad container name":  {pod(func(p *corev1.Pod) { p.Spec.Containers[0].Name = ".." }), "spec.containers[0].name: Invalid value"},
		"same container name": {pod(func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0]) }), "spec.containers[1].name: Duplicate value"},
		"unknown volume": {pod(func(p *corev1.Pod) {
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "x", MountPath: "/x"}}
		}), "spec.containers[0].volumeMounts[0].name: Not found"},
		"path out of the volume": {pod(func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "x"}}
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "x", MountPath: "/x", SubPath: "../y"}}
		}), "spec.containers[0].volumeMounts[0].subPath: Invalid value"},
		"volume without package": {pod(func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "cm", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}}}
		}), "spec.volumes[0]: Invalid value: \"cm\": its package was not deployed"},
		"bad volume name": {pod(func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "../x"}} }), "spec.volumes[0].name: Invalid value"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inCell(t, func(t *testing.T, c *cell) {
				c.expect(c.do("POST", "/rest/v1/updatepod", test.params), 400, test.want)
				if reply := c.reply(""); reply.PodUID != "" {
					t.Errorf("the cell has a pod: %+v", reply)
				}
			})
		})
	}
}

func TestUpdateAgain(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		pod := newPod(corev1.RestartPolicyAlways, "", "main")
		c.update(pod)
		c.wantPhase(corev1.PodRunning)
		before := c.reply("")
		c.update(pod)
		synctest.Wait()
		if after := c.reply(""); after.Revision != before.Revision {
			t.Errorf("the same pod again changed something: %+v", after)
		}

		newer := pod.DeepCopy()
		newer.Generation, newer.Labels = 2, map[string]string{"a": "b"}
		newer.Spec.Tolerations = []corev1.Toleration{{Key: "x"}}
		newer.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "new"}}
		c.update(newer)
		if got := c.status(); got.ObservedGeneration != 2 || got.ContainerStatuses[0].RestartCount != 0 {
			t.Errorf("got %+v", got)
		}

		changed := pod.DeepCopy()
		changed.Spec.Containers[0].Command = []string{"other"}
		c.expect(c.do("POST", "/rest/v1/updatepod", parameters(changed)), 400, "spec.containers[0].command: Forbidden: cannot change")
		moved := parameters(pod)
		moved.PodIP = "10.0.0.3"
		c.expect(c.do("POST", "/rest/v1/updatepod", moved), 400, "PodIP: Forbidden")
		other := pod.DeepCopy()
		other.UID, other.Name = "uid-2", "other"
		c.expect(c.do("POST", "/rest/v1/updatepod", parameters(other)), 409, "409 Conflict: this cell runs pod default/web (uid-1)")
		c.expect(c.upload("default_other", "config", "x"), 409, "this cell runs pod")
	})
}

func (c *cell) upload(pod, pkg, content string) *httptest.ResponseRecorder {
	c.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("package", "p")
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.WriteString(part, content); err != nil {
		c.t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		c.t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/rest/v1/deploy/"+pod+"/"+pkg, &body)
	request.Header.Set("Content-Type", form.FormDataContentType())
	recorder := httptest.NewRecorder()
	c.handler.ServeHTTP(recorder, request)
	return recorder
}

func TestDeployRequests(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.expect(c.upload("default_web", "config", "x"), 200, "")
		if !c.host.HasPackage("config") {
			t.Error("the package did not arrive")
		}
		for _, path := range []string{"default_web/a.b", "web/config", "default_web/A", "default_web/%2e%2e"} {
			c.expect(c.raw("POST", "/rest/v1/deploy/"+path, ""), 400, "invalid deploy path")
		}
		c.expect(c.raw("POST", "/rest/v1/deploy/default_web/config", "x"), 400, "reading package")
		request := httptest.NewRequest(http.MethodPost, "/rest/v1/deploy/default_web/other", strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n--b--\r\n"))
		request.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		recorder := httptest.NewRecorder()
		c.handler.ServeHTTP(recorder, request)
		c.expect(recorder, 400, "http: no such file")
	})
}

func TestLogs(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.update(newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"log":"one\ntwo\nthree"}]}`, "main"))
		c.wantPhase(corev1.PodRunning)
		for query, want := range map[string]string{
			"": "one\ntwo\nthree", "?lines=2": "two\nthree", "?lines=9": "one\ntwo\nthree", "?lines=x": "one\ntwo\nthree",
			"?lines=-1": "", "?bytes=4": "hree", "?lines=2&bytes=7": "o\nthree", "?bytes=-1": "one\ntwo\nthree",
		} {
			got := c.raw("GET", "/rest/v1/logs/main"+query, "")
			if got.Code != 200 || got.Body.String() != want {
				t.Errorf("%s: %d %q, want %q", query, got.Code, got.Body, want)
			}
		}
		got := c.raw("GET", "/rest/v1/logs/main?metadata=1&lines=2", "").Body.String()
		if want := "2000-01-01T00:00:00Z stdout F two\n2000-01-01T00:00:00Z stdout P three\n"; got != want {
			t.Errorf("with metadata: %q", got)
		}
		for _, unit := range []string{"", "other", "..%2f..%2fetc"} {
			c.expect(c.raw("GET", "/rest/v1/logs/"+unit, ""), 400, "Could not find logs for unit named")
		}
		c.expect(c.raw("GET", "/rest/v1/logs/main?follow=0", ""), 400, "follow")
	})
}

func TestLogsBeforeTheStart(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.expect(c.raw("GET", "/rest/v1/logs/main", ""), 400, "Could not find logs")
		c.update(newPod(corev1.RestartPolicyAlways, "not a script", "main"))
		got := c.container("main").State.Waiting
		if got == nil || got.Reason != "ContainerCreating" || !strings.Contains(got.Message, fake.ScriptAnnotation) {
			t.Errorf("got %+v", got)
		}
		c.expect(c.raw("GET", "/rest/v1/logs/main", ""), 400, "Could not find logs for unit named main")
	})
}

func TestFileRequests(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.expect(c.raw("GET", "/rest/v1/file/", ""), 400, "400 Bad Request: Missing path parameter")
		c.expect(c.raw("GET", "/rest/v1/file/?path=x", ""), 400, "not absolute")
		c.expect(c.raw("GET", "/rest/v1/file/?path=/etc/passwd", ""), 400, "Error reading file open /etc/passwd")
	})
}

func TestRuntimeIsNotUp(t *testing.T) {
	a, err := agent.New(agent.Config{Runtime: fake.NewRuntime(), Host: fake.NewHost(agent.Resources{})})
	if err != nil {
		t.Fatal(err)
	}
	c := &cell{t: t, handler: a.Handler()}
	c.expect(c.do("POST", "/rest/v1/updatepod", parameters(newPod("", "", "main"))), http.StatusServiceUnavailable,
		"503 Service Unavailable: the container runtime is not up yet")
}

func TestBodiesAreBounded(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		c.expect(c.raw("POST", "/rest/v1/updatepod", strings.Repeat(" ", 17<<20)), 413, "413 Request Entity Too Large")
		c.expect(c.raw("POST", "/rest/v1/kip/stop", `{"x":"`+strings.Repeat("x", 1<<20)), 400, "stop request")
	})
}

func FuzzUpdatePod(f *testing.F) {
	for _, params := range []any{parameters(newPod(corev1.RestartPolicyNever, "", "main")), itzo.PodParameters{}} {
		data, err := json.Marshal(params)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"Pod":null,"Pod":{"spec":{"containers":[{"name":"a"}]}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		inCell(t, func(t *testing.T, c *cell) {
			got := c.raw("POST", "/rest/v1/updatepod", string(body))
			if got.Code != 200 && got.Code != 400 {
				t.Errorf("%d %s", got.Code, got.Body)
			}
			synctest.Wait()
			if (c.reply("").PodUID != "") != (got.Code == 200) {
				t.Errorf("answered %d, and has the pod %q", got.Code, c.reply("").PodUID)
			}
		})
	})
}

func FuzzLogQuery(f *testing.F) {
	f.Add("lines=1&bytes=2&metadata=1")
	f.Add("lines=9223372036854775807&bytes=-9223372036854775808")
	f.Fuzz(func(t *testing.T, query string) {
		inCell(t, func(t *testing.T, c *cell) {
			c.update(newPod(corev1.RestartPolicyAlways, `{"main":[{"forever":true,"log":"one\ntwo\n\nthree"}]}`, "main"))
			synctest.Wait()
			request := httptest.NewRequest(http.MethodGet, "/rest/v1/logs/main", nil)
			request.URL.RawQuery = query
			recorder := httptest.NewRecorder()
			c.handler.ServeHTTP(recorder, request)
			if recorder.Code != 200 && recorder.Code != 400 || recorder.Body.Len() > 300 {
				t.Errorf("%d %q", recorder.Code, recorder.Body)
			}
		})
	})
}
