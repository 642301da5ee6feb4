package pod_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
)

// later moves the time on, and has the operator look at the cell's pod.
func (s *scene) later(cell *v1beta1.Cell, d time.Duration) {
	s.t.Helper()
	s.clock.shift(d)
	s.setReady(cell, metav1.ConditionTrue, v1beta1.ReasonAgentAnswers, "the agent answers "+rand.String(5))
}

// comesToHold lets time pass until a file has its content: how often that takes
// depends on whether a refresh is under way when the time is moved.
func (s *scene) comesToHold(cell *v1beta1.Cell, h *hollow, path, want string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%s comes to hold %q", path, want), func() error {
		s.later(cell, time.Minute)
		if got := h.host.content("content", path); got != want {
			return fmt.Errorf("it holds %q", got)
		}
		return nil
	})
}

func (s *scene) holds(h *hollow, path, want string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%s holds %q", path, want), func() error {
		if got := h.host.content("content", path); got != want {
			return fmt.Errorf("it holds %q", got)
		}
		return nil
	})
}

func (s *scene) change(object client.Object) {
	s.t.Helper()
	if err := cluster.admin.Update(s.t.Context(), object); err != nil {
		s.t.Fatal(err)
	}
}

func TestChangesReachVolumes(t *testing.T) {
	s := newScene(t)
	s.operator()
	settings := &corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"a.conf": "1"}}
	login := &corev1.Secret{ObjectMeta: s.meta("login"), StringData: map[string]string{"user": "ann"}}
	s.create(settings)
	s.create(login)
	p, cell, h := s.start("web", volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: object("settings")}},
		{Secret: &corev1.SecretProjection{LocalObjectReference: object("login")}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}},
	}}}))
	settings.Data["a.conf"] = "2"
	s.change(settings)
	login.Data = map[string][]byte{"user": []byte("bob")}
	s.change(login)
	s.comesToHold(cell, h, "a.conf", "2")
	s.holds(h, "user", "bob")
	// Those of the pod itself are seen at once.
	s.update(p, `{"metadata":{"labels":{"app":"web"}}}`)
	s.holds(h, "labels", `app="web"`)
	// What is gone stays as it was, and nothing is sent that has not changed.
	s.delete(settings)
	sent := h.host.deployed()
	s.later(cell, time.Minute)
	s.update(p, `{"metadata":{"labels":{"app":"shop"}}}`)
	s.settled()
	if got := h.host.deployed(); got != sent || h.host.content("content", "a.conf") != "2" {
		t.Errorf("%d packages more were sent, a.conf holds %q", got-sent, h.host.content("content", "a.conf"))
	}
	s.running(p)
}

func TestChangesReachTheNextStart(t *testing.T) {
	s := newScene(t)
	s.operator()
	login := &corev1.Secret{ObjectMeta: s.meta("login"), StringData: map[string]string{"user": "ann"}}
	s.create(login)
	_, cell, h := s.start("web", policy(corev1.RestartPolicyAlways), script(`[{"runSeconds":2,"exitCode":1}]`), func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "USER", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: object("login"), Key: "user"}}}}
	})
	if got := h.runtime.lastEnvironment()["USER"]; got != "ann" {
		t.Errorf("USER is %q", got)
	}
	login.Data = map[string][]byte{"user": []byte("bob")}
	s.change(login)
	s.eventually("a later start has the new value", func() error {
		s.later(cell, time.Minute)
		if got := h.runtime.lastEnvironment()["USER"]; got != "bob" {
			return fmt.Errorf("USER is %q", got)
		}
		return nil
	})
}

// A token is made anew when four fifths of its life are over, not before.
func TestTokenIsRenewed(t *testing.T) {
	s := newScene(t)
	s.operator()
	hour := int64(3600)
	settings := &corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"round": "1"}}
	s.create(settings)
	_, cell, h := s.start("web", volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &hour}},
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: object("settings")}},
	}}}))
	token := h.host.content("content", "token")
	settings.Data["round"] = "2"
	s.change(settings)
	s.later(cell, 47*time.Minute)
	s.holds(h, "round", "2")
	if h.host.content("content", "token") != token {
		t.Error("the token was made anew too soon")
	}
	s.eventually("the token is renewed", func() error {
		s.later(cell, time.Minute+time.Second)
		if got := h.host.content("content", "token"); got == "" || got == token {
			return errors.New("it is not")
		}
		return nil
	})
}

// The next operator knows nothing of what the last one gave, and goes on.
func TestChangesAfterARestartOfTheOperator(t *testing.T) {
	s := newScene(t)
	stop := s.operator()
	settings := &corev1.ConfigMap{ObjectMeta: s.meta("settings"), Data: map[string]string{"a.conf": "1"}}
	s.create(settings)
	_, cell, h := s.start("web", volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: object("settings")}}))
	stop()
	settings.Data["a.conf"] = "2"
	s.change(settings)
	s.operator()
	s.settled()
	s.comesToHold(cell, h, "a.conf", "2")
}
