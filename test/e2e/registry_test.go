package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/dev"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/test/testenv"
)

// privateImage is one that ECR's tokens open.
const privateImage = dev.ECRHost + "/private/busybox:latest"

func ofRegistry(profile string) func(*v1beta1.CellClass) {
	return func(c *v1beta1.CellClass) {
		c.Spec.DefaultIAMPermissions, c.Spec.UseCloudParameterStore = profile, false
	}
}

func fromRegistry(p *corev1.Pod) { p.Spec.Containers[0].Image = privateImage }

// Cells pull from ECR with the role of their instance profile, on either containerd, also for a pod in the cell's network; a pod's own
// secret needs no role.
func TestPullsFromECR(t *testing.T) {
	t.Parallel()
	env := environment(t)
	ns := namespace(t, env)
	pulling := newClass(t, env, "ecr", ofRegistry("kip-cell-ecr"), func(c *v1beta1.CellClass) {
		c.Spec.PodPrivileges.InstanceProfiles = []string{"*"}
	})
	newer := newClass(t, env, "ecr-containerd2", ofRegistry("kip-cell-ecr"), func(c *v1beta1.CellClass) {
		c.Spec.BootImageSpec.Owners, c.Spec.BootImageSpec.Filters = "amazon", "name=kip-cell-al2023-*"
	})
	without := newClass(t, env, "ecr-none", ofRegistry(""))
	for _, class := range []*v1beta1.CellClass{pulling, newer, without} {
		create(t, env, class)
		waitForNode(t, env, class)
		waitForRuntimeClass(t, env, class)
	}
	calls, err := env.LastCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pods := []*corev1.Pod{
		newPod(env, ns, "web", pulling, forever, fromRegistry),
		newPod(env, ns, "newer", newer, forever, fromRegistry),
		newPod(env, ns, "host", pulling, forever, fromRegistry, func(p *corev1.Pod) { p.Spec.HostNetwork = true }),
	}
	for _, pod := range pods {
		create(t, env, pod)
	}
	for _, pod := range pods {
		waitForPhase(t, env, pod, corev1.PodRunning)
	}
	tokens, err := env.Calls(t.Context(), calls, "GetAuthorizationToken")
	tokens = slices.DeleteFunc(tokens, func(call journal.Entry) bool { return call.Code != "" }) // other cells', that may not
	if err != nil || len(tokens) != len(pods) {
		t.Errorf("%d tokens for %d pods, %v", len(tokens), len(pods), err)
	}
	secret := pullSecret(t, ns, dev.ECRPassword)
	create(t, env, secret)
	own := newPod(env, ns, "own", without, forever, fromRegistry, func(p *corev1.Pod) {
		p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: secret.Name}}
	})
	create(t, env, own)
	waitForPhase(t, env, own, corev1.PodRunning)
}

// What a cell lacks to pull from ECR is said on the pod.
func TestPullsFromECRWithoutRight(t *testing.T) {
	t.Parallel()
	env := environment(t)
	ns := namespace(t, env)
	for profile, want := range map[string]string{
		"":         "the cell has no instance profile: the class's defaultIAMPermissions has to name one whose role allows ecr:GetAuthorizationToken",
		"kip-cell": "the role of the cell's instance profile lacks ecr:GetAuthorizationToken: User: arn:aws:sts::123456789012:assumed-role/kip-cell/",
	} {
		class := newClass(t, env, "ecr-lacks"+strings.ReplaceAll(profile, "kip", ""), ofRegistry(profile))
		create(t, env, class)
		waitForNode(t, env, class)
		waitForRuntimeClass(t, env, class)
		pod := newPod(env, ns, "web"+profile, class, forever, fromRegistry)
		create(t, env, pod)
		testenv.Eventually(t, soon, "why the image cannot be pulled", func(ctx context.Context) error {
			if err := env.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
				return err
			}
			for _, status := range pod.Status.ContainerStatuses {
				if waiting := status.State.Waiting; waiting != nil && (waiting.Reason == "ErrImagePull" || waiting.Reason == "ImagePullBackOff") &&
					strings.Contains(waiting.Message, want) {
					return nil
				}
			}
			return fmt.Errorf("%+v", pod.Status.ContainerStatuses)
		})
	}
}

func pullSecret(t *testing.T, namespace, password string) *corev1.Secret {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte("AWS:" + password))
	config, err := json.Marshal(map[string]any{"auths": map[string]any{dev.ECRHost: map[string]string{"auth": auth}}})
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "registry"}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: config},
	}
}
