package pod

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/podspec"
)

// servicesEvery is how often the services that a pod is to know are read again:
// rarely, since they are listed for each pod, and count from a container's next
// start on only.
const servicesEvery = 10 * time.Minute

// servicesRead are the variables of services, and when those were read.
type servicesRead struct {
	at        time.Time
	variables map[string]string
}

// services are the variables of the services that the pod is to know: that of
// the API server always, the others of its namespace unless enableServiceLinks
// is false.
func (o *nodeObjects) services(given *given) (map[string]string, error) {
	now := o.clock.Now()
	if read := given.services; !read.at.IsZero() && now.Before(read.at.Add(servicesEvery)) {
		return read.variables, nil
	}
	found, err := o.listServices()
	if err != nil {
		return nil, fmt.Errorf("reading services for the environment: %w", err)
	}
	given.services = servicesRead{at: now, variables: podspec.ServiceVariables(found)}
	return given.services.variables, nil
}

// listServices gives the services of the pod's namespace and then that of the
// API server, unless the namespace has one of that name.
func (o *nodeObjects) listServices() ([]corev1.Service, error) {
	var found []corev1.Service
	if links := o.pod.Spec.EnableServiceLinks; links == nil || *links {
		list, err := o.client.CoreV1().Services(o.pod.Namespace).List(o.ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		found = list.Items
	}
	const kubernetes = "kubernetes"
	server, err := o.client.CoreV1().Services(metav1.NamespaceDefault).Get(o.ctx, kubernetes, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range found {
		if found[i].Name == kubernetes && podspec.HasClusterIP(&found[i]) {
			return found, nil
		}
	}
	return append(found, *server), nil
}
