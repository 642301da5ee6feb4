package pod

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/kubernetes"

	"kip.elotl.co/internal/admission"
	"kip.elotl.co/internal/crashpoint"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

// delivery is what one try at giving a pod, or what has changed of it, to its
// agent takes.
type delivery struct {
	pod   *corev1.Pod // a copy
	cell  string      // the name of its Cell
	dns   *podspec.ClusterDNS
	podIP string
	node  kubernetes.Interface
	agent *itzo.Client
	// generation is that of an agent of the first Kip.
	generation itzo.Generation
	given      *given
	// since is how new what the pod refers to has to be.
	since time.Time
}

// deliveryOf begins a delivery of all as it is now.
func (c *Controller) deliveryOf(ctx context.Context, s *scope, agent *itzo.Client, seen observation) (delivery, error) {
	class, err := c.classOf(ctx, s.class)
	return delivery{
		pod: s.pod.DeepCopy(), cell: s.cell.Name, podIP: s.cell.Status.PodIP, node: s.node, dns: admission.ClusterDNS(class),
		agent: agent, generation: seen.generation, given: seen.given, since: c.Clock.Now(),
	}, err
}

// given is what a pod's agent has been given, as far as this operator knows.
// One delivery at a time uses it, but for when, which is what is asked
// meanwhile.
type given struct {
	packages   map[string]digest // by volume
	parameters digest
	accepted   *accepted // nil: not from this operator
	refused    int64     // the last generation that the agent has refused
	told       int64     // the last generation of which that was told
	tokens     tokens
	services   servicesRead

	mu   sync.Mutex
	when looked
}

// looked is how things stood when the agent was last given what there was.
type looked struct {
	// at is zero before the first time; next is when to look again.
	at, next            time.Time
	generation          int64
	labels, annotations map[string]string
	// refused is the last generation that the agent has refused; 0: none.
	refused int64
	// lacking is what no container can be started without; nil: nothing.
	lacking *missingObject
}

// digest stands for content, which is not kept.
type digest [sha256.Size]byte

func digestOf(content any) (digest, error) {
	data, err := json.Marshal(content)
	return sha256.Sum256(data), err
}

func (g *given) last() looked {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.when
}

func (c *Controller) noteGiven(d delivery, lacking *missingObject) {
	now := c.Clock.Now()
	d.given.mu.Lock()
	defer d.given.mu.Unlock()
	d.given.when = looked{at: now, next: now.Add(refreshAfter()), labels: d.pod.Labels, annotations: d.pod.Annotations, lacking: lacking,
		generation: d.pod.Generation, refused: d.given.refused}
}

func (l *looked) sameMetadata(pod *corev1.Pod) bool {
	return equality.Semantic.DeepEqual(l.labels, pod.Labels) && equality.Semantic.DeepEqual(l.annotations, pod.Annotations)
}

// errEnding: there is nothing to be given to an agent any more.
var errEnding = errors.New("the pod is being deleted")

// unsureError: the agent was asked to take the pod, and may have done so.
type unsureError struct{ error }

// Unwrap gives why there was no answer.
func (e *unsureError) Unwrap() error { return e.error }

// deliver gives the pod and the content of its volumes to an agent that has
// neither.
func (c *Controller) deliver(ctx context.Context, d delivery) error {
	objects := c.objectsOf(ctx, d)
	if err := deliverVolumes(ctx, d, objects); err != nil {
		return err
	}
	beside, err := besideOf(d, objects)
	if err != nil {
		return err
	}
	if err := c.mark(ctx, d.pod, d.cell); err != nil {
		return err
	}
	if !d.pod.DeletionTimestamp.IsZero() {
		return errEnding
	}
	if err := updatePod(ctx, d, beside.with(d)); err != nil {
		return orRefusal(ctx, d, err)
	}
	c.noteGiven(d, beside.lacking)
	return nil
}

// updatePod sends the pod itself, with what its environments refer to.
func updatePod(ctx context.Context, d delivery, parameters *itzo.PodParameters) error {
	content, err := digestOf(parameters)
	if err != nil {
		return fmt.Errorf("encoding the pod: %w", err)
	}
	crashpoint.Reach(ctx, crashpoint.DispatchBefore, d.pod)
	err = d.agent.UpdatePod(ctx, parameters)
	crashpoint.Reach(ctx, crashpoint.DispatchAfter, d.pod)
	if refused := (*itzo.StatusError)(nil); err != nil && !errors.As(err, &refused) {
		return &unsureError{err}
	}
	if itzo.IsCode(err, http.StatusBadRequest) {
		d.given.refused = d.pod.Generation
	}
	if err == nil {
		d.given.accepted = acceptedOf(d.pod)
	}
	if err == nil || itzo.IsCode(err, http.StatusBadRequest) {
		d.given.parameters = content
	}
	return err
}

// beside is what is sent beside the pod.
type beside struct {
	credentials map[string]itzo.RegistryCredentials
	references  podspec.References
	services    map[string]string
	// lacking is what no container can be started without; nil: nothing.
	lacking *missingObject
}

func besideOf(d delivery, objects *nodeObjects) (*beside, error) {
	credentials, err := podspec.Credentials(d.pod, objects)
	if err != nil {
		return nil, err
	}
	references, err := podspec.ReferencesOf(d.pod, objects)
	if err != nil {
		return nil, err
	}
	services, err := objects.services(d.given)
	if err != nil {
		return nil, err
	}
	b := &beside{credentials: credentials, references: references, services: services}
	if references.Missing != nil {
		b.lacking = objects.lacking(references.Missing)
	}
	return b, nil
}

func (b *beside) with(d delivery) *itzo.PodParameters {
	parameters := podspec.Parameters(podspec.WithDNS(d.pod, d.dns), d.podIP)
	parameters.Credentials, parameters.Secrets, parameters.ConfigMaps = b.credentials, b.references.Secrets, b.references.ConfigMaps
	parameters.Services = b.services
	return parameters
}

func deliverVolumes(ctx context.Context, d delivery, objects *nodeObjects) error {
	packages, err := podspec.Packages(d.pod, objects)
	if missing := (*podspec.MissingError)(nil); errors.As(err, &missing) {
		return objects.lacking(missing)
	}
	if err != nil {
		return err
	}
	for i := range packages {
		content, err := digestOf(packages[i])
		if err != nil {
			return fmt.Errorf("packing volume %q: %w", packages[i].Name, err)
		}
		if err := deploy(ctx, d, &packages[i], content); err != nil {
			return err
		}
	}
	return nil
}

// deploy sends the content of one volume.
func deploy(ctx context.Context, d delivery, p *podspec.Package, content digest) error {
	return send(ctx, d, p.Name, content, func(w io.Writer) error { return itzo.WritePackage(w, p.Files) })
}

// send gives the agent what pack writes as the content of a volume, and notes
// that it has it.
func send(ctx context.Context, d delivery, volume string, content digest, pack func(io.Writer) error) error {
	var archive bytes.Buffer
	if err := pack(&archive); err != nil {
		return fmt.Errorf("packing volume %q: %w", volume, err)
	}
	crashpoint.Reach(ctx, crashpoint.VolumeBefore, d.pod)
	err := d.agent.Deploy(ctx, itzo.FormatPodName(d.pod.Namespace, d.pod.Name), volume, &archive)
	crashpoint.Reach(ctx, crashpoint.VolumeAfter, d.pod)
	if err != nil {
		return fmt.Errorf("sending volume %q: %w", volume, err)
	}
	if d.given.packages == nil {
		d.given.packages = map[string]digest{}
	}
	d.given.packages[volume] = content
	return nil
}
