package cellclass

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/test/fixture"
)

func TestResolved(t *testing.T) {
	b := newBench(t).start()
	is := b.ready(b.class())
	want := v1beta1.CellClassStatus{
		Conditions: is.Status.Conditions,
		Node:       "kip-resolved",
		Nodes:      []string{"kip-resolved"},
		VPCID:      vpc, Architecture: "amd64", SecurityGroups: []string{group},
		Subnets: []v1beta1.ResolvedSubnet{
			{ID: subnetA, Zone: "us-east-1a", FreeAddresses: 59}, {ID: subnetB, Zone: "us-east-1b", FreeAddresses: 59},
		},
		Images: []v1beta1.ResolvedImage{
			{Architecture: "amd64", Accelerator: "none", ID: "ami-0c0ffee0000000002", Name: "kip-cell-debian-13-amd64-20260914",
				RootDevice: "/dev/xvda", MinVolumeGiB: 4, Needs: []string{"hvm"}},
			{Architecture: "arm64", Accelerator: "none", ID: "ami-0c0ffee0000000005", Name: "kip-cell-debian-13-arm64-20260914",
				RootDevice: "/dev/xvda", MinVolumeGiB: 4, Needs: []string{"hvm"}},
		},
	}
	if diff := cmp.Diff(want, is.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	waitForObjects(b)
	for _, action := range []string{"DescribeSubnets", "DescribeSecurityGroups", "DescribeImages"} {
		if n := len(b.cloud.Calls(action)); n != 1 {
			t.Errorf("%s was called %d times", action, n)
		}
	}
}

// TestDefaultGroup: the VPC's own group is named where the class names none, and
// only there.
func TestDefaultGroup(t *testing.T) {
	b := newBench(t).start()
	const defaultGroup, extra = "sg-0000000c0ffee0020", "sg-0000000c0ffee0021"
	class := b.class(func(s *v1beta1.CellClassSpec) { s.ExtraSecurityGroups = nil })
	if is := b.ready(class); !slices.Equal(is.Status.SecurityGroups, []string{defaultGroup}) {
		t.Errorf("groups %v", is.Status.SecurityGroups)
	}
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.ExtraSecurityGroups = []string{extra} })
	if is := b.ready(class); !slices.Equal(is.Status.SecurityGroups, []string{extra}) {
		t.Errorf("groups %v", is.Status.SecurityGroups)
	}
}

// withoutGroups is a cloud whose VPC has no default group.
type withoutGroups struct{ Cloud }

func (withoutGroups) DefaultSecurityGroup(_ context.Context, vpcID string) (cloud.SecurityGroup, error) {
	return cloud.SecurityGroup{}, cloud.NotFound("ec2:DescribeSecurityGroups", vpcID)
}

func TestNoDefaultGroup(t *testing.T) {
	b := newBench(t)
	b.wrap = func(o *Options) { o.Cloud = withoutGroups{o.Cloud} }
	b.start()
	b.unready(b.class(func(s *v1beta1.CellClassSpec) { s.ExtraSecurityGroups = nil }),
		v1beta1.ReasonGroupNotFound, "spec.extraSecurityGroups", vpc)
}

func TestImagesByFilter(t *testing.T) {
	b := newBench(t).start()
	is := b.ready(b.class(func(s *v1beta1.CellClassSpec) {
		s.BootImageSpec = v1beta1.BootImageSpec{
			Owners:  "amazon",
			Filters: "name=kip-cell-al2023-* architecture=x86_64",
		}
	}))
	if images := is.Status.Images; len(images) != 1 || images[0].ID != "ami-0a11ce00000000002" {
		t.Errorf("images %+v", images)
	}
}

// TestBadInput: what cannot work is refused with the field's path and value,
// and works as soon as it is mended.
func TestBadInput(t *testing.T) {
	for name, test := range map[string]struct {
		spoil  func(*v1beta1.CellClassSpec)
		reason string
		texts  []string
	}{
		"subnet": {
			func(s *v1beta1.CellClassSpec) { s.AWS.Subnets = []string{subnetA, "subnet-0123456789abcdef0"} },
			v1beta1.ReasonSubnetNotFound, []string{"spec.aws.subnets[1]", "subnet-0123456789abcdef0"},
		},
		"group": {
			func(s *v1beta1.CellClassSpec) { s.ExtraSecurityGroups = []string{"sg-0123456789abcdef0", group} },
			v1beta1.ReasonGroupNotFound, []string{"spec.extraSecurityGroups[0]", "sg-0123456789abcdef0"},
		},
		"image id": {
			func(s *v1beta1.CellClassSpec) {
				s.BootImageSpec = v1beta1.BootImageSpec{ImageIDs: "ami-0c0ffee0000000002 ami-0123456789abcdef0"}
			},
			v1beta1.ReasonImageNotFound, []string{"spec.bootImageSpec.imageIDs", "ami-0123456789abcdef0"},
		},
		"image filter": {
			func(s *v1beta1.CellClassSpec) {
				s.BootImageSpec = v1beta1.BootImageSpec{Owners: "self", Filters: "name=no-such-* architecture=arm64"}
			},
			v1beta1.ReasonImageNotFound, []string{"spec.bootImageSpec", "owners self", "filters name=no-such-* architecture=arm64"},
		},
		"unknown filter": {
			func(s *v1beta1.CellClassSpec) {
				s.BootImageSpec = v1beta1.BootImageSpec{Filters: "flavour=sweet"}
			},
			v1beta1.ReasonInvalidImageSpec, []string{"spec.bootImageSpec", "flavour"},
		},
		"other state": {
			func(s *v1beta1.CellClassSpec) {
				s.BootImageSpec = v1beta1.BootImageSpec{Owners: "self", Filters: "state=pending"}
			},
			v1beta1.ReasonInvalidImageSpec, []string{"spec.bootImageSpec", "filter state=pending", "leave it out"},
		},
		"parameters": {
			func(s *v1beta1.CellClassSpec) {
				s.UseCloudParameterStore, s.DefaultIAMPermissions, s.CellConfig = true, "web", map[string]v1beta1.CellConfigValue{}
				for i := range 11 {
					s.CellConfig[fmt.Sprintf("key%d", i)] = v1beta1.CellConfigValue(strings.Repeat("x", 4000))
				}
			},
			v1beta1.ReasonParametersTooLarge, []string{"spec.cellConfig", "the limit is 40960"},
		},
		"pending image": {
			func(s *v1beta1.CellClassSpec) {
				s.BootImageSpec = v1beta1.BootImageSpec{ImageIDs: "ami-0c0ffee0000000004"}
			},
			v1beta1.ReasonImageNotFound, []string{"spec.bootImageSpec", "available", "ami-0c0ffee0000000004"},
		},
		"instance type": {
			func(s *v1beta1.CellClassSpec) { s.DefaultInstanceType = "t9.huge" },
			v1beta1.ReasonInvalidInstanceType, []string{"spec.defaultInstanceType", "t9.huge"},
		},
		"cloud-init": {
			func(s *v1beta1.CellClassSpec) { s.CloudInit = "#cloud-config\nruncmd: [\n" },
			v1beta1.ReasonInvalidCloudInit, []string{"spec.cloudInit", "line"},
		},
		"cloud-init of no format": {
			func(s *v1beta1.CellClassSpec) { s.CloudInit = "MIME-Version: 1.0\nContent-Type: text/plain\n" },
			v1beta1.ReasonInvalidCloudInit, []string{"spec.cloudInit", "no empty line behind its head"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.name = fmt.Sprintf("bad-%x", name)
			b.start()
			class := b.class(test.spoil)
			is := b.unready(class, test.reason, test.texts...)
			if message := is.Status.Conditions[0].Message; strings.Count(message, "cloudInit") > 1 {
				t.Errorf("message %q says it twice", message)
			}
			edit(b, class, func(c *v1beta1.CellClass) {
				c.Spec.AWS.Subnets, c.Spec.ExtraSecurityGroups = []string{subnetB}, nil
				c.Spec.BootImageSpec = v1beta1.BootImageSpec{Owners: "self"}
				c.Spec.DefaultInstanceType, c.Spec.CloudInit = "m5.large", "#cloud-config\n{}\n"
				c.Spec.CellConfig = nil
			})
			b.ready(class)
			edit(b, class, func(c *v1beta1.CellClass) { test.spoil(&c.Spec) })
			b.unready(class, test.reason, test.texts...)
		})
	}
}

// elsewhere is a cloud where one subnet or group is in another VPC than EC2's
// emulation, which has only one, would have it.
type elsewhere struct {
	Cloud
	id string
}

func (e elsewhere) Subnets(ctx context.Context, ids []string) ([]cloud.Subnet, error) {
	subnets, err := e.Cloud.Subnets(ctx, ids)
	for i := range subnets {
		if subnets[i].ID == e.id {
			subnets[i].VPCID = "vpc-other"
		}
	}
	return subnets, err
}

func (e elsewhere) SecurityGroups(ctx context.Context, ids []string) ([]cloud.SecurityGroup, error) {
	groups, err := e.Cloud.SecurityGroups(ctx, ids)
	for i := range groups {
		if groups[i].ID == e.id {
			groups[i].VPCID = "vpc-other"
		}
	}
	return groups, err
}

func TestTwoVPCs(t *testing.T) {
	for name, test := range map[string]struct{ id, reason, path string }{
		"subnet": {subnetB, v1beta1.ReasonInvalidSubnets, "spec.aws.subnets[1]"},
		"group":  {group, v1beta1.ReasonGroupNotFound, "spec.extraSecurityGroups[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.wrap = func(o *Options) { o.Cloud = elsewhere{o.Cloud, test.id} }
			b.start()
			b.unready(b.class(), test.reason, test.path, test.id, "vpc-other", vpc)
		})
	}
}

// TestRefused: what the operator may not ask is said, and looked at again.
func TestRefused(t *testing.T) {
	b := newBench(t).start()
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeImages", Code: "UnauthorizedOperation"}}})
	class := b.class()
	b.unready(class, v1beta1.ReasonNotAuthorized, "spec.bootImageSpec", "ec2:DescribeImages")
	b.cloud.Spoil(t, faults.Plan{})
	b.clock.Advance(retryEvery)
	b.poke(class)
	b.ready(class)
}

// TestCloudIsAway: a class that was Ready stays so; one that is new, or was
// changed, is not known to be any good.
func TestCloudIsAway(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	before := b.ready(class)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "Describe*", Code: "RequestLimitExceeded"}}})
	b.clock.Advance(resolveEvery)
	asked := len(b.cloud.Calls("DescribeSubnets"))
	b.poke(class)
	fixture.Eventually(t, "the cloud has been asked in vain", func(context.Context) error {
		if n := len(b.cloud.Calls("DescribeSubnets")); n < asked+4 { // the SDK asks four times
			return fmt.Errorf("asked %d times", n-asked)
		}
		return nil
	})
	after := b.ready(class)
	if diff := cmp.Diff(before.Status, after.Status); diff != "" {
		t.Errorf("status (-before +after):\n%s", diff)
	}
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.DefaultInstanceType = "t3.micro" })
	b.unready(class, v1beta1.ReasonThrottled, "RequestLimitExceeded")
	b.cloud.Spoil(t, faults.Plan{})
	b.clock.Advance(retryEvery)
	b.poke(class)
	b.ready(class)
}

// failingStatus refuses the status writes for which fail says so.
type failingStatus struct {
	client.Client
	fail func() bool
}

func (f *failingStatus) Status() client.SubResourceWriter {
	return &failingWriter{f.Client.Status(), f.fail}
}

type failingWriter struct {
	client.SubResourceWriter
	fail func() bool
}

func (f *failingWriter) Update(ctx context.Context, o client.Object, options ...client.SubResourceUpdateOption) error {
	if f.fail() {
		return errors.New("no status today")
	}
	return f.SubResourceWriter.Update(ctx, o, options...)
}

// TestStatusWriteFails: what was found is not lost with the write.
func TestStatusWriteFails(t *testing.T) {
	b := newBench(t)
	var left atomic.Int32
	left.Store(1)
	b.wrap = func(o *Options) { o.Client = &failingStatus{o.Client, func() bool { return left.Add(-1) >= 0 }} }
	b.start()
	class := b.class()
	b.ready(class)
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeSubnets", Code: "UnauthorizedOperation"}}})
	left.Store(1)
	b.clock.Advance(resolveEvery)
	b.poke(class)
	b.unready(class, v1beta1.ReasonNotAuthorized)
}

func TestStatusErased(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	before := b.ready(class)
	fixture.Eventually(t, "status is erased", func(ctx context.Context) error {
		is, err := fixture.Get(ctx, b, class)
		if err != nil {
			return err
		}
		is.Status = v1beta1.CellClassStatus{}
		return b.Status().Update(ctx, is)
	})
	after := b.ready(class)
	for _, status := range []*v1beta1.CellClassStatus{&before.Status, &after.Status} {
		status.Conditions[0].LastTransitionTime = metav1.Time{}
	}
	if diff := cmp.Diff(before.Status, after.Status); diff != "" {
		t.Errorf("status (-before +after):\n%s", diff)
	}
}

// TestLookedUpAgain: the cloud is asked when it is time, not at every event.
func TestLookedUpAgain(t *testing.T) {
	b := newBench(t).start()
	class := b.class()
	b.ready(class)
	calls := func() int { return len(b.cloud.Calls("DescribeImages")) }
	before := calls()
	labels := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"more":"labels"}}}`))
	if err := b.Patch(t.Context(), class, labels); err != nil {
		t.Fatal(err)
	}
	b.poke(class)
	b.clock.Advance(resolveEvery - time.Minute)
	b.poke(class)
	if n := calls() - before; n != 0 {
		t.Errorf("asked %d times without need", n)
	}
	b.clock.Advance(time.Minute)
	b.poke(class)
	fixture.Eventually(t, "the class is looked up again", func(context.Context) error {
		if calls() == before {
			return errors.New("not asked")
		}
		return nil
	})
}

func TestNewestByArchitecture(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	got := newestByArchitecture([]cloud.Image{
		{ID: "ami-4", Architecture: cloud.ARM64, Created: at(1)},
		{ID: "ami-1", Architecture: cloud.AMD64, Created: at(2)},
		{ID: "ami-3", Architecture: cloud.AMD64, Created: at(3)},
		{ID: "ami-2", Architecture: cloud.AMD64, Created: at(3)},
		{ID: "ami-5", Architecture: "i386", Created: at(9)},
	})
	slices.SortFunc(got, func(a, b cloud.Image) int { return strings.Compare(a.ID, b.ID) })
	want := []cloud.Image{{ID: "ami-3", Architecture: cloud.AMD64, Created: at(3)}, {ID: "ami-4", Architecture: cloud.ARM64, Created: at(1)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
