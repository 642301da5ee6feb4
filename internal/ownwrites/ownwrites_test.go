package ownwrites

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestStale(t *testing.T) {
	object := func(uid, version string) metav1.Object {
		return &metav1.ObjectMeta{UID: types.UID(uid), ResourceVersion: version}
	}
	v := New()
	if v.Stale(object("x", "5")) {
		t.Error("an object never written is stale")
	}
	v.Note(object("x", "10"))
	for version, want := range map[string]bool{"9": true, "10": false, "11": false, "100": false, "not a number": false} {
		if got := v.Stale(object("x", version)); got != want {
			t.Errorf("version %s after writing 10: stale %v, want %v", version, got, want)
		}
	}
	if v.Stale(object("other", "1")) {
		t.Error("another object is stale")
	}
	v.NoteRemoved(object("x", "11"))
	if !v.Stale(object("x", "12")) {
		t.Error("a removed object is not stale")
	}
	v.Forget("x")
	if v.Stale(object("x", "9")) {
		t.Error("a forgotten object is stale")
	}
}
