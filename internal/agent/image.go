package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// dockerHub is the registry of images that name none.
const dockerHub = "docker.io"

// hubNames are the names under which Docker Hub's credentials may be filed, in
// the order in which they are looked up.
func hubNames() []string { return []string{"index.docker.io", "registry-1.docker.io", dockerHub} }

// registryOf gives the host of an image's registry as it stands in the name:
// what is before the first slash, if it looks like a host.
func registryOf(image string) string {
	host, _, found := strings.Cut(image, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return dockerHub
	}
	return host
}

// credentialsFor looks up the credentials for an image; nil when there are none.
func credentialsFor(image string, all map[string]itzo.RegistryCredentials) *itzo.RegistryCredentials {
	names := []string{registryOf(image)}
	if slices.Contains(hubNames(), names[0]) {
		names = append(names, hubNames()...)
	}
	for _, name := range names {
		if credentials, ok := all[name]; ok {
			return &credentials
		}
	}
	return nil
}

// pullPolicy fills in the default, which the API server has done already for
// pods that come from it.
func pullPolicy(container *corev1.Container) corev1.PullPolicy {
	if container.ImagePullPolicy != "" {
		return container.ImagePullPolicy
	}
	name := container.Image[strings.LastIndexByte(container.Image, '/')+1:]
	if strings.Contains(name, "@") {
		return corev1.PullIfNotPresent
	}
	if _, tag, tagged := strings.Cut(name, ":"); !tagged || tag == "latest" {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

// checkImageName refuses what is no image's name, in the kubelet's words.
func checkImageName(name string) error {
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		return fmt.Errorf("Failed to apply default image tag %[1]q: couldn't parse image name %[1]q: %[2]w", name, err) //nolint:staticcheck // as users know it
	}
	return nil
}

// checkNonRoot refuses to run a container as root that must not, in the kubelet's
// words.
func checkNonRoot(pod *corev1.Pod, container *corev1.Container, image Image) error {
	user, nonRoot := (*int64)(nil), false
	if context := pod.Spec.SecurityContext; context != nil {
		user, nonRoot = context.RunAsUser, context.RunAsNonRoot != nil && *context.RunAsNonRoot
	}
	if context := container.SecurityContext; context != nil {
		if context.RunAsUser != nil {
			user = context.RunAsUser
		}
		if context.RunAsNonRoot != nil {
			nonRoot = *context.RunAsNonRoot
		}
	}
	if !nonRoot || user != nil && *user != 0 {
		return nil
	}
	where := fmt.Sprintf("(pod: %q, container: %s)", fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID), container.Name)
	switch {
	case user != nil:
		return fmt.Errorf("container's runAsUser breaks non-root policy %s", where)
	case image.UID == nil && image.Username != "":
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root %s", image.Username, where)
	case image.UID == nil, *image.UID == 0:
		return fmt.Errorf("container has runAsNonRoot and image will run as root %s", where)
	}
	return nil
}
