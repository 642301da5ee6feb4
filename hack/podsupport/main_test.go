package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The page in the repository is what the code says now.
func TestCommittedPage(t *testing.T) {
	want, err := page(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/pod-support.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/pod-support.md is not current, run make generate (-now +committed):\n%s", diff)
	}
}

// The page says what it takes, one value of a field at a time.
func TestVerdicts(t *testing.T) {
	dir, err := packageDir(t.Context(), "k8s.io/api/core/v1")
	if err != nil {
		t.Fatal(err)
	}
	constants, err := readConstants(dir)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]verdict{}
	for _, leaf := range examine(constants).leaves() {
		said[leaf.path()] = leaf.ours
	}
	for path, want := range map[string]verdict{
		"affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[].weight": honoured,
		"containers[].ports[].hostPort":                                "with `hostNetwork`",
		"containers[].restartPolicyRules[].action":                     "`Restart`; not `RestartAllContainers`",
		"containers[].securityContext.seccompProfile.localhostProfile": honoured,
		"hostUsers": "`true`; not `false`",
		"securityContext.supplementalGroupsPolicy":               "`Merge`; `Strict` with containerd 2.0",
		"volumes[].nfs.server":                                   refused,
		"volumes[].projected.sources[].clusterTrustBundle.path":  refused,
		"volumes[].projected.sources[].serviceAccountToken.path": honoured,
	} {
		if said[path] != want {
			t.Errorf("%s: %q, want %q", path, said[path], want)
		}
	}
}
