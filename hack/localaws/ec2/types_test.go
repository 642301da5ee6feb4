package ec2_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

// What tells the kinds of types apart.
func TestKindsOfTypes(t *testing.T) {
	c := newCloud(t)
	type kind struct {
		Arch, Hypervisor, ENA                string
		Burstable, Metal                     bool
		Virtualization, Boot, Roots, Markets []string
		GPUs, Neurons, Inference             int32
	}
	nitro := kind{Arch: "x86_64", Hypervisor: "nitro", ENA: "required", Virtualization: []string{"hvm"}, Boot: []string{"legacy-bios", "uefi"}, Roots: []string{"ebs"}, Markets: []string{"on-demand", "spot"}}
	like := func(k kind, edit func(*kind)) kind { edit(&k); return k }
	xen := like(nitro, func(k *kind) {
		k.Hypervisor, k.ENA, k.Boot, k.Roots = "xen", "unsupported", []string{"legacy-bios"}, []string{"ebs", "instance-store"}
	})
	want := map[string]kind{
		"m5.large":      nitro,
		"t3.nano":       like(nitro, func(k *kind) { k.Burstable = true }),
		"t4g.small":     like(nitro, func(k *kind) { k.Arch, k.Burstable, k.Boot = "arm64", true, []string{"uefi"} }),
		"t2.micro":      like(xen, func(k *kind) { k.Burstable = true }),
		"m3.large":      like(xen, func(k *kind) { k.Virtualization = []string{"hvm", "paravirtual"} }),
		"r4.large":      like(xen, func(k *kind) { k.ENA = "supported" }),
		"m5.metal":      like(nitro, func(k *kind) { k.Hypervisor, k.Metal = "", true }),
		"p4d.24xlarge":  like(nitro, func(k *kind) { k.GPUs = 8 }),
		"inf1.6xlarge":  like(nitro, func(k *kind) { k.Neurons, k.Inference = 4, 4 }),
		"trn1.32xlarge": like(nitro, func(k *kind) { k.Neurons = 16 }),
		"u-6tb1.metal":  like(nitro, func(k *kind) { k.Hypervisor, k.Metal, k.Markets = "", true, []string{"on-demand"} }),
	}
	in := &sdk.DescribeInstanceTypesInput{}
	for name := range want {
		in.InstanceTypes = append(in.InstanceTypes, types.InstanceType(name))
	}
	out, err := c.DescribeInstanceTypes(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]kind{}
	for _, i := range out.InstanceTypes {
		k := kind{
			Arch: string(i.ProcessorInfo.SupportedArchitectures[0]), Hypervisor: string(i.Hypervisor), ENA: string(i.NetworkInfo.EnaSupport),
			Burstable: *i.BurstablePerformanceSupported, Metal: *i.BareMetal,
			Virtualization: texts(i.SupportedVirtualizationTypes), Boot: texts(i.SupportedBootModes), Roots: texts(i.SupportedRootDeviceTypes), Markets: texts(i.SupportedUsageClasses),
		}
		if i.GpuInfo != nil {
			k.GPUs = *i.GpuInfo.Gpus[0].Count
		}
		if i.NeuronInfo != nil {
			k.Neurons = *i.NeuronInfo.NeuronDevices[0].Count
		}
		if i.InferenceAcceleratorInfo != nil {
			k.Inference = *i.InferenceAcceleratorInfo.Accelerators[0].Count
		}
		got[string(i.InstanceType)] = k
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
}

func texts[T ~string](list []T) []string {
	var out []string
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

func TestPagesOfTypes(t *testing.T) {
	c := newCloud(t)
	for size, code := range map[int32]string{4: "InvalidParameterValue", 5: "", 100: "", 101: "InvalidParameterValue"} {
		out, err := c.DescribeInstanceTypes(t.Context(), &sdk.DescribeInstanceTypesInput{MaxResults: aws.Int32(size)})
		wantCode(t, err, code)
		if err == nil && len(out.InstanceTypes) != int(size) {
			t.Errorf("%d types on a page of %d", len(out.InstanceTypes), size)
		}
	}
}

// A type launches only with an image that it can boot.
func TestImagesThatBoot(t *testing.T) {
	const uefi, paravirtual = "ami-0c0ffee0000000014", "ami-0a11ce00000000009"
	c := newCloud(t)
	for _, test := range []struct{ instanceType, image, code string }{
		{"t3.nano", uefi, ""}, {"t2.micro", uefi, "InvalidParameterValue"}, {"t2.micro", x86Image, ""}, {"m5.metal", uefi, ""},
		{"m3.large", paravirtual, ""}, {"t3.nano", paravirtual, "InvalidParameterCombination"}, {"m4.large", paravirtual, "InvalidParameterCombination"},
		{"g4dn.xlarge", "ami-0c0ffee0000000011", ""}, {"g5g.xlarge", "ami-0c0ffee0000000012", ""},
	} {
		_, err := c.RunInstances(t.Context(), launch(inSubnet(c, 1), func(in *sdk.RunInstancesInput) {
			in.InstanceType, in.ImageId = types.InstanceType(test.instanceType), aws.String(test.image)
		}))
		t.Run(test.instanceType+" "+test.image, func(t *testing.T) { wantCode(t, err, test.code) })
	}
	out, err := c.DescribeImages(t.Context(), &sdk.DescribeImagesInput{Filters: []types.Filter{filter("virtualization-type", "paravirtual"), filter("ena-support", "false")}})
	if err != nil || len(out.Images) != 1 || *out.Images[0].EnaSupport || out.Images[0].VirtualizationType != types.VirtualizationTypeParavirtual || out.Images[0].BootMode != "" {
		t.Errorf("images %+v, %v", out, err)
	}
	out, err = c.DescribeImages(t.Context(), &sdk.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{filter("boot-mode", "uefi")}})
	if err != nil || len(out.Images) != 2 || out.Images[0].BootMode != types.BootModeValuesUefi {
		t.Errorf("images %+v, %v", out, err)
	}
}

// A subnet says whether instances are public unless the launch says otherwise,
// and counts the addresses it has left, secondary ones included.
func TestSubnetsGiveAddresses(t *testing.T) {
	c := newCloud(t)
	free := func() (out []int32, public []bool) {
		got, err := c.DescribeSubnets(t.Context(), &sdk.DescribeSubnetsInput{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range got.Subnets {
			out, public = append(out, *s.AvailableIpAddressCount), append(public, *s.MapPublicIpOnLaunch)
		}
		return out, public
	}
	if _, public := free(); !slices.Equal(public, []bool{false, false, true}) {
		t.Errorf("public: %v", public)
	}
	launched := func(subnet int, public *bool) types.Instance {
		return c.one(t, c.run(t, func(in *sdk.RunInstancesInput) {
			in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
				DeviceIndex: aws.Int32(0), SubnetId: aws.String(c.world.Catalog.Subnets[subnet].ID), AssociatePublicIpAddress: public, SecondaryPrivateIpAddressCount: aws.Int32(1),
			}}
		})[0])
	}
	for _, test := range []struct {
		subnet int
		asked  *bool
		public bool
	}{{0, nil, false}, {0, aws.Bool(true), true}, {2, nil, true}, {2, aws.Bool(false), false}} {
		if i := launched(test.subnet, test.asked); (i.PublicIpAddress != nil) != test.public {
			t.Errorf("subnet %d, asked %v: public address %v", test.subnet, test.asked, i.PublicIpAddress)
		}
	}
	if left, _ := free(); !slices.Equal(left, []int32{55, 59, 55}) {
		t.Errorf("addresses left: %v", left)
	}
	id := launched(1, nil).InstanceId
	c.terminate(t, *id)
	c.inState(t, *id, types.InstanceStateNameTerminated)
	if left, _ := free(); left[1] != 59 {
		t.Errorf("%d left after the end", left[1])
	}
}
