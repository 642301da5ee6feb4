package agent_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/itzo"
)

const ownRegistry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"

// ownAccess is that of a cell to one registry; it notes who asked, and how far
// the metadata was open then.
type ownAccess struct {
	host    *fake.Host
	lacking error

	mu    sync.Mutex
	asked []string
	open  []agent.MetadataAccess
}

func (o *ownAccess) Credentials(_ context.Context, host string) (*itzo.RegistryCredentials, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked, o.open = append(o.asked, host), append(o.open, o.host.Metadata())
	if host != ownRegistry {
		return nil, nil
	}
	if o.lacking != nil {
		return nil, o.lacking
	}
	return &itzo.RegistryCredentials{Username: "AWS", Password: "own"}, nil
}

// pullingRuntime refuses who does not have the password, and has images of tag
// present.
type pullingRuntime struct {
	*fake.Runtime
	password string
}

func (r *pullingRuntime) Image(_ context.Context, name string) (agent.Image, bool, error) {
	return agent.Image{ID: name}, strings.HasSuffix(name, ":present"), nil
}

func (r *pullingRuntime) PullImage(ctx context.Context, name string, c *itzo.RegistryCredentials) (agent.Image, error) {
	password := ""
	if c != nil {
		password = c.Password
	}
	if password != r.password {
		return agent.Image{}, errors.New("401 Unauthorized")
	}
	return r.Runtime.PullImage(ctx, name, c)
}

// runsImage runs a pod with one container of that image, and says how it went.
func runsImage(t *testing.T, own *ownAccess, runtime *pullingRuntime, image string, change func(*itzo.PodParameters)) (status corev1.PodStatus) {
	t.Helper()
	inCell(t, func(t *testing.T, c *cell) {
		c.stop()
		own.host, runtime.Runtime = c.host, c.runtime
		c.configure = func(config *agent.Config) { config.Registries, config.Runtime = own, runtime }
		c.start()
		pod := newPod(corev1.RestartPolicyAlways, "", "web")
		pod.Spec.Containers[0].Image = image
		params := parameters(pod)
		change(&params)
		c.expect(c.do("POST", "/rest/v1/updatepod", params), 200, "")
		status = c.status()
	})
	return status
}

func nothing(*itzo.PodParameters) {}

// The cell's own access is for images that the pod brings no credentials for and
// that are to be pulled.
func TestOwnRegistryAccess(t *testing.T) {
	brought := func(p *itzo.PodParameters) {
		p.Credentials = map[string]itzo.RegistryCredentials{ownRegistry: {Username: "u", Password: "pods"}}
	}
	policy := func(policy corev1.PullPolicy) func(*itzo.PodParameters) {
		return func(p *itzo.PodParameters) { p.Pod.Spec.Containers[0].ImagePullPolicy = policy }
	}
	for what, test := range map[string]struct {
		image, password string
		change          func(*itzo.PodParameters)
		asked           string
	}{
		"own":           {ownRegistry + "/team/app:1", "own", nothing, ownRegistry},
		"the pod's":     {ownRegistry + "/team/app:1", "pods", brought, ""},
		"everybody's":   {"registry.example/app:1", "", nothing, "registry.example"},
		"present":       {ownRegistry + "/team/app:present", "none", nothing, ""},
		"never":         {ownRegistry + "/team/app:present", "none", policy(corev1.PullNever), ""},
		"always anyway": {ownRegistry + "/team/app:present", "own", policy(corev1.PullAlways), ownRegistry},
	} {
		t.Run(what, func(t *testing.T) {
			own, runtime := &ownAccess{}, &pullingRuntime{password: test.password}
			status := runsImage(t, own, runtime, test.image, test.change)
			if status.Phase != corev1.PodRunning || strings.Join(own.asked, " ") != test.asked {
				t.Errorf("phase %s, asked for %q", status.Phase, own.asked)
			}
		})
	}
}

// What the cell lacks is said where the image is not everybody's, and only there.
func TestOwnRegistryAccessLacking(t *testing.T) {
	own, runtime := &ownAccess{lacking: errors.New("the cell has no instance profile")}, &pullingRuntime{password: "own"}
	waiting := runsImage(t, own, runtime, ownRegistry+"/team/app:1", nothing).ContainerStatuses[0].State.Waiting
	want := `failed to pull image "` + ownRegistry + `/team/app:1": 401 Unauthorized; without credentials, since the cell has no instance profile`
	if waiting == nil || waiting.Reason != "ErrImagePull" || waiting.Message != want {
		t.Errorf("waiting: %+v", waiting)
	}
	if status := runsImage(t, own, &pullingRuntime{}, ownRegistry+"/team/app:1", nothing); status.Phase != corev1.PodRunning {
		t.Errorf("everybody's: %+v", status)
	}
}

// A pod in the cell's network gets the metadata closed: the cell has asked before,
// whether the image was pulled by then or is yet to be.
func TestOwnRegistryAccessInTheCellsNetwork(t *testing.T) {
	own := &ownAccess{}
	status := runsImage(t, own, &pullingRuntime{password: "own"}, ownRegistry+"/team/app:1", func(p *itzo.PodParameters) { p.Pod.Spec.HostNetwork = true })
	if status.Phase != corev1.PodRunning || len(own.open) != 2 || own.open[0] != agent.MetadataForCell || own.host.Metadata() != agent.MetadataForNone {
		t.Errorf("phase %s, asked while open to %v, now to %v", status.Phase, own.open, own.host.Metadata())
	}
}
