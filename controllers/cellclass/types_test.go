package cellclass

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/test/fixture"
)

// TestNoTypeIsLeft: each field for itself is right, and nothing fits them all.
func TestNoTypeIsLeft(t *testing.T) {
	all := []string{"spec.instanceTypes", "spec.architectures", "spec.bootImageSpec"}
	for name, test := range map[string]struct {
		edit  func(*v1beta1.CellClassSpec)
		texts []string
	}{
		"pattern":  {func(s *v1beta1.CellClassSpec) { s.InstanceTypes.Allowed = []v1beta1.TypePattern{"z9*"} }, all},
		"excluded": {func(s *v1beta1.CellClassSpec) { s.InstanceTypes.Excluded = []v1beta1.TypePattern{"*"} }, all},
		"no image": {func(s *v1beta1.CellClassSpec) {
			s.Architectures = []string{"arm64"}
			s.BootImageSpec = v1beta1.BootImageSpec{ImageIDs: "ami-0c0ffee0000000002"}
		}, []string{"spec.bootImageSpec: there are images for amd64 only", "spec.architectures allows arm64"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			class := b.class(test.edit)
			b.unready(class, v1beta1.ReasonNoFittingType, test.texts...)
			edit(b, class, func(c *v1beta1.CellClass) {
				c.Spec.InstanceTypes, c.Spec.Architectures = v1beta1.InstanceTypesSpec{}, nil
			})
			b.ready(class)
		})
	}
}

// TestDefaultTypeOfAnotherArchitecture: cells can be made, but not for pods that
// ask for nothing; that stands on the class before the first one tries.
func TestDefaultTypeOfAnotherArchitecture(t *testing.T) {
	b := newBench(t).start()
	class := b.class(func(s *v1beta1.CellClassSpec) {
		s.DefaultInstanceType, s.BootImageSpec = "t3.small", v1beta1.BootImageSpec{ImageIDs: "ami-0a11ce00000000003"}
	})
	is := b.ready(class)
	condition := meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionDefaultType)
	want := "spec.defaultInstanceType: t3.small is amd64, for which the class has no image"
	if condition == nil || condition.Status != metav1.ConditionFalse || condition.Reason != v1beta1.ReasonInvalidInstanceType || !strings.HasPrefix(condition.Message, want) {
		t.Fatalf("condition %+v", condition)
	}
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.DefaultInstanceType = "t4g.small" })
	fixture.WaitFor(t, b, class, "the default type does", func(is *v1beta1.CellClass) error {
		if meta.FindStatusCondition(is.Status.Conditions, v1beta1.ConditionDefaultType) != nil {
			return fmt.Errorf("conditions %+v", is.Status.Conditions)
		}
		return nil
	})
}

// TestImageOverrides: the first override that fits counts; what none is for
// has the image of spec.bootImageSpec.
func TestImageOverrides(t *testing.T) {
	b := newBench(t).start()
	byID := func(id string) v1beta1.BootImageSpec { return v1beta1.BootImageSpec{ImageIDs: id} }
	is := b.ready(b.class(func(s *v1beta1.CellClassSpec) {
		s.BootImageOverrides = []v1beta1.BootImageOverride{
			{Accelerator: "nvidia", Image: byID("ami-0a11ce00000000002")},
			{Architecture: "arm64", Image: byID("ami-0deb1a00000000003")},
			{Architecture: "arm64", Image: byID("ami-0a11ce00000000003")},
		}
	}))
	got := map[string]string{}
	for _, image := range is.Status.Images {
		got[image.Architecture+" "+image.Accelerator] = image.ID
	}
	want := map[string]string{"amd64 none": "ami-0c0ffee0000000002", "amd64 nvidia": "ami-0a11ce00000000002", "arm64 none": "ami-0deb1a00000000003"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

// TestWrongImageOverride: the message names the element.
func TestWrongImageOverride(t *testing.T) {
	for name, test := range map[string]struct {
		override v1beta1.BootImageOverride
		texts    []string
	}{
		"unknown": {v1beta1.BootImageOverride{Accelerator: "nvidia", Image: v1beta1.BootImageSpec{ImageIDs: "ami-0123456789abcdef0"}},
			[]string{"spec.bootImageOverrides[0].image.imageIDs", "ami-0123456789abcdef0"}},
		"architecture": {v1beta1.BootImageOverride{Architecture: "arm64", Image: v1beta1.BootImageSpec{ImageIDs: "ami-0c0ffee0000000002"}},
			[]string{"spec.bootImageOverrides[0].image", "arm64", "ami-0c0ffee0000000002"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			class := b.class(func(s *v1beta1.CellClassSpec) { s.BootImageOverrides = []v1beta1.BootImageOverride{test.override} })
			b.unready(class, v1beta1.ReasonImageNotFound, test.texts...)
		})
	}
}

// TestFreeAddresses are counted anew with each look-up.
func TestFreeAddresses(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	if free := b.ready(class).Status.Subnets[0].FreeAddresses; free != 59 {
		t.Fatalf("%d addresses are free", free)
	}
	_, err := b.cloud.Launch(t.Context(), cloud.LaunchRequest{
		ClientToken: "one", InstanceType: "t3.nano", ImageID: "ami-0c0ffee0000000002", SubnetID: subnetA, RootDevice: "/dev/xvda", Volume: cloud.Volume{GiB: 8},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(resolveEvery)
	b.poke(class)
	fixture.WaitFor(t, b, class, "two addresses are taken", func(is *v1beta1.CellClass) error {
		if free := is.Status.Subnets[0].FreeAddresses; free != 57 {
			return fmt.Errorf("%d addresses are free", free)
		}
		return nil
	})
}

// TestSpecIsTheUsers: the operator adds nothing to the spec that was applied.
func TestSpecIsTheUsers(t *testing.T) {
	b := newBench(t).start()
	applied := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1beta1.GroupVersion.String(), "kind": "CellClass",
		"metadata": map[string]any{"name": b.name, "labels": map[string]any{fixture.TestLabel: b.name}},
		"spec": map[string]any{
			"bootImageSpec": map[string]any{"owners": "self"},
			"itzo":          map[string]any{"url": "http://agents.example/itzo", "version": "v2"},
			"aws":           map[string]any{"subnets": []any{subnetA}},
		},
	}}
	b.create(applied)
	is := b.ready(&v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: b.name}})
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(applied.GroupVersionKind())
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(is), now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(applied.Object["spec"], now.Object["spec"]); diff != "" || is.Generation != 1 {
		t.Errorf("generation %d, spec (-applied +now):\n%s", is.Generation, diff)
	}
}
