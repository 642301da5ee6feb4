package selection

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/api/v1beta1"
)

func class() v1beta1.CellClassStatus {
	return v1beta1.CellClassStatus{
		Images: []v1beta1.ResolvedImage{
			{Architecture: "amd64", ID: "ami-x", RootDevice: "/dev/xvda"},
			{Architecture: "arm64", ID: "ami-a", RootDevice: "/dev/sda1"},
		},
		Subnets: []v1beta1.ResolvedSubnet{{ID: "subnet-b", Zone: "b"}, {ID: "subnet-a", Zone: "a"}, {ID: "subnet-a2", Zone: "a"}},
	}
}

func x86(edit ...func(*Type)) Type {
	t := Type{Name: "t3.nano", Architectures: []string{"amd64"}, IPv4PerInterface: 2, Zones: []string{"a", "b", "c"}}
	for _, e := range edit {
		e(&t)
	}
	return t
}

func none(Offering) bool { return false }

func offering(subnet, zone, image, device string) Offering {
	architecture := map[string]string{"ami-x": "amd64", "ami-a": "arm64"}[image]
	return Offering{InstanceType: "t3.nano", Zone: zone, SubnetID: subnet, LaunchType: v1beta1.LaunchOnDemand,
		Image: v1beta1.ResolvedImage{Architecture: architecture, ID: image, RootDevice: device}}
}

func TestSelect(t *testing.T) {
	inB, inA, inA2 := offering("subnet-b", "b", "ami-x", "/dev/xvda"), offering("subnet-a", "a", "ami-x", "/dev/xvda"), offering("subnet-a2", "a", "ami-x", "/dev/xvda")
	for name, test := range map[string]struct {
		instanceType Type
		class        v1beta1.CellClassStatus
		dry          func(Offering) bool
		want         Result
	}{
		"in the order of the class": {x86(), class(), none, Result{Candidates: []Offering{inB, inA, inA2}}},
		"the architecture's image": {
			x86(func(t *Type) { t.Architectures = []string{"arm64"} }),
			v1beta1.CellClassStatus{Images: class().Images, Subnets: class().Subnets[:1]}, none,
			Result{Candidates: []Offering{offering("subnet-b", "b", "ami-a", "/dev/sda1")}},
		},
		"too few addresses": {x86(func(t *Type) { t.IPv4PerInterface = 1 }), class(), none, Result{Rejections: []Rejection{
			{StepAddresses, "", "t3.nano holds 1 addresses on an interface, a cell needs 2"},
		}}},
		"no image": {x86(), v1beta1.CellClassStatus{Images: class().Images[1:], Subnets: class().Subnets}, none, Result{Rejections: []Rejection{
			{StepArchitecture, "", "t3.nano is amd64, for which bootImageSpec matched no image"},
		}}},
		"no image for either": {
			x86(func(t *Type) { t.Architectures = []string{"i386", "amd64"} }), v1beta1.CellClassStatus{Subnets: class().Subnets}, none,
			Result{Rejections: []Rejection{{StepArchitecture, "", "t3.nano is i386 or amd64, for which bootImageSpec matched no image"}}},
		},
		"not in this zone": {x86(func(t *Type) { t.Zones = []string{"a"} }), class(), none, Result{
			Candidates: []Offering{inA, inA2},
			Rejections: []Rejection{{StepZone, "subnet-b", "t3.nano is not offered in b (subnet-b)"}},
		}},
		"dry": {x86(), class(), func(o Offering) bool { return o.Zone == "a" }, Result{
			Candidates: []Offering{inB},
			Rejections: []Rejection{
				{StepCapacity, "subnet-a", "t3.nano had no capacity in a (subnet-a) a short while ago"},
				{StepCapacity, "subnet-a2", "t3.nano had no capacity in a (subnet-a2) a short while ago"},
			},
		}},
		"no subnets": {x86(), v1beta1.CellClassStatus{Images: class().Images}, none, Result{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Select(test.instanceType, test.class, test.dry)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestArgumentsStay: what is passed in is not changed, also not by a change of
// the result.
func TestArgumentsStay(t *testing.T) {
	status := class()
	result := Select(x86(), status, none)
	result.Candidates[0].Image.ID = "changed"
	if diff := cmp.Diff(class(), status); diff != "" {
		t.Errorf("the class (-before +after):\n%s", diff)
	}
}

func TestExplain(t *testing.T) {
	status := class()
	status.Subnets = status.Subnets[:2]
	result := Select(x86(func(t *Type) { t.Zones = []string{"b"} }), status, func(Offering) bool { return true })
	want := "t3.nano had no capacity in b (subnet-b) a short while ago; t3.nano is not offered in a (subnet-a)"
	if got := result.Explain(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (Result{}).Explain(); got != "" {
		t.Errorf("nothing is explained by %q", got)
	}
}

// TestKey: the subnet and the image make no difference to a pool.
func TestKey(t *testing.T) {
	one, same := offering("subnet-a", "a", "ami-x", ""), offering("subnet-a2", "a", "ami-a", "")
	if one.Key() != same.Key() {
		t.Errorf("%q and %q", one.Key(), same.Key())
	}
	for name, other := range map[string]Offering{
		"type": {InstanceType: "t3.micro", Zone: "a", LaunchType: v1beta1.LaunchOnDemand},
		"zone": {InstanceType: "t3.nano", Zone: "b", LaunchType: v1beta1.LaunchOnDemand},
		"spot": {InstanceType: "t3.nano", Zone: "a", LaunchType: v1beta1.LaunchSpot},
	} {
		if other.Key() == one.Key() {
			t.Errorf("%s: both %q", name, one.Key())
		}
	}
}
