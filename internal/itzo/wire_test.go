package itzo_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kip.elotl.co/internal/itzo"
)

func ptr[T any](value T) *T { return &value }

// everything has each key of the protocol's request at least once.
func everything() itzo.PodParameters {
	return itzo.PodParameters{
		Secrets:     map[string]map[string][]byte{"db": {"password": []byte("hunter2")}},
		Credentials: map[string]itzo.RegistryCredentials{"quay.io": {Server: "quay.io", Username: "u", Password: "p"}},
		Spec: itzo.PodSpec{
			Phase: itzo.PhaseRunning, RestartPolicy: itzo.RestartOnFailure, Hostname: "web",
			Units: []itzo.Unit{{
				Name: "main", Image: "busybox", Command: []string{"sh"}, Args: []string{"-c", "id"},
				Env: []itzo.EnvVar{{Name: "A", Value: "b"}, {Name: "C", ValueFrom: &itzo.EnvVarSource{
					SecretKeyRef: &itzo.SecretKeySelector{Name: "db", Key: "password"}}}},
				VolumeMounts: []itzo.VolumeMount{{Name: "tmp", MountPath: "/tmp", SubPath: "x"}},
				Ports:        []itzo.ContainerPort{{Name: "http", HostPort: 1, ContainerPort: 80, Protocol: "TCP", HostIP: "10.0.0.1"}},
				WorkingDir:   "/", TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File",
				SecurityContext: &itzo.SecurityContext{RunAsUser: ptr(int64(0)), RunAsGroup: ptr(int64(1)),
					Capabilities: &itzo.Capabilities{Add: []string{"NET_ADMIN"}, Drop: []string{"ALL"}}},
				LivenessProbe:  &itzo.Probe{Exec: &itzo.ExecAction{Command: []string{"true"}}, PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3},
				ReadinessProbe: &itzo.Probe{HTTPGet: &itzo.HTTPGetAction{Path: "/", Port: intstr.FromString("http"), Scheme: "HTTP", Host: "h", HTTPHeaders: []itzo.HTTPHeader{{Name: "n", Value: "v"}}}},
				StartupProbe:   &itzo.Probe{TCPSocket: &itzo.TCPSocketAction{Port: intstr.FromInt32(80), Host: "h"}, InitialDelaySeconds: 5},
			}},
			InitUnits: []itzo.Unit{{Name: "init", Image: "busybox"}},
			SecurityContext: &itzo.PodSecurityContext{
				NamespaceOptions: &itzo.NamespaceOption{Network: itzo.NamespaceNode},
				RunAsUser:        ptr(int64(1)), RunAsGroup: ptr(int64(2)), SupplementalGroups: []int64{3},
				Sysctls: []itzo.Sysctl{{Name: "net.core.somaxconn", Value: "1024"}}},
			Volumes: []itzo.Volume{
				{Name: "tmp", EmptyDir: &itzo.EmptyDir{Medium: "Memory", SizeLimit: 64}},
				{Name: "resolvconf", PackagePath: &itzo.PackagePath{Path: "/etc/resolv.conf"}},
				{Name: "cm", ConfigMap: &itzo.ConfigMapVolume{Name: "x", DefaultMode: ptr(int32(420)), Optional: ptr(true),
					Items: []itzo.KeyToPath{{Key: "k", Path: "p", Mode: ptr(int32(256))}}}},
				{Name: "s", Secret: &itzo.SecretVolume{SecretName: "y"}},
				{Name: "p", Projected: &itzo.ProjectedVolume{Sources: []itzo.VolumeProjection{
					{Secret: &itzo.Projection{Name: "a"}}, {ConfigMap: &itzo.Projection{Name: "b"}}}}},
				{Name: "h", HostPath: &itzo.HostPath{Path: "/dev", Type: "Directory"}},
			},
		},
		Annotations: map[string]string{"pod.elotl.co/image-overlay-rootfs": "true"},
		PodName:     "default_web", NodeName: "node", PodIP: "10.0.0.2", PodHostname: "web",
	}
}

// golden compares with a file of testdata, indented the same way.
func golden(t *testing.T, name string, value any) {
	t.Helper()
	got, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := "testdata/" + name
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(bytes.TrimSpace(want)), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestPodParametersOnTheWire(t *testing.T) {
	golden(t, "podparameters.json", everything())
	golden(t, "podparameters-empty.json", itzo.PodParameters{})
	withPod := itzo.PodParameters{PodName: "default_web", PodIP: "10.0.0.2", Pod: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: "uid-1"}}}
	data, err := json.Marshal(withPod)
	if err != nil || !strings.Contains(string(data), `"Pod":{"metadata":{"name":"web"`) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestPodParametersRoundTrip(t *testing.T) {
	data, err := json.Marshal(everything())
	if err != nil {
		t.Fatal(err)
	}
	var got itzo.PodParameters
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(everything(), got); diff != "" {
		t.Error(diff)
	}
}

// The names that agents use for some keys differ only by their case from what
// one would expect.
func TestDropIsReadInBothSpellings(t *testing.T) {
	for _, key := range []string{"Drop", "drop"} {
		var got itzo.Capabilities
		if err := json.Unmarshal([]byte(`{"`+key+`":["ALL"]}`), &got); err != nil || len(got.Drop) != 1 {
			t.Errorf("%s: %+v, %v", key, got, err)
		}
	}
}

func TestStatusReplyOnTheWire(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 11, 20, 15, 17, 2, 987654321, time.UTC))
	golden(t, "podstatus.json", itzo.PodStatusReply{
		UnitStatus: []itzo.UnitStatus{
			{Name: "a", State: itzo.UnitState{Running: &itzo.UnitStateRunning{StartedAt: at}}, Ready: true, Started: ptr(true), Image: "i"},
			{Name: "b", State: itzo.UnitState{Running: &itzo.UnitStateRunning{}}, RestartCount: 2, LastState: itzo.UnitState{
				Terminated: &itzo.UnitStateTerminated{ExitCode: -1, FinishedAt: at, Reason: itzo.ReasonError}}},
			{Name: "c", State: itzo.UnitState{Waiting: &itzo.UnitStateWaiting{Reason: itzo.ReasonPodInitializing, StartFailure: true}}},
		},
		ResourceUsage: map[string]float64{"cpu": 12.5},
		PodIP:         "10.0.0.2",
	})
}

// Answers as agents of the field give them.
func TestStatusReplyFromAgents(t *testing.T) {
	var reply itzo.PodStatusReply
	text := `{"unitStatus":[{"name":"main","state":{"running":{"startedAt":null}},"lastState":{},"restartCount":0,"image":"busybox",
		"ready":true,"started":null}],"initUnitStatus":null,"podIP":"10.0.0.2","new":1}`
	if err := json.Unmarshal([]byte(text), &reply); err != nil {
		t.Fatal(err)
	}
	want := itzo.PodStatusReply{PodIP: "10.0.0.2", UnitStatus: []itzo.UnitStatus{{
		Name: "main", State: itzo.UnitState{Running: &itzo.UnitStateRunning{}}, Image: "busybox", Ready: true}}}
	if diff := cmp.Diff(want, reply); diff != "" {
		t.Error(diff)
	}
	zone := `{"terminated":{"exitCode":3,"finishedAt":"2026-11-20T16:17:02+01:00","startedAt":null}}`
	var state itzo.UnitState
	if err := json.Unmarshal([]byte(zone), &state); err != nil {
		t.Fatal(err)
	}
	if got := state.Terminated.FinishedAt.UTC().Format(time.RFC3339); got != "2026-11-20T15:17:02Z" || !state.Terminated.StartedAt.IsZero() {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{`""`, `"2026-11-20"`, `5`} {
		if json.Unmarshal([]byte(`{"running":{"startedAt":`+bad+`}}`), &state) == nil {
			t.Errorf("startedAt %s must not be accepted", bad)
		}
	}
}

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"main": true, "a-b": true, "0": true, strings.Repeat("a", 63): true,
		"": false, "..": false, "a/b": false, "A": false, "-a": false, "a.b": false, "a\n": false, strings.Repeat("a", 64): false,
	} {
		if (itzo.CheckName(name) == nil) != good {
			t.Errorf("CheckName(%q) should be %v", name, good)
		}
	}
	for name, good := range map[string]bool{
		"default_web": true, "default_web-0.x": true, itzo.FormatPodName("a", "b"): true,
		"": false, "web": false, "a_b_c": false, "a_..": false, "a_b..c": false, "../a_b": false, "a_b/..": false, "_b": false,
	} {
		if (itzo.CheckPodName(name) == nil) != good {
			t.Errorf("CheckPodName(%q) should be %v", name, good)
		}
	}
}

func FuzzPodStatusReply(f *testing.F) {
	f.Add([]byte(`{"unitStatus":[{"state":{"running":{"startedAt":null}}}]}`))
	f.Add([]byte(`{"resourceUsage":{"cpu":1e400}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var reply itzo.PodStatusReply
		if json.Unmarshal(data, &reply) != nil {
			return
		}
		if _, err := json.Marshal(reply); err != nil {
			t.Errorf("what was decoded cannot be encoded: %v", err)
		}
	})
}

func FuzzPodParameters(f *testing.F) {
	data, err := json.Marshal(everything())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"Pod":{"spec":{"containers":[{"resources":{"limits":{"cpu":"1"}}}]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var params itzo.PodParameters
		if json.Unmarshal(data, &params) != nil {
			return
		}
		if _, err := json.Marshal(params); err != nil {
			t.Errorf("what was decoded cannot be encoded: %v", err)
		}
	})
}
