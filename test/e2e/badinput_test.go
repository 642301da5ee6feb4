package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// A class that cannot work says so, on itself and on its pods, and launches nothing; once it is mended they go on by themselves.
func TestBadClass(t *testing.T) {
	t.Parallel()
	env := environment(t)
	for name, test := range map[string]struct {
		spoil  func(*v1beta1.CellClass)
		reason string
		// says are parts of the message: the field and the value.
		says []string
	}{
		"image": {
			func(c *v1beta1.CellClass) {
				c.Spec.BootImageSpec.Filters = "name=no-such-image-*"
			},
			v1beta1.ReasonImageNotFound, []string{"bootImageSpec", "no-such-image-*"},
		},
		"subnet": {
			func(c *v1beta1.CellClass) { c.Spec.AWS.Subnets = []string{"subnet-0123456789abcdef0"} },
			v1beta1.ReasonSubnetNotFound, []string{"aws.subnets", "subnet-0123456789abcdef0"},
		},
		"cloud-init": {
			func(c *v1beta1.CellClass) { c.Spec.CloudInit = "#cloud-config\nruncmd: [never closed\n" },
			v1beta1.ReasonInvalidCloudInit, []string{"cloudInit"},
		},
		"instance-type": {
			func(c *v1beta1.CellClass) { c.Spec.DefaultInstanceType = "t3.enormous" },
			v1beta1.ReasonInvalidInstanceType, []string{"defaultInstanceType", "t3.enormous"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			class := newClass(t, env, "bad-"+name)
			good := class.DeepCopy()
			test.spoil(class)
			create(t, env, class)
			testenv.Eventually(t, told, "condition and event of the class", func(ctx context.Context) error {
				return complains(ctx, env, class, test.reason, test.says)
			})
			pod := waitingPod(t, env, class)
			testenv.Eventually(t, told, "event of the pod", func(ctx context.Context) error { return hasEvent(ctx, env, pod, test.says) })
			if err := env.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil || pod.Status.Phase != corev1.PodPending {
				t.Errorf("the pod is %s, %v, want Pending", pod.Status.Phase, err)
			}
			launches, err := env.Launches(t.Context(), class.Name)
			if err != nil || len(launches) > 0 {
				t.Errorf("%d launches, %v", len(launches), err)
			}
			mended := class.DeepCopy()
			mended.Spec = good.Spec
			if err := env.Patch(t.Context(), mended, client.MergeFrom(class)); err != nil {
				t.Fatal(err)
			}
			waitForPhase(t, env, pod, corev1.PodRunning)
		})
	}
}

// waitingPod is a pod of a class whose node is perhaps not there yet: the RuntimeClass is, or the API server would refuse the pod.
func waitingPod(t *testing.T, env *testenv.Env, class *v1beta1.CellClass) *corev1.Pod {
	t.Helper()
	ns := namespace(t, env)
	waitForRuntimeClass(t, env, class)
	pod := newPod(env, ns, "waits", class, forever)
	create(t, env, pod)
	return pod
}

// complains checks for a condition Ready=False with the reason and for an event, both with all that is to be said.
func complains(ctx context.Context, env *testenv.Env, class *v1beta1.CellClass, reason string, says []string) error {
	if err := env.Get(ctx, client.ObjectKeyFromObject(class), class); err != nil {
		return err
	}
	for _, c := range class.Status.Conditions {
		if c.Type != v1beta1.ConditionReady {
			continue
		}
		if c.Status != metav1.ConditionFalse || c.Reason != reason || !containsAll(c.Message, says) {
			return fmt.Errorf("condition is %s, %s: %s; want %s with %q", c.Status, c.Reason, c.Message, reason, says)
		}
		if c.ObservedGeneration != class.Generation {
			return fmt.Errorf("condition is of generation %d, not %d", c.ObservedGeneration, class.Generation)
		}
		return hasEvent(ctx, env, class, says)
	}
	return errors.New("there is no condition Ready")
}

func hasEvent(ctx context.Context, env *testenv.Env, obj client.Object, says []string) error {
	all, err := events(ctx, env, obj)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(e string) bool { return containsAll(e, says) }) {
		return fmt.Errorf("no event with %q among %q", says, all)
	}
	return nil
}

func containsAll(s string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(s, part) })
}

// A pod that cannot be run as it is says why, and gets no cell.
func TestBadPod(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := readyClass(t, env, "bad-pod")
	ns := namespace(t, env)
	for name, test := range map[string]struct {
		spoil func(*corev1.Pod)
		says  []string
	}{
		"instance-type": {
			func(p *corev1.Pod) {
				p.Annotations = map[string]string{v1beta1.AnnotationInstanceType: "t3.enormous"}
			},
			[]string{v1beta1.ReasonInvalidInstanceType, "t3.enormous"},
		},
		"nfs": {
			func(p *corev1.Pod) {
				p.Spec.Volumes = []corev1.Volume{{Name: "files", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "files.example", Path: "/"}}}}
			},
			[]string{"spec.volumes[0].nfs"},
		},
		"lifecycle": {
			func(p *corev1.Pod) {
				p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{
					TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}}
			},
			[]string{"spec.containers[0].lifecycle.preStop.tcpSocket"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := newPod(env, ns, name, class, forever, test.spoil)
			create(t, env, pod)
			testenv.Eventually(t, told, "event of the pod", func(ctx context.Context) error { return hasEvent(ctx, env, pod, test.says) })
			if err := env.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
				t.Fatal(err)
			}
			if pod.Status.Phase == corev1.PodRunning || pod.Status.Phase == corev1.PodSucceeded {
				t.Errorf("the pod is %s", pod.Status.Phase)
			}
			if cell, err := cellOf(t.Context(), env, pod); err == nil && cell.Status.InstanceID != "" {
				t.Errorf("instance %s was launched for it", cell.Status.InstanceID)
			}
		})
	}
}

// A Cell of a class that does not exist waits for it.
func TestCellOfNoClass(t *testing.T) {
	t.Parallel()
	env := environment(t)
	cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "of-no-class"}, Spec: v1beta1.CellSpec{CellClassName: "late"}}
	create(t, env, cell)
	says := []string{"spec.cellClassName", "late"}
	testenv.Eventually(t, told, "condition and event of the Cell", func(ctx context.Context) error {
		if err := env.Get(ctx, client.ObjectKeyFromObject(cell), cell); err != nil {
			return err
		}
		for _, c := range cell.Status.Conditions {
			if c.Status == metav1.ConditionFalse && c.Reason == v1beta1.ReasonClassNotFound && containsAll(c.Message, says) {
				return hasEvent(ctx, env, cell, says)
			}
		}
		return fmt.Errorf("conditions %+v", cell.Status.Conditions)
	})
	readyClass(t, env, "late")
	testenv.Eventually(t, soon, "cell Ready", func(ctx context.Context) error { return ready(ctx, env, cell) })
	if err := remove(t.Context(), env, cell); err != nil {
		t.Fatal(err)
	}
}
