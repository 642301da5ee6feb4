package agent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestExpandMounts(t *testing.T) {
	values := map[string]string{"POD": "web-0", "EMPTY": "", "UP": "../x"}
	for expression, want := range map[string]string{
		"$(POD)": "web-0", "logs/$(POD)/$$(POD)": "logs/web-0/$(POD)", "plain": "plain", "$(UP)": "../x", "$(": "$(", "a$": "a$", "$(POD": "$(POD",
	} {
		container := &corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "other", SubPath: "$(POD)"}, {Name: "v", SubPathExpr: expression}}}
		got, err := expandMounts(container, values)
		if err != nil || got.VolumeMounts[1].SubPath != want || got.VolumeMounts[1].SubPathExpr != "" || got.VolumeMounts[0].SubPath != "$(POD)" {
			t.Errorf("%q became %+v, %v", expression, got, err)
		}
		if container.VolumeMounts[1].SubPathExpr != expression {
			t.Errorf("%q: the pod itself was changed", expression)
		}
	}
	for expression, missing := range map[string]string{"$(NONE)": "NONE", "a/$(POD)/$(EMPTY)": "EMPTY", "$()": ""} {
		_, err := expandMounts(&corev1.Container{VolumeMounts: []corev1.VolumeMount{{SubPathExpr: expression}}}, values)
		want := `missing value for "` + missing + `"`
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", expression, err, want)
		}
	}
	container := &corev1.Container{VolumeMounts: []corev1.VolumeMount{{SubPath: "x"}}}
	if got, err := expandMounts(container, nil); err != nil || got != container {
		t.Errorf("without an expression: %+v, %v", got, err)
	}
}
