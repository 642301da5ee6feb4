package agent

import (
	"testing"

	"kip.elotl.co/internal/itzo"
)

// A password of Docker Hub goes to Docker Hub, and to no registry whose name
// only ends like it.
func TestHubPasswordStaysAtTheHub(t *testing.T) {
	all := map[string]itzo.RegistryCredentials{
		"index.docker.io":      {Username: "hub"},
		"registry.example.com": {Username: "own"},
		"localhost:5000":       {Username: "local"},
	}
	for image, want := range map[string]string{
		"busybox":                          "hub",
		"team/app:v1":                      "hub",
		"docker.io/library/busybox":        "hub",
		"index.docker.io/library/busybox":  "hub",
		"registry-1.docker.io/team/app":    "hub",
		"notdocker.io/team/app":            "",
		"evil-docker.io/team/app":          "",
		"docker.io.example.com/team/app":   "",
		"registry.example.com/team/app:v1": "own",
		"example.com/team/app":             "",
		"localhost:5000/app":               "local",
	} {
		got := ""
		if found := credentialsFor(image, all); found != nil {
			got = found.Username
		}
		if got != want {
			t.Errorf("credentials for %s: got %q, want %q", image, got, want)
		}
	}
}
