package cloudinit

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kip.elotl.co/api/v1beta1"
)

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRead(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "kip-system", Name: "cells"}
	objects := fake.NewClientBuilder().WithObjects(
		&corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"a": "text"},
			BinaryData: map[string][]byte{"gz": packed(t, "packed"), "bomb": packed(t, strings.Repeat("x", maxInflated+1)), "cut": packed(t, "packed")[:12], "raw": {0xff}}},
		&corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"a": []byte("hidden")}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "elsewhere"}, Data: map[string]string{"a": "text"}},
	).Build()
	config := func(name, key string) v1beta1.CellClassSpec {
		return v1beta1.CellClassSpec{CloudInitFrom: &v1beta1.CloudInitSource{ConfigMapKeyRef: &v1beta1.KeyReference{Name: name, Key: key}}}
	}
	secret := func(name, key string) v1beta1.CellClassSpec {
		return v1beta1.CellClassSpec{CloudInitFrom: &v1beta1.CloudInitSource{SecretKeyRef: &v1beta1.KeyReference{Name: name, Key: key}}}
	}
	for name, c := range map[string]struct {
		spec       v1beta1.CellClassSpec
		want, fail string
	}{
		"none":            {v1beta1.CellClassSpec{}, "", ""},
		"inline":          {v1beta1.CellClassSpec{CloudInit: "x"}, "x", ""},
		"config map":      {config("cells", "a"), "text", ""},
		"compressed":      {config("cells", "gz"), "packed", ""},
		"secret":          {secret("cells", "a"), "hidden", ""},
		"no object":       {config("other", "a"), "", "spec.cloudInitFrom.configMapKeyRef: ConfigMap kip-system/other does not exist"},
		"other namespace": {config("elsewhere", "a"), "", "ConfigMap kip-system/elsewhere does not exist"},
		"no secret":       {secret("other", "a"), "", "spec.cloudInitFrom.secretKeyRef: Secret kip-system/other does not exist"},
		"no key":          {config("cells", "b"), "", `spec.cloudInitFrom.configMapKeyRef: ConfigMap kip-system/cells has no key "b"`},
		"bomb":            {config("cells", "bomb"), "", "holds over 1048576 bytes"},
		"cut short":       {config("cells", "cut"), "", "decompressing it"},
		"not text":        {config("cells", "raw"), "", "neither UTF-8 text nor gzip"},
	} {
		got, err := Read(t.Context(), objects, "kip-system", &v1beta1.CellClass{Spec: c.spec})
		var problem *SourceError
		switch {
		case c.fail == "" && (err != nil || got != c.want):
			t.Errorf("%s: %q, %v", name, got, err)
		case c.fail != "" && (!errors.As(err, &problem) || !strings.Contains(err.Error(), c.fail)):
			t.Errorf("%s: %v, want a SourceError with %q", name, err, c.fail)
		case err != nil && strings.Contains(err.Error(), "hidden"):
			t.Errorf("%s: the error quotes the secret: %v", name, err)
		}
	}
}

func TestUses(t *testing.T) {
	class := &v1beta1.CellClass{Spec: v1beta1.CellClassSpec{CloudInitFrom: &v1beta1.CloudInitSource{SecretKeyRef: &v1beta1.KeyReference{Name: "cells", Key: "a"}}}}
	meta := metav1.ObjectMeta{Name: "cells"}
	for object, want := range map[client.Object]bool{
		&corev1.Secret{ObjectMeta: meta}: true, &corev1.ConfigMap{ObjectMeta: meta}: false,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "other"}}: false,
	} {
		if Uses(class, object) != want || Uses(&v1beta1.CellClass{}, object) {
			t.Errorf("%T %s: want %v", object, object.GetName(), want)
		}
	}
}
