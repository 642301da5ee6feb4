package agent

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/itzo"
)

// Registries gives the cell's own access to image registries, for images that
// the pod brings no credentials for.
type Registries interface {
	// Credentials answers nil for a registry that it knows nothing of. The error
	// says what the cell lacks.
	Credentials(ctx context.Context, host string) (*itzo.RegistryCredentials, error)
}

// imageCredentials are those for an image: the pod's, else the cell's own. Without
// either, an image may still be had by anybody; lacking is then what to say
// where it may not.
func (a *Agent) imageCredentials(ctx context.Context, image string, pods map[string]itzo.RegistryCredentials) (found *itzo.RegistryCredentials, lacking error) {
	if found := credentialsFor(image, pods); found != nil || a.config.Registries == nil {
		return found, nil
	}
	return a.config.Registries.Credentials(ctx, registryOf(image))
}

// pullImage says of a failure also which credentials there were none of.
func (a *Agent) pullImage(ctx context.Context, j job, name string) (Image, error) {
	credentials, lacking := a.imageCredentials(ctx, name, j.credentials)
	image, err := a.config.Runtime.PullImage(ctx, name, credentials)
	if err != nil && lacking != nil {
		return Image{}, fmt.Errorf("%w; without credentials, since %w", err, lacking)
	}
	return image, err
}

// readyRegistries has the cell's own credentials ready for the images of a pod in
// the cell's network: while it runs nobody asks the instance's metadata, by which
// they come. What is lacking shows when the image is pulled.
func (a *Agent) readyRegistries(ctx context.Context, j job) {
	if metadataAccess(j.pod) != MetadataForNone {
		return
	}
	asked := map[string]bool{}
	for _, container := range allContainers(j.pod) {
		host := registryOf(container.Image)
		if asked[host] || pullPolicy(container) == corev1.PullNever {
			continue
		}
		asked[host] = true
		_, _ = a.imageCredentials(ctx, container.Image, j.credentials)
	}
}
