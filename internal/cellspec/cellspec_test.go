package cellspec_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cellspec"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

func size(s string) *resource.Quantity {
	q := resource.MustParse(s)
	return &q
}

// class is a ready one with images of 4 and 8 GiB.
func class(edit ...func(*v1beta1.CellClass)) *v1beta1.CellClass {
	c := &v1beta1.CellClass{
		ObjectMeta: metav1.ObjectMeta{Name: "default", Generation: 2},
		Spec: v1beta1.CellClassSpec{
			DefaultInstanceType: "t3.nano", DefaultLaunchType: v1beta1.LaunchSpot, DefaultVolumeSize: size("6Gi"),
		},
		Status: v1beta1.CellClassStatus{
			Conditions:     []metav1.Condition{{Type: v1beta1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonReady, ObservedGeneration: 2}},
			Images:         []v1beta1.ResolvedImage{{ID: "ami-4", MinVolumeGiB: 4}, {ID: "ami-8", MinVolumeGiB: 8}},
			SecurityGroups: []string{"sg-1"},
		},
	}
	for _, e := range edit {
		e(c)
	}
	return c
}

func TestAsk(t *testing.T) {
	terms := []v1beta1.OfferingTerm{{Requirements: []v1beta1.OfferingRequirement{{Key: corev1.LabelTopologyZone, Operator: "In", Values: []string{"a"}}}}}
	resources := corev1.ResourceList{
		"cpu": resource.MustParse("250m"), "memory": resource.MustParse("1Gi"), "nvidia.com/gpu": resource.MustParse("2"), "aws.amazon.com/neuron": resource.MustParse("3"),
	}
	volume := catalogue.VolumePerHour("eu-west-1", cloud.Volume{GiB: 8})
	for name, test := range map[string]struct {
		spec v1beta1.CellSpec
		want selection.Ask
	}{
		"nothing": {v1beta1.CellSpec{OfferingTerms: terms}, selection.Ask{Type: "t3.nano", LaunchType: v1beta1.LaunchSpot, Terms: terms}},
		"resources": {v1beta1.CellSpec{Resources: resources, LaunchType: v1beta1.LaunchOnDemand},
			selection.Ask{MilliCPU: 250, Memory: 1 << 30, GPUs: 2, Neurons: 3, LaunchType: v1beta1.LaunchOnDemand}},
		"a type": {v1beta1.CellSpec{InstanceType: "m5.large"}, selection.Ask{Type: "m5.large", LaunchType: v1beta1.LaunchSpot}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.VolumePerHour, test.want.AddressPerHour = volume, catalogue.PublicIPv4PerHour()
			if diff := cmp.Diff(test.want, cellspec.Ask(&test.spec, class(), "eu-west-1")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestPrivateIPOnly: nobody gets an address where the class gives none.
func TestPrivateIPOnly(t *testing.T) {
	yes, no := true, false
	for _, test := range []struct{ class, cell, want *bool }{
		{nil, nil, nil}, {nil, &yes, &yes}, {nil, &no, &no},
		{&yes, nil, &yes}, {&yes, &no, &yes}, {&yes, &yes, &yes},
		{&no, nil, &no}, {&no, &yes, &yes}, {&no, &no, &no},
	} {
		of := class(func(c *v1beta1.CellClass) { c.Spec.PrivateIPOnly = test.class })
		spec := &v1beta1.CellSpec{PrivateIPOnly: test.cell}
		if diff := cmp.Diff(test.want, cellspec.PrivateIPOnly(spec, of)); diff != "" {
			t.Errorf("class %v, cell %v (-want +got):\n%s", test.class, test.cell, diff)
		}
	}
}

func TestVolumes(t *testing.T) {
	iops, throughput, yes := int32(4000), int32(200), true
	of := class(func(c *v1beta1.CellClass) {
		c.Spec.AWS.RootVolume = v1beta1.RootVolumeSpec{Type: "gp3", IOPS: &iops, Throughput: &throughput, Encrypted: &yes, KMSKeyID: "k"}
	})
	like := func(gib int32) cloud.Volume {
		return cloud.Volume{GiB: gib, Type: "gp3", IOPS: iops, Throughput: throughput, Encrypted: &yes, KMSKeyID: "k"}
	}
	for asked, want := range map[string][2]int32{"": {6, 8}, "2Gi": {4, 2}, "20Gi": {20, 20}, "20000000001": {19, 19}, "16Ei": {math.MaxInt32, math.MaxInt32}} {
		spec := &v1beta1.CellSpec{}
		if asked != "" {
			spec.VolumeSize = size(asked)
		}
		if diff := cmp.Diff(like(want[0]), cellspec.RootVolume(spec, of, 4)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", asked, diff)
		}
		if diff := cmp.Diff(like(want[1]), cellspec.CountedVolume(spec, of)); diff != "" {
			t.Errorf("%q, counted (-want +got):\n%s", asked, diff)
		}
	}
}

// TestEphemeralStorage comes on top of what the machine takes, unless the Cell
// says how large its volume is.
func TestEphemeralStorage(t *testing.T) {
	storage := corev1.ResourceList{"ephemeral-storage": resource.MustParse("2049Mi")}
	for name, test := range map[string]struct {
		spec                 v1beta1.CellSpec
		root, counted, asked int32
	}{
		"the class's default":     {v1beta1.CellSpec{Resources: storage}, 9, 11, 0},
		"a size of the Cell's":    {v1beta1.CellSpec{Resources: storage, VolumeSize: size("9Gi")}, 9, 9, 9},
		"more than can be had":    {v1beta1.CellSpec{Resources: corev1.ResourceList{"ephemeral-storage": resource.MustParse("7Ei")}}, math.MaxInt32, math.MaxInt32, 0},
		"no ephemeral storage":    {v1beta1.CellSpec{}, 6, 8, 0},
		"a size that is less yet": {v1beta1.CellSpec{Resources: storage, VolumeSize: size("1Gi")}, 4, 1, 1},
	} {
		root, counted := cellspec.RootVolume(&test.spec, class(), 4), cellspec.CountedVolume(&test.spec, class())
		if root.GiB != test.root || counted.GiB != test.counted {
			t.Errorf("%s: volumes of %d and, counted, %d GiB, want %d and %d", name, root.GiB, counted.GiB, test.root, test.counted)
		}
		if ask := cellspec.Ask(&test.spec, class(), "eu-west-1"); ask.Type != "t3.nano" || ask.VolumeGiB != test.asked {
			t.Errorf("%s: %+v", name, ask)
		}
	}
}

func TestClassProblem(t *testing.T) {
	for name, test := range map[string]struct {
		edit         func(*v1beta1.CellClass)
		reason, text string
	}{
		"none":    {func(*v1beta1.CellClass) {}, "", ""},
		"deleted": {func(c *v1beta1.CellClass) { c.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }, v1beta1.ReasonClassNotReady, `"default" is being deleted`},
		"new":     {func(c *v1beta1.CellClass) { c.Status = v1beta1.CellClassStatus{} }, v1beta1.ReasonClassNotReady, "is being looked up in the cloud"},
		"changed": {func(c *v1beta1.CellClass) { c.Generation = 3 }, v1beta1.ReasonClassNotReady, "is being looked up in the cloud"},
		"no groups": {func(c *v1beta1.CellClass) { c.Status.SecurityGroups = nil },
			v1beta1.ReasonClassNotReady, "is being looked up in the cloud"},
		"not ready": {func(c *v1beta1.CellClass) {
			c.Status.Conditions[0].Status, c.Status.Conditions[0].Reason, c.Status.Conditions[0].Message = metav1.ConditionFalse, "SubnetNotFound", "spec.aws"
		}, "SubnetNotFound", `CellClass "default": spec.aws`},
	} {
		t.Run(name, func(t *testing.T) {
			p := cellspec.ClassProblem(class(test.edit))
			if (p != nil) != (test.reason != "") || p != nil && (p.Reason != test.reason || !strings.Contains(p.Message, test.text)) {
				t.Errorf("problem %+v", p)
			}
		})
	}
}

func TestPrice(t *testing.T) {
	o := selection.Offering{PerHour: 0.1061, InstancePerHour: 0.1, VolumePerHour: 0.0011, AddressPerHour: 0.005}
	if perHour, parts := cellspec.Price(&o); perHour != "" || parts != nil {
		t.Errorf("without a source %q, %+v", perHour, parts)
	}
	o.Price = selection.Price{Source: selection.SourceTable, AsOf: time.Unix(7, 0)}
	perHour, parts := cellspec.Price(&o)
	want := &v1beta1.CellPrice{Instance: "0.1", Volume: "0.0011", PublicIPv4: "0.005", Source: "Table", AsOf: metav1.Unix(7, 0)}
	if diff := cmp.Diff(want, parts); diff != "" || perHour != "0.1061" {
		t.Errorf("%s in all; parts (-want +got):\n%s", perHour, diff)
	}
	o.AddressPerHour = 0
	if _, parts := cellspec.Price(&o); parts.PublicIPv4 != "" {
		t.Errorf("without an address: %+v", parts)
	}
}
