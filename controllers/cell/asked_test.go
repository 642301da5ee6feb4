package cell

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/api/v1beta1"
)

// launchParams are the parameters of the only launch call, by the ends of their
// names.
func (b *bench) launchParams() map[string]string {
	b.Helper()
	calls := b.cloud.Calls("RunInstances")
	if len(calls) != 1 {
		b.Fatalf("%d launches", len(calls))
	}
	return calls[0].Params
}

func (b *bench) wantParams(want map[string]string) {
	b.Helper()
	is := b.launchParams()
	for name, value := range want {
		if is[name] != value {
			b.Errorf("%s is %q, want %q", name, is[name], value)
		}
	}
	if b.Failed() {
		b.Logf("parameters %v", is)
	}
}

// TestCredits: CPU above the baseline is paid for where that is the cheapest,
// and the class lets it.
func TestCredits(t *testing.T) {
	for name, test := range map[string]struct {
		cpu     string
		mode    v1beta1.BurstableMode
		credits string
		price   string
	}{
		"below the baseline": {"300m", v1beta1.BurstableUnlimited, "standard", "0.0411"},
		// t3.medium gives 0.4 CPUs for good; the rest costs 0.05 USD each.
		"above": {"1400m", v1beta1.BurstableUnlimited, "unlimited", "0.0911"},
	} {
		t.Run(name, func(t *testing.T) {
			b := market(t, map[string]float64{"t3.medium": 0.04, "m5.large": 0.10}, nil,
				func(s *v1beta1.CellClassSpec) { s.InstanceTypes.Burstable = test.mode })
			is := b.booting(b.cell(needs(test.cpu, "1Gi")))
			if is.Status.InstanceType != "t3.medium" || is.Status.PricePerHour != test.price || is.Status.Attempts[0].CPUCredits != test.credits {
				t.Errorf("%+v", is.Status)
			}
			b.wantParams(map[string]string{"CreditSpecification.CpuCredits": test.credits})
		})
	}
}

// TestBurstableForbidden: another type is taken.
func TestBurstableForbidden(t *testing.T) {
	for mode, cpu := range map[v1beta1.BurstableMode]string{v1beta1.BurstableNever: "100m", v1beta1.BurstableStandard: "1400m"} {
		t.Run(string(mode), func(t *testing.T) {
			b := market(t, map[string]float64{"t3.medium": 0.04, "m5.large": 0.10}, nil,
				func(s *v1beta1.CellClassSpec) { s.InstanceTypes.Burstable = mode })
			if is := b.booting(b.cell(needs(cpu, "1Gi"))); is.Status.InstanceType != "m5.large" {
				t.Errorf("type %s", is.Status.InstanceType)
			}
		})
	}
}

// TestLaunchCall: what class and Cell ask for reaches the cloud.
func TestLaunchCall(t *testing.T) {
	b := newBench(t).start()
	yes, iops, throughput := true, int32(4000), int32(200)
	size := resource.MustParse("20Gi")
	b.readyClass(func(s *v1beta1.CellClassSpec) {
		s.AWS.RootVolume = v1beta1.RootVolumeSpec{Type: "gp3", IOPS: &iops, Throughput: &throughput, Encrypted: &yes}
		s.AWS.Tenancy = "dedicated"
	})
	b.booting(b.cell(func(c *v1beta1.Cell) {
		c.Spec.InstanceType = "m5.large"
		c.Spec.VolumeSize = &size
		c.Spec.SecurityGroups = []string{group, "sg-0000000c0ffee0020"}
		c.Spec.InstanceProfile = "kip-profile"
		c.Spec.PrivateIPOnly = &yes
	}))
	b.wantParams(map[string]string{
		"InstanceType":                                 "m5.large",
		"Placement.Tenancy":                            "dedicated",
		"IamInstanceProfile.Name":                      "kip-profile",
		"NetworkInterface.1.SecurityGroupId.1":         group,
		"NetworkInterface.1.SecurityGroupId.2":         "sg-0000000c0ffee0020",
		"NetworkInterface.1.SecurityGroupId.3":         "",
		"NetworkInterface.1.AssociatePublicIpAddress":  "false",
		"BlockDeviceMapping.1.Ebs.VolumeSize":          "20",
		"BlockDeviceMapping.1.Ebs.VolumeType":          "gp3",
		"BlockDeviceMapping.1.Ebs.Iops":                "4000",
		"BlockDeviceMapping.1.Ebs.Throughput":          "200",
		"BlockDeviceMapping.1.Ebs.Encrypted":           "true",
		"BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true",
	})
}

// TestGroupsBesideTheDefault: a class that names no group has the VPC's default
// one, and a pod's groups come beside it.
func TestGroupsBesideTheDefault(t *testing.T) {
	b := newBench(t).start()
	b.readyClass(func(s *v1beta1.CellClassSpec) { s.ExtraSecurityGroups = nil })
	b.booting(b.cell(func(c *v1beta1.Cell) { c.Spec.SecurityGroups = []string{"sg-0000000c0ffee0021"} }))
	b.wantParams(map[string]string{
		"NetworkInterface.1.SecurityGroupId.1": "sg-0000000c0ffee0020",
		"NetworkInterface.1.SecurityGroupId.2": "sg-0000000c0ffee0021",
		"NetworkInterface.1.SecurityGroupId.3": "",
	})
}

// TestNoPublicAddressAgainstTheClass: where the class gives none, nobody gets one.
func TestNoPublicAddressAgainstTheClass(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		class, cell *bool
		public      string
	}{
		"class":          {&yes, nil, "false"},
		"against it":     {&yes, &no, "false"},
		"cell":           {&no, &yes, "false"},
		"both public":    {&no, &no, "true"},
		"only the cell":  {nil, &no, "true"},
		"as the subnets": {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			b.readyClass(func(s *v1beta1.CellClassSpec) { s.PrivateIPOnly = test.class })
			b.booting(b.cell(func(c *v1beta1.Cell) { c.Spec.PrivateIPOnly = test.cell }))
			b.wantParams(map[string]string{"NetworkInterface.1.AssociatePublicIpAddress": test.public})
		})
	}
}

// TestKilledAtParticularLaunch: the repeated call is the same in all that was
// asked for, so that the token finds the instance.
func TestKilledAtParticularLaunch(t *testing.T) {
	b := newBench(t)
	b.class(func(s *v1beta1.CellClassSpec) {
		s.DefaultInstanceType, s.DefaultLaunchType, s.AWS.Tenancy = "t3.medium", v1beta1.LaunchSpot, "default"
		s.AWS.RootVolume.Type = "gp2"
	})
	left := b.killAtLaunch(true)
	is := b.start().ready(left)
	b.wantOneLaunch(is)
	if is.Status.LaunchType != v1beta1.LaunchSpot || is.Status.PricePerHour != left.Status.PricePerHour || is.Status.PricePerHour == "" {
		t.Errorf("%s at %q, before %q", is.Status.LaunchType, is.Status.PricePerHour, left.Status.PricePerHour)
	}
	calls := b.cloud.Calls("RunInstances")
	if diff := cmp.Diff(calls[0].Params, calls[len(calls)-1].Params); diff != "" || len(calls) < 2 {
		t.Errorf("%d calls; the last one (-first +last):\n%s", len(calls), diff)
	}
}

// TestNothingWillDo: nothing is launched, and the Cell says what would be right.
func TestNothingWillDo(t *testing.T) {
	size := resource.MustParse("2Gi")
	for name, test := range map[string]struct {
		class  func(*v1beta1.CellClassSpec)
		cell   func(*v1beta1.Cell)
		reason string
		texts  []string
	}{
		"pattern": {nil, func(c *v1beta1.Cell) { c.Spec.InstanceType = "z9*" },
			v1beta1.ReasonInvalidInstanceType, []string{"spec.instanceType: ", `no instance type of this region matches "z9*"`}},
		"pattern too small": {nil, func(c *v1beta1.Cell) { c.Spec.InstanceType = "t3*"; needs("1", "200Gi")(c) },
			v1beta1.ReasonNoFittingType, []string{"needs 200Gi memory", `matches "t3*"`, "t3.2xlarge", "32Gi"}},
		"zones": {func(s *v1beta1.CellClassSpec) { s.AWS.Subnets = []string{subnetB} }, func(c *v1beta1.Cell) { c.Spec.InstanceType = "m5d.large" },
			v1beta1.ReasonInvalidInstanceType, []string{"m5d.large is offered in us-east-1a, us-east-1c", "subnets are in us-east-1b"}},
		"memory": {func(s *v1beta1.CellClassSpec) { s.InstanceTypes.Allowed = []v1beta1.TypePattern{"m5.*", "r5.*"} }, needs("1", "900Gi"),
			v1beta1.ReasonNoFittingType, []string{"needs 900Gi memory; the largest allowed type, r5.24xlarge, has 768Gi"}},
		"price": {func(s *v1beta1.CellClassSpec) { s.MaxPricePerHour = "0.001" }, needs("1", "1Gi"),
			v1beta1.ReasonNoFittingType, []string{"maxPricePerHour is 0.001", "the cheapest of"}},
		"volume": {nil, func(c *v1beta1.Cell) { c.Spec.VolumeSize = &size },
			v1beta1.ReasonInvalidVolumeSize, []string{"spec.volumeSize: 2Gi", "4Gi", newest}},
		"default type": {func(s *v1beta1.CellClassSpec) { s.InstanceTypes.Excluded = []v1beta1.TypePattern{"t3.*"} }, func(*v1beta1.Cell) {},
			v1beta1.ReasonInvalidInstanceType, []string{"spec.defaultInstanceType: t3.nano is among the class's excluded"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			if test.class == nil {
				test.class = func(*v1beta1.CellClassSpec) {}
			}
			b.readyClass(test.class)
			cell := b.cell(test.cell)
			b.unready(cell, test.reason, test.texts...)
			b.event(cell, test.reason)
			if calls := b.cloud.Calls("RunInstances"); len(calls) > 0 {
				t.Errorf("launches %+v", calls)
			}
		})
	}
}

// TestRefusedLaunch: what only the launch call finds out is named, and not
// asked for again at once.
func TestRefusedLaunch(t *testing.T) {
	for name, test := range map[string]struct {
		cell         func(*v1beta1.Cell)
		reason, text string
	}{
		"security group": {func(c *v1beta1.Cell) { c.Spec.SecurityGroups = []string{group, "sg-0123456789abcdef0"} },
			v1beta1.ReasonGroupNotFound, `spec.securityGroups: "sg-0123456789abcdef0": no security group of this ID in VPC vpc-0000000c0ffee0001`},
		"instance profile": {func(c *v1beta1.Cell) { c.Spec.InstanceProfile = "nobodys" },
			v1beta1.ReasonProfileNotFound, `spec.instanceProfile: "nobodys": no instance profile`},
		"instance profile by ARN": {func(c *v1beta1.Cell) { c.Spec.InstanceProfile = "arn:aws:iam::123456789012:instance-profile/nobodys" },
			v1beta1.ReasonProfileNotFound, `spec.instanceProfile: "arn:aws:iam::123456789012:instance-profile/nobodys": no instance profile`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).start()
			b.readyClass()
			cell := b.cell(test.cell)
			b.unready(cell, test.reason, test.text)
			b.event(cell, test.reason)
			b.clock.Advance(refusedFirst / 2)
			b.pokeAndWait(cell)
			if calls := b.cloud.Calls("RunInstances"); len(calls) != 1 {
				t.Errorf("%d launches", len(calls))
			}
			b.clock.Advance(refusedFirst)
			b.poke(cell)
			b.wait(cell, "it is tried again", func(is *v1beta1.Cell) error { return wantAttempts(is, 2) })
			b.clock.Advance(2*refusedFirst - 3*time.Second)
			b.pokeAndWait(cell)
			if calls := b.cloud.Calls("RunInstances"); len(calls) != 2 {
				t.Errorf("%d launches", len(calls))
			}
		})
	}
}

// TestParticularAboutWhere: of a pod without resources that says where it is to
// run, another than the default type may do.
func TestParticularAboutWhere(t *testing.T) {
	b := newBench(t).start()
	b.readyClass()
	is := b.booting(b.cell(func(c *v1beta1.Cell) {
		c.Spec.OfferingTerms = []v1beta1.OfferingTerm{{Requirements: []v1beta1.OfferingRequirement{
			{Key: "kubernetes.io/arch", Operator: "In", Values: []string{"arm64"}},
			{Key: "topology.kubernetes.io/zone", Operator: "NotIn", Values: []string{"us-east-1a"}},
		}}}
	}))
	if !slices.Contains([]string{"t4g.nano", "t4g.micro"}, is.Status.InstanceType) || strings.HasSuffix(is.Status.Zone, "a") {
		t.Errorf("%s in %s", is.Status.InstanceType, is.Status.Zone)
	}
}
