package podspec

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/itzo"
)

// dockerHub is the host under which Docker Hub's credentials are sent, and the
// names it is known by in image names and in Docker's configuration. Agents
// look under each of them.
const dockerHub = "index.docker.io"

func dockerHubNames() []string { return []string{dockerHub, "registry-1.docker.io", "docker.io"} }

// Credentials are what the cell pulls the pod's images with, by registry host
// (a bare host or host:port). They come from spec.imagePullSecrets; as with a
// kubelet, Secrets that do not exist or are of another type count for nothing,
// and of several entries the one that matches most of the image's name counts,
// of equal ones that of the first Secret. Registries that the pod has no image
// from are left out: a cell knows no more than its pod needs.
//
// An agent keeps one user per registry; a pod whose images need more is an
// error.
func Credentials(pod *corev1.Pod, objects Objects) (map[string]itzo.RegistryCredentials, error) {
	var entries []entry
	for i, reference := range pod.Spec.ImagePullSecrets {
		at := field.NewPath("spec", "imagePullSecrets").Index(i)
		if reference.Name == "" {
			continue
		}
		secret, err := objects.Secret(reference.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		found, err := entriesOf(secret)
		if err != nil {
			return nil, fmt.Errorf("%s: Secret %q: %w", at, reference.Name, err)
		}
		entries = append(entries, found...)
	}
	return choose(pod, entries)
}

// choose picks the entry for each of the pod's images.
func choose(pod *corev1.Pod, entries []entry) (map[string]itzo.RegistryCredentials, error) {
	// Longer patterns first, so that gcr.io/team counts before gcr.io.
	slices.SortStableFunc(entries, func(a, b entry) int {
		return strings.Compare(b.host+b.path, a.host+a.path)
	})
	chosen := map[string]itzo.RegistryCredentials{}
	for _, image := range images(pod) {
		host, repository := splitImage(image)
		i := slices.IndexFunc(entries, func(e entry) bool { return e.matches(host, repository) })
		if i < 0 {
			continue
		}
		use := itzo.RegistryCredentials{Server: host, Username: entries[i].username, Password: entries[i].password}
		if other, ok := chosen[host]; ok && other != use {
			return nil, fmt.Errorf("spec.imagePullSecrets: the pod's images from %s need different users (%q and %q), and a cell keeps one per registry",
				host, other.Username, use.Username)
		}
		chosen[host] = use
	}
	return chosen, nil
}

// images are the names of the pod's images, each once, in order.
func images(pod *corev1.Pod) []string {
	names := map[string]bool{}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			names[containers[i].Image] = true
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		names[pod.Spec.EphemeralContainers[i].Image] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// splitImage takes an image's name apart. What is before the first slash is a
// registry's host if it looks like one; else the image is Docker Hub's.
func splitImage(image string) (host, repository string) {
	host, repository, found := strings.Cut(image, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, repository = dockerHub, image
		if !strings.Contains(image, "/") {
			repository = "library/" + image
		}
	}
	return canonicalHost(host), "/" + repository
}

func canonicalHost(host string) string {
	host = strings.ToLower(host)
	if slices.Contains(dockerHubNames(), host) {
		return dockerHub
	}
	return host
}

// matches says whether the entry is for the image: its host is the image's,
// where * stands for any part between dots, and its path begins the image's.
func (e *entry) matches(host, repository string) bool {
	if !strings.HasPrefix(repository, e.path) {
		return false
	}
	patterns, parts := strings.Split(e.host, "."), strings.Split(host, ".")
	if len(patterns) != len(parts) {
		return false
	}
	for i := range parts {
		if matched, err := path.Match(patterns[i], parts[i]); err != nil || !matched {
			return false
		}
	}
	return true
}
