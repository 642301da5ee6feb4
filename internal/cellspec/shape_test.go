package cellspec_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellspec"
)

func shapedClass() *v1beta1.CellClass {
	class := &v1beta1.CellClass{}
	class.Spec.AWS.Subnets = []string{"subnet-1"}
	class.Spec.DefaultIAMPermissions = "cells"
	class.Status.Images = []v1beta1.ResolvedImage{{ID: "ami-1"}}
	class.Status.SecurityGroups = []string{"sg-1", "sg-2"}
	return class
}

// Each field that shapes cells is told of, and no other.
func TestDrift(t *testing.T) {
	ten := resource.MustParse("10Gi")
	for want, change := range map[string]func(*v1beta1.CellClass){
		"spec.bootImageSpec (no longer image ami-1)": func(c *v1beta1.CellClass) { c.Status.Images[0].ID = "ami-2" },
		"spec.aws.subnets (no longer subnet-1)":      func(c *v1beta1.CellClass) { c.Spec.AWS.Subnets[0] = "subnet-2" },
		"spec.itzo":                                  func(c *v1beta1.CellClass) { c.Spec.Itzo.Version = "v3" },
		"spec.cellConfig":                            func(c *v1beta1.CellClass) { c.Spec.CellConfig = map[string]v1beta1.CellConfigValue{"a": "b"} },
		"spec.extraSecurityGroups":                   func(c *v1beta1.CellClass) { c.Status.SecurityGroups = []string{"sg-1"} },
		"spec.privateIPOnly":                         func(c *v1beta1.CellClass) { c.Spec.PrivateIPOnly = new(bool) },
		"spec.powerOffAfter":                         func(c *v1beta1.CellClass) { c.Spec.PowerOffAfter = &metav1.Duration{Duration: time.Hour} },
		"spec.useCloudParameterStore":                func(c *v1beta1.CellClass) { c.Spec.UseCloudParameterStore = true },
		"spec.defaultIAMPermissions":                 func(c *v1beta1.CellClass) { c.Spec.DefaultIAMPermissions = "others" },
		"spec.aws.tags":                              func(c *v1beta1.CellClass) { c.Spec.AWS.Tags = map[string]v1beta1.TagValue{"a": "b"} },
		"spec.aws.tenancy":                           func(c *v1beta1.CellClass) { c.Spec.AWS.Tenancy = "dedicated" },
		"spec.aws.rootVolume":                        func(c *v1beta1.CellClass) { c.Spec.DefaultVolumeSize = &ten },
		"": func(c *v1beta1.CellClass) {
			c.Generation++
			c.Status.SecurityGroups = []string{"sg-2", "sg-1"}
			c.Status.Images = append(c.Status.Images, v1beta1.ResolvedImage{ID: "ami-2"})
			c.Spec.MaxPricePerHour, c.Spec.RunDaemonSets, c.Spec.DefaultInstanceType = "5", true, "m5.large"
			c.Spec.StandbyCells = []v1beta1.StandbyCells{{InstanceType: "m5.large", Count: 2}}
		},
	} {
		class, spec := shapedClass(), &v1beta1.CellSpec{}
		attempt := &v1beta1.LaunchAttempt{ImageID: "ami-1", SubnetID: "subnet-1", Shape: cellspec.Shape(spec, class, "#cloud-config")}
		change(class)
		if got := strings.Join(cellspec.Drift(spec, attempt, class, "#cloud-config"), ", "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What the Cell says itself does not change with its class, and of what is not
// known nothing is said.
func TestDriftOfWhatTheClassDoesNotShape(t *testing.T) {
	class, twenty, yes := shapedClass(), resource.MustParse("20Gi"), true
	spec := &v1beta1.CellSpec{InstanceProfile: "web", VolumeSize: &twenty, PrivateIPOnly: &yes}
	attempt := &v1beta1.LaunchAttempt{ImageID: "ami-1", SubnetID: "subnet-1", Shape: cellspec.Shape(spec, class, "one")}
	class.Spec.DefaultIAMPermissions, class.Spec.DefaultVolumeSize, class.Spec.PrivateIPOnly = "others", &twenty, &yes
	if got := cellspec.Drift(spec, attempt, class, "one"); got != nil {
		t.Errorf("got %v", got)
	}
	if diff := cmp.Diff([]string{"spec.cloudInit"}, cellspec.Drift(spec, attempt, class, "two")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	attempt.Shape = ""
	if got := cellspec.Drift(spec, attempt, class, "two"); got != nil {
		t.Errorf("of an earlier release: %v", got)
	}
	if shape := cellspec.Shape(spec, class, "one"); len(shape) > 256 {
		t.Errorf("%d characters do not go into a tag", len(shape))
	}
}
