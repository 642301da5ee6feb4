package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// measuring is how long it may take until metrics-server has asked twice, or until the autoscaler has acted on that: it looks every 15 s,
// at a pod that has been ready for as long as what was measured of it.
const measuring = 4 * time.Minute

// working uses all the processor that it may, and holds 50 MiB.
const working = `{ dd if=/dev/zero bs=1M count=60 2>/dev/null; sleep 1000000; } | tail -c 52428800 & while :; do :; done`

// TestTop has metrics-server and the autoscaler do with a class's node what they do with any.
func TestTop(t *testing.T) {
	t.Parallel()
	env := environment(t)
	startMetricsServer(t, env)
	class := readyClass(t, env, "top")
	ns := namespace(t, env)
	deployment := workingDeployment(env, ns, class)
	create(t, env, deployment)
	scaler := autoscaler(deployment)
	create(t, env, scaler)
	k := &kubectl{env: env, namespace: ns}
	node := v1beta1.NodeName(class.Name)
	t.Run("pods", func(t *testing.T) {
		testenv.Eventually(t, measuring, "kubectl top pods", func(context.Context) error {
			row, err := topRow(t, k, "work-", "pods")
			if err != nil {
				return err
			}
			return sensible(row, 50, 300, 50, 100)
		})
	})
	t.Run("nodes", func(t *testing.T) {
		testenv.Eventually(t, measuring, "kubectl top nodes", func(context.Context) error {
			row, err := topRow(t, k, node, "nodes")
			if err != nil {
				return err
			}
			// A local cell tells what all of the machine uses.
			return sensible(row, 50, 1<<20, 50, 1<<30)
		})
	})
	t.Run("summary", func(t *testing.T) { checkProxy(t, k, node) })
	t.Run("autoscaler", func(t *testing.T) {
		testenv.Eventually(t, measuring, "two replicas", func(ctx context.Context) error {
			if err := env.Get(ctx, client.ObjectKeyFromObject(deployment), deployment); err != nil {
				return err
			}
			if deployment.Status.ReadyReplicas != 2 {
				said, err := events(ctx, env, scaler)
				return errors.Join(err, fmt.Errorf("%d are ready of %d; the autoscaler says %q", deployment.Status.ReadyReplicas, *deployment.Spec.Replicas, said))
			}
			return nil
		})
	})
}

func workingDeployment(env *testenv.Env, ns string, class *v1beta1.CellClass) *appsv1.Deployment {
	labels := map[string]string{"app": "work"}
	spec := podSpec(env, class, working)
	spec.Containers[0].Resources = corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m")},
	}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "work"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
	}}
}

func autoscaler(of *appsv1.Deployment) *autoscalingv2.HorizontalPodAutoscaler {
	half := int32(50)
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: of.Name}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: of.Name},
		MaxReplicas:    2,
		Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
			Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &half},
		}}},
	}}
}

// topRow is what kubectl top prints of the first object whose name begins so.
func topRow(t *testing.T, k *kubectl, name, kind string) ([]string, error) {
	t.Helper()
	out, err := k.command(t, "top", kind, "--no-headers").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) >= 3 && strings.HasPrefix(fields[0], name) {
			return fields, nil
		}
	}
	return nil, fmt.Errorf("no %s in %q", name, out)
}

// sensible checks a row: millicores, and MiB of memory. Of nodes there is a share after each.
func sensible(row []string, minCPU, maxCPU, minMemory, maxMemory int64) error {
	var values []resource.Quantity
	for _, field := range row[1:] {
		if value, err := resource.ParseQuantity(field); err == nil {
			values = append(values, value)
		}
	}
	if len(values) != 2 {
		return fmt.Errorf("got %q", row)
	}
	cpu, memory := values[0].MilliValue(), values[1].Value()>>20
	if cpu < minCPU || cpu > maxCPU || memory < minMemory || memory > maxMemory {
		return fmt.Errorf("%dm and %d MiB in %q", cpu, memory, row)
	}
	return nil
}

// checkProxy asks the nodes, which have one address, through the API server.
func checkProxy(t *testing.T, k *kubectl, node string) {
	nodes := strings.Fields(k.run(t, "get", "nodes", "--output=jsonpath={.items[*].metadata.name}"))
	if !slices.Contains(nodes, node) || len(nodes) < 2 {
		t.Fatalf("the nodes are %q", nodes)
	}
	for _, name := range nodes {
		var summary statsapi.Summary
		out := k.run(t, "get", "--raw", "/api/v1/nodes/"+name+"/proxy/stats/summary")
		if err := json.Unmarshal([]byte(out), &summary); err != nil {
			t.Fatal(err)
		}
		has := slices.ContainsFunc(summary.Pods, func(pod statsapi.PodStats) bool { return pod.PodRef.Namespace == k.namespace })
		if summary.Node.NodeName != name || has != (name == node) {
			t.Errorf("node %s: %s", name, out)
		}
	}
}
