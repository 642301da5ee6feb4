package pricetable

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
)

func TestClassFor(t *testing.T) {
	a, b := v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "b"}}
	for name, test := range map[string]struct {
		classes        []v1beta1.CellClass
		runtime, named string
		want, refused  string
	}{
		"by runtime class":      {classes: []v1beta1.CellClass{a, b}, runtime: "kip-b", want: "b"},
		"by name":               {classes: []v1beta1.CellClass{a, b}, runtime: "kip-b", named: "a", want: "a"},
		"name over another's":   {classes: []v1beta1.CellClass{a, b}, runtime: "gvisor", named: "a", want: "a"},
		"the only one":          {classes: []v1beta1.CellClass{a}, want: "a"},
		"not the only one":      {classes: []v1beta1.CellClass{a, b}, refused: "--class: there are a, b"},
		"unknown runtime class": {classes: []v1beta1.CellClass{a}, runtime: "kip-z", refused: `CellClass "z" does not exist: there are a`},
		"unknown name":          {classes: []v1beta1.CellClass{a, b}, named: "z", refused: `CellClass "z" does not exist: there are a, b`},
		"another's":             {classes: []v1beta1.CellClass{a}, runtime: "gvisor", refused: `"gvisor" is not of Kip`},
		"none":                  {runtime: "kip-a", refused: "no CellClass"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{}
			if test.runtime != "" {
				pod.Spec.RuntimeClassName = &test.runtime
			}
			got, err := ClassFor(pod, test.classes, test.named)
			switch {
			case test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)):
				t.Errorf("error %v", err)
			case test.refused == "" && (err != nil || got.Name != test.want):
				t.Errorf("class %v, error %v", got, err)
			}
		})
	}
}
