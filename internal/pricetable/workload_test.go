package pricetable

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const template = `template: {metadata: {annotations: {pod.elotl.co/launch-type: spot}}, spec: {containers: [{name: main, image: nginx, resources: {requests: {cpu: 250m}}}]}}`

func TestRead(t *testing.T) {
	manifest := `
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec: {containers: [{name: main, image: nginx, resources: {requests: {cpu: 250m}}}]}
---
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: shop}, spec: {selector: {}, ` + template + `}}
---
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {generateName: r}, spec: {selector: {}, ` + template + `}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {serviceName: s, selector: {}, ` + template + `}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {selector: {}, ` + template + `}}
---
{apiVersion: kip.elotl.co/v1beta1, kind: CellClass, metadata: {name: default}}
---
apiVersion: v1
kind: List
items:
- {apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {` + template + `}}
- {apiVersion: batch/v1, kind: CronJob, metadata: {name: c}, spec: {schedule: "@daily", jobTemplate: {spec: {` + template + `}}}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: m}}
`
	found, others, err := Read(strings.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, w := range found {
		names = append(names, w.String())
		if cpu := w.Pod.Spec.Containers[0].Resources.Requests.Cpu().MilliValue(); cpu != 250 {
			t.Errorf("%s: cpu %d", w, cpu)
		}
		if i > 0 && w.Pod.Annotations["pod.elotl.co/launch-type"] != "spot" {
			t.Errorf("%s: annotations %v", w, w.Pod.Annotations)
		}
	}
	want := []string{"Pod bare", "Deployment shop/d", "ReplicaSet r*", "StatefulSet s", "DaemonSet a", "Job j", "CronJob c"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Service", "CellClass", "ConfigMap"}, others); diff != "" {
		t.Errorf("others (-want +got):\n%s", diff)
	}
}

func TestReadJSON(t *testing.T) {
	found, _, err := Read(strings.NewReader(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}`))
	if err != nil || len(found) != 2 || found[1].Pod.Name != "b" {
		t.Errorf("found %v, error %v", found, err)
	}
}

func TestReadNothing(t *testing.T) {
	for _, manifest := range []string{"", "---\n", "# only words\n"} {
		if found, others, err := Read(strings.NewReader(manifest)); err != nil || len(found) > 0 || len(others) > 0 {
			t.Errorf("%q: found %v, others %v, error %v", manifest, found, others, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	good := "{apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n"
	for name, test := range map[string]struct{ manifest, holds string }{
		"yaml":        {good + "a: [b\n", "document 2"},
		"text":        {"Once upon a time\n", "document 1: is no object of Kubernetes"},
		"no kind":     {good + "apiVersion: v1\n", "Kind"},
		"misspelt":    {good + "{apiVersion: v1, kind: Pod, spec: {container: []}}", `unknown field "spec.container"`},
		"malformed":   {"{apiVersion: v1, kind: Pod, spec: {containers: [{name: a, resources: {requests: {cpu: lots}}}]}}", "quantities must match"},
		"in the list": {"{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, spec: 3}]}", "document 1: item 1"},
	} {
		t.Run(name, func(t *testing.T) {
			found, _, err := Read(strings.NewReader(test.manifest))
			if err == nil || !strings.Contains(err.Error(), test.holds) || found != nil {
				t.Errorf("found %v, error %v", found, err)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add("{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod}, {}]}\n---\n- a\n")
	f.Fuzz(func(t *testing.T, manifest string) {
		found, others, err := Read(strings.NewReader(manifest))
		if err != nil && (found != nil || others != nil) {
			t.Errorf("found %v and %v in spite of %v", found, others, err)
		}
		for _, w := range found {
			if w.Pod == nil || w.Kind == "" {
				t.Errorf("workload %+v", w)
			}
		}
	})
}
