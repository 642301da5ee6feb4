package main

import (
	"flag"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kip.elotl.co/api/v1beta1"
)

func TestGarbageFlags(t *testing.T) {
	for args, wrong := range map[string]string{
		"":                                     "",
		"--garbage=report":                     "",
		"--garbage=off --garbage-min-age=20s":  "",
		"--garbage=keep":                       "must be one of delete, report, off",
		"--garbage-min-age=0s":                 "must be 1s or more",
		"--garbage-min-age=quarter-of-an-hour": "must be a duration, such as 15m",
	} {
		var o options
		flags := flag.NewFlagSet("kip", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		o.bind(flags)
		err := flags.Parse(strings.Fields(args))
		if wrong == "" && err != nil || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("%q: error %v, want %q", args, err, wrong)
		}
	}
}

// TestClusterTags: an ID that was given to the cluster is not trusted alone.
func TestClusterTags(t *testing.T) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "u-1"}}
	live := fake.NewClientBuilder().WithObjects(namespace).Build()
	for id, want := range map[string]clusterIdentity{"": {id: "u-1"}, "u-1": {id: "u-1"}, "prod": {id: "prod", uid: "u-1"}} {
		got, err := readIdentity(t.Context(), live, options{clusterID: id})
		if err != nil || got != want {
			t.Errorf("--cluster-id=%s: %+v, %v", id, got, err)
		}
		if tags := got.tags(); tags[v1beta1.TagCluster] != want.id || tags[v1beta1.TagClusterUID] != want.uid {
			t.Errorf("--cluster-id=%s: tags %v", id, tags)
		}
	}
}
