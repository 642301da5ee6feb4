package selection_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/selection"
)

const notNamed = "but a pod that names no architecture gets arm64 in this class: name it by node selector or affinity (kubernetes.io/arch), " +
	"or list both in the class's spec.architectures, if all images are for both"

// TestReasons: every step turns down m5.large and says why.
func TestReasons(t *testing.T) {
	for name, test := range map[string]struct {
		edit   func(*fixture)
		step   selection.Step
		reason string
	}{
		"not allowed": {func(f *fixture) { f.class.Allowed = []string{"c5*", "t3.*"} }, selection.StepAllowed, "is not among the class's allowed instance types"},
		"excluded":    {func(f *fixture) { f.class.Excluded = []string{"m*"} }, selection.StepAllowed, "is among the class's excluded instance types"},
		"addresses":   {func(f *fixture) { f.types[0].IPv4PerInterface = 1 }, selection.StepAddresses, "holds fewer than 2 IPv4 addresses on an interface"},
		"architecture": {func(f *fixture) { f.class.Architectures = selection.ARM64 }, selection.StepArchitecture,
			"is amd64, the class allows arm64"},
		"no image": {func(f *fixture) { f.class.Images = f.class.Images[1:] }, selection.StepImage, "is amd64, for which the class has no image"},
		"an image of BIOS": {func(f *fixture) { f.class.Images[0].LegacyBIOS = true; f.types[0].Supports.LegacyBIOS = false }, selection.StepImage,
			"cannot boot image ami-x (virtualization, boot mode or network driver)"},
		"an image of UEFI": {func(f *fixture) { f.class.Images[0].UEFI = true; f.types[0].Supports.UEFI = false }, selection.StepImage,
			"cannot boot image ami-x (virtualization, boot mode or network driver)"},
		"a paravirtual image": {func(f *fixture) { f.class.Images[0].Paravirtual = true }, selection.StepImage,
			"cannot boot image ami-x (virtualization, boot mode or network driver)"},
		"an image without ENA": {func(f *fixture) { f.class.Images[0].ENA = false }, selection.StepImage,
			"cannot boot image ami-x (virtualization, boot mode or network driver)"},
		"another accelerator's image": {func(f *fixture) {
			f.types[0].GPUs = 1
			f.class.Images[1].Accelerator = v1beta1.AcceleratorNvidia
		}, selection.StepImage, "is amd64, for which the class has no image with accelerator nvidia (spec.bootImageOverrides)"},
		"another's architecture": {func(f *fixture) { f.class.DefaultArchitecture = selection.ARM64 }, selection.StepArchitecture, "is amd64, " + notNamed},
		"a larger image": {func(f *fixture) { f.class.Images[0].VolumeGiB, f.ask.VolumeGiB = 12, 5 }, selection.StepImage,
			"cannot have the volume asked for: 5Gi is smaller than the root volume of image ami-x, 12Gi"},
		"a larger image with storage": {func(f *fixture) { f.class.Images[0].VolumeGiB, f.ask.VolumeGiB, f.ask.StorageGiB = 4, 8, 5 }, selection.StepImage,
			"cannot have the volume asked for: 8Gi is smaller than the root volume of image ami-x, 4Gi, with 5Gi ephemeral-storage beside it"},
		"another asked for": {func(f *fixture) { f.ask.Type = "t3*" }, selection.StepRequested, "is not t3*"},
		"affinity": {func(f *fixture) { f.ask.Terms = []v1beta1.OfferingTerm{term(corev1.LabelArchStable, "arm64")} }, selection.StepAffinity,
			"is excluded by node selector or affinity"},
		"accelerator": {func(f *fixture) { f.ask.GPUs = 2 }, selection.StepAccelerator, "has 0 GPUs and 0 Neuron devices, 2 and 0 are needed"},
		"memory":      {func(f *fixture) { f.ask.Memory = 7.5 * gib }, selection.StepMemory, "has 7Gi memory for the pod, 7.5Gi are needed"},
		"memory, hardly": {func(f *fixture) { f.ask.Memory = 7*gib + 1 }, selection.StepMemory,
			"has 7516192768 memory for the pod, 7516192769 are needed"},
		"cpu": {func(f *fixture) { f.ask.MilliCPU = 2500 }, selection.StepCPU, "has 2 CPUs, 2.5 are needed"},
		"burstable": {func(f *fixture) { f.types[0].Burst, f.class.Burstable = f.types[1].Burst, v1beta1.BurstableNever }, selection.StepBurstable,
			"is burstable, which the class does not allow"},
		"baseline": {func(f *fixture) { f.types[0].Burst, f.class.Burstable = f.types[1].Burst, v1beta1.BurstableStandard }, selection.StepBurstable,
			"gives 0.6 CPUs for good, 1 are needed, the class allows no surplus credits"},
		"market": {func(f *fixture) { f.listings = f.listings[2:3] }, selection.StepMarket, "is not sold as On-demand"},
		"zone": {func(f *fixture) { f.class.Subnets = []selection.Subnet{{ID: "subnet-c", Zone: "c"}} }, selection.StepZone,
			"is offered in a, b, the class's subnets are in c"},
		"no subnets": {func(f *fixture) { f.class.Subnets = nil }, selection.StepZone, "cannot be launched: the class has no subnets"},
		"affinity to a zone": {func(f *fixture) { f.ask.Terms = []v1beta1.OfferingTerm{term(corev1.LabelTopologyZone, "c")} }, selection.StepZone,
			"is excluded in a, b by node selector or affinity"},
		"the node's zone has no subnet": {func(f *fixture) { f.ask.Zone = "c" }, selection.StepZone,
			"cannot be launched in c, the zone of the pod's node: the class has no subnet there any more"},
		"not offered in the node's zone": {func(f *fixture) {
			f.ask.Zone = "c"
			f.class.Subnets = append(f.class.Subnets, selection.Subnet{ID: "subnet-c", Zone: "c"})
		}, selection.StepZone, "is offered in a, b, not in c, the zone of the pod's node"},
		"affinity in the node's zone": {func(f *fixture) {
			f.ask.Zone, f.ask.Terms = "a", []v1beta1.OfferingTerm{term(corev1.LabelTopologyZone, "b")}
		}, selection.StepZone, "is excluded in a by node selector or affinity"},
		"price": {func(f *fixture) { f.class.MaxPerHour, f.ask.VolumePerHour = 0.09, 0.005 }, selection.StepPrice,
			"costs 0.101 USD/h, the class's maxPricePerHour is 0.09"},
		"price, over which the volume is": {func(f *fixture) { f.class.MaxPerHour, f.ask.VolumePerHour = 0.1, 0.005 }, selection.StepPrice,
			"costs 0.101 USD/h (instance 0.096, root volume 0.005), the class's maxPricePerHour is 0.10"},
		"price, over which the address is": {func(f *fixture) {
			f.class.MaxPerHour, f.ask.VolumePerHour, f.ask.AddressPerHour = 0.1, 0.001, 0.005
			f.publish("subnet-a", "subnet-b")
		}, selection.StepPrice, "costs 0.102 USD/h (instance 0.096, root volume 0.001, public address 0.005), the class's maxPricePerHour is 0.10"},
		"factor": {func(f *fixture) {
			f.class.MaxFactor, f.ask.VolumePerHour = 3, 0.001
			f.add("z1.large", 0.03, "b")
		}, selection.StepPrice, "costs 0.097 USD/h, more than 3 times the cheapest that would do, z1.large in b at 0.031"},
		"factor, of something dry": {func(f *fixture) {
			f.class.MaxFactor, f.world.dry = 1.5, []string{"z1.large"}
			f.add("z1.large", 0.03, "b")
		}, selection.StepPrice, "costs 0.096 USD/h, more than 1.5 times the cheapest that would do, z1.large in b at 0.03"},
		"factor, of Spot": {func(f *fixture) {
			f.ask.LaunchType, f.class.MaxFactor = v1beta1.LaunchSpotPreferred, 1.5
			f.add("z1.large", 0.05, "b")
			f.list("z1.large", "b", selection.Spot, 0.02)
		}, selection.StepPrice, "costs 0.04 USD/h, more than 1.5 times the cheapest that would do, z1.large in b at 0.02"},
		"price, the lower of two": {func(f *fixture) { f.class.MaxPerHour, f.listings[1].Price.PerHour = 0.05, 0.2 }, selection.StepPrice,
			"costs 0.096 USD/h, the class's maxPricePerHour is 0.05"},
		"no price": {func(f *fixture) { f.unprice(selection.OnDemand) }, selection.StepPrice,
			"has no known price, so it must be asked for by its name, and the class must not set maxPricePerHour"},
		"dearer than on-demand": {func(f *fixture) {
			f.ask.LaunchType, f.ask.MilliCPU = v1beta1.LaunchSpotPreferred, 100
			f.listings = append(f.listings[2:3:3], f.listings[4])
			f.listings[1].Price.PerHour = 0.09
		}, selection.StepPrice, "costs 0.09 USD/h as Spot, the cheapest On-demand offering 0.0832"},
		"dry": {func(f *fixture) { f.world.dryPercent = 100 }, selection.StepCapacity, "has no capacity or free addresses in the zones that will do, for now"},
		"full": {func(f *fixture) { f.world.free = map[string]int{"subnet-a": 0, "subnet-b": 0} }, selection.StepCapacity,
			"has no capacity or free addresses in the zones that will do, for now"},
	} {
		t.Run(name, func(t *testing.T) {
			f := small()
			test.edit(f)
			for _, r := range selection.Explain(f.rules(), &f.ask, f.world).Rejections {
				if r.Type == "m5.large" {
					if r.Step != test.step || r.Reason != test.reason {
						t.Errorf("got %s: %q\nwant %s: %q", r.Step, r.Reason, test.step, test.reason)
					}
					return
				}
			}
			t.Error("m5.large is not turned down")
		})
	}
}

// TestNearest: what a pod that fits nowhere is told.
func TestNearest(t *testing.T) {
	for name, test := range map[string]struct {
		edit     func(*fixture)
		step     selection.Step
		sentence string
	}{
		"memory": {func(f *fixture) {
			big := f.add("r7i.16xlarge", 4, "a")
			big.NominalMemory, big.Memory, big.MilliCPU = 512*gib, 473*gib, 64000
			f.ask.Memory = 900 * gib
		}, selection.StepMemory, "needs 900Gi memory; the largest allowed type, r7i.16xlarge, has 512Gi, of which a pod can use 473Gi"},
		"memory, of a pattern": {func(f *fixture) { f.ask.Type, f.ask.Memory = "t*", 900*gib }, selection.StepMemory,
			`needs 900Gi memory; the largest allowed type that matches "t*", t3.large, has 8Gi, of which a pod can use 7Gi`},
		"cpu": {func(f *fixture) {
			f.add("c5.4xlarge", 1, "a").MilliCPU = 16000
			f.types[2].Memory = gib / 2
			f.ask.MilliCPU = 4500
		}, selection.StepCPU, "needs 4.5 CPUs; the largest allowed type with the memory, m5.large, has 2"},
		"gpus": {func(f *fixture) { f.add("g5.xlarge", 1, "a").GPUs = 1; f.ask.GPUs = 2 }, selection.StepAccelerator,
			"needs 2 NVIDIA GPUs; the allowed type with the most, g5.xlarge, has 1"},
		"no accelerators": {func(f *fixture) { f.ask.GPUs, f.ask.Neurons = 1, 2 }, selection.StepAccelerator,
			"needs 1 NVIDIA GPUs; no allowed type has any; needs 2 Neuron devices; no allowed type has any"},
		"price": {func(f *fixture) { f.class.MaxPerHour = 0.02 }, selection.StepPrice,
			"the cheapest of 2 types that would do, m5.large, costs 0.096 USD/h, the class's maxPricePerHour is 0.02"},
		"unknown name":    {func(f *fixture) { f.ask.Type = "m5.lagre" }, selection.StepRequested, `"m5.lagre" is not an instance type of this region`},
		"unknown pattern": {func(f *fixture) { f.ask.Type = "z*" }, selection.StepRequested, `no instance type of this region matches "z*"`},
		"a name that is not allowed": {func(f *fixture) { f.ask.Type, f.class.Allowed = "m5.large", []string{"t3*"} }, selection.StepAllowed,
			"m5.large is not among the class's allowed instance types"},
		"a pattern that is not allowed": {func(f *fixture) { f.ask.Type, f.class.Allowed = "m5*", []string{"t3*"} }, selection.StepAllowed,
			"m5.large is not among the class's allowed instance types"},
		"a class that allows nothing": {func(f *fixture) { f.class.Allowed = []string{"z*"} }, selection.StepAllowed,
			"none of 2 types that come nearest will do: m5.large, for one, is not among the class's allowed instance types"},
		"affinity": {func(f *fixture) {
			f.ask.Terms = []v1beta1.OfferingTerm{term(corev1.LabelInstanceTypeStable, "z1.large")}
		}, selection.StepAffinity,
			"node selector or affinity excludes every instance type"},
		"affinity and a pattern": {func(f *fixture) {
			f.ask.Type, f.ask.Terms = "t*", []v1beta1.OfferingTerm{term(corev1.LabelArchStable, "arm64")}
		}, selection.StepAffinity, `node selector or affinity excludes every instance type that matches "t*"`},
		"affinity to a zone, beside types too small": {func(f *fixture) {
			f.add("t3.nano", 0.005, "a").Memory = 1
			f.ask.Terms = []v1beta1.OfferingTerm{term(corev1.LabelTopologyZone, "c")}
		}, selection.StepZone, "none of 2 types that come nearest will do: m5.large, for one, is excluded in a, b by node selector or affinity"},
		"market": {func(f *fixture) { f.ask.Type, f.ask.LaunchType = "t3.large", v1beta1.LaunchSpot }, selection.StepMarket, "t3.large is not sold as Spot"},
		"capacity": {func(f *fixture) { f.world.dryPercent = 100 }, selection.StepCapacity,
			"none of 3 offerings that would do has capacity or free addresses for now; the cheapest is m5.large in a as On-demand at 0.096 USD/h"},
		"capacity, of the last in the alphabet": {func(f *fixture) {
			f.world.dryPercent, f.ask.VolumePerHour = 100, 0.001
			f.add("z1.large", 0.03, "b")
		}, selection.StepCapacity,
			"none of 4 offerings that would do has capacity or free addresses for now; the cheapest is z1.large in b as On-demand at 0.031 USD/h"},
		"capacity within the factor": {func(f *fixture) {
			f.world.dry, f.class.MaxFactor = []string{"z1.large"}, 2.5
			f.add("z1.large", 0.03, "a", "b")
		}, selection.StepCapacity, "none of 2 offerings that would do has capacity or free addresses for now; the cheapest is z1.large in a as On-demand " +
			"at 0.03 USD/h; dearer ones cost more than 2.5 times as much, the class's maxPriceFactor"},
		"capacity of the only one within the factor": {func(f *fixture) {
			f.ask.LaunchType, f.world.dryPercent, f.class.MaxFactor = v1beta1.LaunchSpot, 100, 1
		}, selection.StepCapacity, "the only offering that would do, m5.large in a as Spot at 0.04 USD/h, has no capacity or free addresses for now; " +
			"dearer ones cost more than 1 times as much, the class's maxPriceFactor"},
		"capacity of one without a price": {func(f *fixture) {
			f.unprice(selection.OnDemand)
			f.ask.Type, f.world.dryPercent, f.class.MaxFactor = "t3.large", 100, 5
		}, selection.StepCapacity, "the only offering that would do, t3.large in a as On-demand, has no capacity or free addresses for now"},
		"addresses, in the subnet that can be paid for": {func(f *fixture) {
			f.class.MaxPerHour, f.ask.AddressPerHour, f.ask.Type = 0.1, 0.005, "m5.large"
			f.publish("subnet-b")
			f.world.free = map[string]int{"subnet-a": 0}
		}, selection.StepCapacity, "the only offering that would do, m5.large in a as On-demand at 0.096 USD/h, has no capacity or free addresses for now"},
		"capacity that is there again": {func(f *fixture) { f.ask.Type = "m5.large" }, selection.StepCapacity,
			"none of 2 offerings that would do has capacity or free addresses for now; the cheapest is m5.large in a as On-demand at 0.096 USD/h"},
		"the other architecture": {func(f *fixture) { f.class.DefaultArchitecture = selection.ARM64 }, selection.StepArchitecture,
			"m5.large would do, but is amd64, " + notNamed},
		"the other architecture, larger": {func(f *fixture) {
			f.class.DefaultArchitecture, f.ask.GPUs = selection.ARM64, 1
			f.add("g4dn.large", 0.5, "a").GPUs = 1
			f.add("m6g.large", 0.05, "a").Architectures = selection.ARM64
		}, selection.StepArchitecture, "g4dn.large would do, but is amd64, " + notNamed},
		"a larger image": {func(f *fixture) { f.class.Images[0].VolumeGiB, f.ask.VolumeGiB = 12, 5 }, selection.StepImage,
			"5Gi is smaller than the root volume of image ami-x, 12Gi"},
		"a larger image of one by name": {func(f *fixture) { f.ask.Type, f.class.Images[0].VolumeGiB, f.ask.VolumeGiB = "m5.large", 12, 5 }, selection.StepImage,
			"5Gi is smaller than the root volume of image ami-x, 12Gi"},
		"nothing at all": {func(f *fixture) { f.types = nil }, selection.StepRequested, "no instance types are known"},
	} {
		t.Run(name, func(t *testing.T) {
			f := small()
			test.edit(f)
			if step, sentence := selection.Nearest(f.rules(), &f.ask, f.world); step != test.step || sentence != test.sentence {
				t.Errorf("got %s: %q\nwant %s: %q", step, sentence, test.step, test.sentence)
			}
		})
	}
}
