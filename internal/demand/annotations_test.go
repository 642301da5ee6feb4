package demand_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/demand"
)

// annotated is a pod in namespace shop with annotations, given as name and value.
func annotated(pairs ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u-1", Annotations: map[string]string{}}}
	p.Spec.NodeName = "kip-default"
	for i := 0; i < len(pairs); i += 2 {
		p.Annotations[pairs[i]] = pairs[i+1]
	}
	return p
}

// openClass gives all privileges to everybody.
func openClass() *v1beta1.CellClass {
	all := v1beta1.NamespaceNames{"*"}
	class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	class.Spec.PodPrivileges = v1beta1.PodPrivileges{SecurityGroups: all, InstanceProfiles: all, Routes: all}
	return class
}

func ptr[T any](v T) *T { return &v }

func cidrs(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("10.%d.0.0/16", i))
	}
	return strings.Join(out, " ")
}

func groups(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("sg-%08x", i))
	}
	return strings.Join(out, ",")
}

// goodAnnotations are values that do, and the spec that they make.
func goodAnnotations() []struct {
	name, value string
	want        v1beta1.CellSpec
} {
	const arn = "arn:aws-us-gov:iam::123456789012:instance-profile/team/web"
	return []struct {
		name, value string
		want        v1beta1.CellSpec
	}{
		{v1beta1.AnnotationInstanceType, "m5.large", v1beta1.CellSpec{InstanceType: "m5.large"}},
		{v1beta1.AnnotationInstanceType, "u-6tb1.metal", v1beta1.CellSpec{InstanceType: "u-6tb1.metal"}},
		{v1beta1.AnnotationInstanceType, "c5*", v1beta1.CellSpec{InstanceType: "c5*"}},
		{v1beta1.AnnotationInstanceType, "*", v1beta1.CellSpec{InstanceType: "*"}},
		{v1beta1.AnnotationInstanceType, "m*.2xlarge", v1beta1.CellSpec{InstanceType: "m*.2xlarge"}},
		{v1beta1.AnnotationLaunchType, "on-demand", v1beta1.CellSpec{LaunchType: v1beta1.LaunchOnDemand}},
		{v1beta1.AnnotationLaunchType, "spot", v1beta1.CellSpec{LaunchType: v1beta1.LaunchSpot}},
		{v1beta1.AnnotationLaunchType, "spot-preferred", v1beta1.CellSpec{LaunchType: v1beta1.LaunchSpotPreferred}},
		{v1beta1.AnnotationPrivateIPOnly, "true", v1beta1.CellSpec{PrivateIPOnly: ptr(true)}},
		{v1beta1.AnnotationPrivateIPOnly, "false", v1beta1.CellSpec{PrivateIPOnly: ptr(false)}},
		{v1beta1.AnnotationSecurityGroups, "sg-0123456789abcdef0", v1beta1.CellSpec{SecurityGroups: []string{"sg-0123456789abcdef0"}}},
		{v1beta1.AnnotationSecurityGroups, "sg-01234567, sg-76543210,sg-01234567", v1beta1.CellSpec{SecurityGroups: []string{"sg-01234567", "sg-76543210"}}},
		{v1beta1.AnnotationSecurityGroups, groups(5), v1beta1.CellSpec{SecurityGroups: strings.Split(groups(5), ",")}},
		{v1beta1.AnnotationInstanceProfile, "web_1+x=2", v1beta1.CellSpec{InstanceProfile: "web_1+x=2"}},
		{v1beta1.AnnotationInstanceProfile, arn, v1beta1.CellSpec{InstanceProfile: arn}},
		{v1beta1.AnnotationHealthyTimeout, "0", v1beta1.CellSpec{HealthyTimeoutSeconds: ptr[int32](0)}},
		{v1beta1.AnnotationHealthyTimeout, "90", v1beta1.CellSpec{HealthyTimeoutSeconds: ptr[int32](90)}},
		{v1beta1.AnnotationHealthyTimeout, "2147483647", v1beta1.CellSpec{HealthyTimeoutSeconds: ptr[int32](1<<31 - 1)}},
		{v1beta1.AnnotationCloudRoute, "10.20.0.0/16", v1beta1.CellSpec{Routes: []string{"10.20.0.0/16"}}},
		{v1beta1.AnnotationCloudRoute, " 10.20.0.0/16\t0.0.0.0/0\n fd00:1::/64 10.20.0.0/16", v1beta1.CellSpec{Routes: []string{"10.20.0.0/16", "0.0.0.0/0", "fd00:1::/64"}}},
		{v1beta1.AnnotationCloudRoute, cidrs(16), v1beta1.CellSpec{Routes: strings.Fields(cidrs(16))}},
		{v1beta1.AnnotationVolumeSize, "20Gi", v1beta1.CellSpec{VolumeSize: ptr(resource.MustParse("20Gi"))}},
		{v1beta1.AnnotationVolumeSize, "1Gi", v1beta1.CellSpec{VolumeSize: ptr(resource.MustParse("1Gi"))}},
		{v1beta1.AnnotationVolumeSize, "16Ti", v1beta1.CellSpec{VolumeSize: ptr(resource.MustParse("16Ti"))}},
		{v1beta1.AnnotationVolumeSize, "5500000000", v1beta1.CellSpec{VolumeSize: ptr(resource.MustParse("5500000000"))}},
		{v1beta1.AnnotationImageOverlayRootfs, "false", v1beta1.CellSpec{ImageOverlayRootfs: ptr(false)}},
		{v1beta1.AnnotationImageOverlayRootfs, "true", v1beta1.CellSpec{ImageOverlayRootfs: ptr(true)}},
		{"kip.elotl.co/dispatched-to", "i-1", v1beta1.CellSpec{}},
		{"kubernetes.io/config.source", "api", v1beta1.CellSpec{}},
	}
}

func TestGoodAnnotations(t *testing.T) {
	for _, test := range goodAnnotations() {
		got, refusals := demand.Of(annotated(test.name, test.value), openClass(), nil)
		if len(refusals) > 0 {
			t.Errorf("%s=%s is refused: %v", test.name, test.value, refusals)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s=%s (-want +got):\n%s", test.name, test.value, diff)
		}
	}
}

// A refusal names the annotation, its value, and what would be right.
func TestBadAnnotations(t *testing.T) {
	for _, test := range []struct{ name, value, right string }{
		{v1beta1.AnnotationInstanceType, "", "such as m5.large, or a pattern, such as c5*"},
		{v1beta1.AnnotationInstanceType, "Large!", "such as m5.large"},
		{v1beta1.AnnotationInstanceType, "large", "such as m5.large"},
		{v1beta1.AnnotationInstanceType, "m5.large c5.large", "such as m5.large"},
		{v1beta1.AnnotationInstanceType, "m5.[a-z]*", "such as m5.large"},
		{v1beta1.AnnotationInstanceType, "m5." + strings.Repeat("x", 62), "such as m5.large"},
		{v1beta1.AnnotationLaunchType, "Spot", "on-demand, spot or spot-preferred"},
		{v1beta1.AnnotationLaunchType, "", "on-demand, spot or spot-preferred"},
		{v1beta1.AnnotationPrivateIPOnly, "yes", "true or false"},
		{v1beta1.AnnotationPrivateIPOnly, "", "true or false"},
		{v1beta1.AnnotationSecurityGroups, "", "such as sg-0123456789abcdef0"},
		{v1beta1.AnnotationSecurityGroups, "default", `"default" is not the ID of a security group`},
		{v1beta1.AnnotationSecurityGroups, "sg-01234567,,sg-76543210", `"" is not the ID`},
		{v1beta1.AnnotationSecurityGroups, "sg-01234567 sg-76543210", "is not the ID"},
		{v1beta1.AnnotationSecurityGroups, groups(6), "6 groups are more than the 5"},
		{v1beta1.AnnotationInstanceProfile, "", "arn:aws:iam::123456789012:instance-profile/web"},
		{v1beta1.AnnotationInstanceProfile, "arn:aws:iam::123456789012:role/web", "arn:aws:iam::123456789012:instance-profile/web"},
		{v1beta1.AnnotationInstanceProfile, strings.Repeat("p", 129), "must be the name of an instance profile"},
		{v1beta1.AnnotationInstanceProfile, "arn:aws:iam::123456789012:instance-profile/" + strings.Repeat("p", 2048), "must be the name of an instance profile"},
		{v1beta1.AnnotationHealthyTimeout, "-1", "whole number of seconds, 0 for never"},
		{v1beta1.AnnotationHealthyTimeout, "90s", "whole number of seconds"},
		{v1beta1.AnnotationHealthyTimeout, "2147483648", "whole number of seconds"},
		{v1beta1.AnnotationHealthyTimeout, "", "whole number of seconds"},
		{v1beta1.AnnotationCloudRoute, "", "1 to 16 CIDRs with white space between"},
		{v1beta1.AnnotationCloudRoute, "10.20.0.0", `"10.20.0.0" is not a CIDR, such as 10.20.0.0/16`},
		{v1beta1.AnnotationCloudRoute, "10.20.0.0/16,10.30.0.0/16", "is not a CIDR"},
		{v1beta1.AnnotationCloudRoute, "10.20.0.0/16 10.20.0.1/16", `"10.20.0.1/16" has host bits set; the network is 10.20.0.0/16`},
		{v1beta1.AnnotationCloudRoute, "::ffff:10.0.0.0/104", "is not a CIDR"},
		{v1beta1.AnnotationCloudRoute, cidrs(17), "1 to 16 CIDRs"},
		{v1beta1.AnnotationVolumeSize, "", "between 1Gi and 16Ti, such as 20Gi"},
		{v1beta1.AnnotationVolumeSize, "large", "between 1Gi and 16Ti"},
		{v1beta1.AnnotationVolumeSize, "1023Mi", "between 1Gi and 16Ti"},
		{v1beta1.AnnotationVolumeSize, "-20Gi", "between 1Gi and 16Ti"},
		{v1beta1.AnnotationVolumeSize, "20GB", "between 1Gi and 16Ti"},
		{v1beta1.AnnotationVolumeSize, "17Ti", "between 1Gi and 16Ti"},
		{v1beta1.AnnotationImageOverlayRootfs, "never", "true or false"},
		{v1beta1.AnnotationTaskRole, "arn:aws:iam::123456789012:role/web", "Fargate, where Kip puts none; give the cell a role with pod.elotl.co/instance-profile"},
		{v1beta1.AnnotationTaskExecutionRole, "web", "Fargate"},
		{"pod.elotl.co/instancetype", "m5.large", "there is no such annotation; there are instance-type, launch-type"},
		{"pod.elotl.co/", "", "there is no such annotation"},
	} {
		_, refusals := demand.Of(annotated(test.name, test.value), openClass(), nil)
		if len(refusals) != 1 || refusals[0].Reason != v1beta1.ReasonInvalidAnnotation {
			t.Errorf("%s=%s: refusals %v", test.name, test.value, refusals)
			continue
		}
		for _, text := range []string{"annotation " + test.name + ": ", fmt.Sprintf("%q", test.value), test.right} {
			if !strings.Contains(refusals[0].Message, text) {
				t.Errorf("%s=%s: %q lacks %q", test.name, test.value, refusals[0].Message, text)
			}
		}
	}
}

func TestAllThatIsWrongIsSaid(t *testing.T) {
	p := annotated(v1beta1.AnnotationLaunchType, "x", v1beta1.AnnotationVolumeSize, "y", v1beta1.AnnotationTaskRole, "z", v1beta1.AnnotationInstanceType, "m5.large")
	_, first := demand.Of(p, openClass(), nil)
	if len(first) != 3 {
		t.Errorf("%v", first)
	}
	for range 20 { // annotations come out of a map
		if _, again := demand.Of(p, openClass(), nil); !slices.Equal(first, again) {
			t.Fatalf("%v, then %v", first, again)
		}
	}
}

func TestPrivileges(t *testing.T) {
	named := func(namespaces ...string) v1beta1.NamespaceNames { return namespaces }
	for name, test := range map[string]struct {
		annotation, value, field string
		grant                    func(*v1beta1.PodPrivileges, v1beta1.NamespaceNames)
	}{
		"groups": {v1beta1.AnnotationSecurityGroups, "sg-01234567", "securityGroups",
			func(p *v1beta1.PodPrivileges, n v1beta1.NamespaceNames) { p.SecurityGroups = n }},
		"profiles": {v1beta1.AnnotationInstanceProfile, "web", "instanceProfiles",
			func(p *v1beta1.PodPrivileges, n v1beta1.NamespaceNames) { p.InstanceProfiles = n }},
		"routes": {v1beta1.AnnotationCloudRoute, "10.20.0.0/16", "routes", func(p *v1beta1.PodPrivileges, n v1beta1.NamespaceNames) { p.Routes = n }},
	} {
		pod := annotated(test.annotation, test.value)
		for what, c := range map[string]struct {
			namespaces v1beta1.NamespaceNames
			allowed    bool
		}{
			"nobody": {nil, false}, "another": {named("shop2", "sho"), false}, "itself": {named("other", "shop"), true}, "all": {named("*"), true},
		} {
			class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
			test.grant(&class.Spec.PodPrivileges, c.namespaces)
			_, refusals := demand.Of(pod, class, nil)
			if c.allowed != (len(refusals) == 0) {
				t.Errorf("%s for %s: %v", name, what, refusals)
				continue
			}
			for _, r := range refusals {
				want := fmt.Sprintf(`annotation %s: %q: namespace "shop" may not ask for it: CellClass "default" does not list it in spec.podPrivileges.%s`,
					test.annotation, test.value, test.field)
				if r.Reason != v1beta1.ReasonNotPrivileged || r.Message != want {
					t.Errorf("%s for %s: %s: %s", name, what, r.Reason, r.Message)
				}
			}
		}
		others := openClass()
		test.grant(&others.Spec.PodPrivileges, nil)
		if _, refusals := demand.Of(pod, others, nil); len(refusals) != 1 {
			t.Errorf("%s: another privilege is enough: %v", name, refusals)
		}
		if _, refusals := demand.Of(pod, nil, nil); len(refusals) != 1 || !strings.Contains(refusals[0].Message, "there is no CellClass") {
			t.Errorf("%s without a class: %v", name, refusals)
		}
	}
}
