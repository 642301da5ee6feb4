package catalog

import (
	"slices"
	"strings"
)

// Architectures as EC2 spells them.
const (
	X86 = "x86_64"
	ARM = "arm64"
)

// InstanceType is what DescribeInstanceTypes tells about a type.
type InstanceType struct {
	Name              string
	Architecture      string
	Manufacturer      string
	VCPUs             int
	ThreadsPerCore    int
	MemoryMiB         int
	Burstable         bool
	CurrentGeneration bool
	// Interfaces and AddressesPerInterface limit the network interfaces and the
	// IPv4 addresses of each, the primary one included.
	Interfaces            int
	AddressesPerInterface int
	// Disks is nil for types without instance storage.
	Disks []Disk
	// GPU is nil for types without GPUs, Neuron for those without accelerators.
	GPU    *Device
	Neuron *Device

	notInZones []int
}

// Disk is a number of equal NVMe instance-store disks.
type Disk struct {
	Count  int
	SizeGB int
}

// Device is a number of equal accelerators.
type Device struct {
	Name         string
	Manufacturer string
	Count        int
	MemoryMiB    int // of each
}

// UsageClasses are the markets the type is sold in.
func (t InstanceType) UsageClasses() []string { return []string{"on-demand", "spot"} }

// Family is the part of the name before the dot.
func (t InstanceType) Family() string {
	family, _, _ := strings.Cut(t.Name, ".")
	return family
}

// size is what types of one size have in common throughout the families that
// scale regularly.
type size struct {
	name       string
	vcpus      int
	interfaces int
	addresses  int
}

// family describes types that differ in size only.
type family struct {
	name         string
	arch         string
	manufacturer string
	previous     bool // no longer the current generation
	gibPerVCPU   int
	sizes        []size
	// diskGB is the instance storage per vCPU; 0 for none.
	diskGBPerVCPU float64
	notInZones    []int
}

// Sizes and limits: EC2 user guide, "Instance types" and "IP addresses per
// network interface per instance type".
var (
	mediumSize = size{"medium", 1, 2, 4}
	baseSizes  = []size{{"large", 2, 3, 10}, {"xlarge", 4, 4, 15}, {"2xlarge", 8, 4, 15}, {"4xlarge", 16, 8, 30}}
	bigSizes   = []size{{"8xlarge", 32, 8, 30}, {"12xlarge", 48, 8, 30}, {"16xlarge", 64, 15, 50}}
	c5BigSizes = []size{{"9xlarge", 36, 8, 30}, {"12xlarge", 48, 8, 30}, {"18xlarge", 72, 15, 50}}
)

func families() []family {
	x86 := slices.Concat(baseSizes, bigSizes)
	arm := slices.Concat([]size{mediumSize}, x86)
	c5 := slices.Concat(baseSizes, c5BigSizes)
	return []family{
		{name: "m5", arch: X86, manufacturer: "Intel", previous: true, gibPerVCPU: 4, sizes: x86},
		{name: "m5d", arch: X86, manufacturer: "Intel", gibPerVCPU: 4, sizes: x86, diskGBPerVCPU: 37.5, notInZones: []int{1}},
		{name: "m6i", arch: X86, manufacturer: "Intel", previous: true, gibPerVCPU: 4, sizes: x86},
		{name: "m6g", arch: ARM, manufacturer: "AWS", gibPerVCPU: 4, sizes: arm},
		{name: "m7g", arch: ARM, manufacturer: "AWS", gibPerVCPU: 4, sizes: arm},
		{name: "c5", arch: X86, manufacturer: "Intel", previous: true, gibPerVCPU: 2, sizes: c5},
		{name: "c6i", arch: X86, manufacturer: "Intel", gibPerVCPU: 2, sizes: x86},
		{name: "c7g", arch: ARM, manufacturer: "AWS", gibPerVCPU: 2, sizes: arm, notInZones: []int{2}},
		{name: "r5", arch: X86, manufacturer: "Intel", previous: true, gibPerVCPU: 8, sizes: x86},
		{name: "r6i", arch: X86, manufacturer: "Intel", previous: true, gibPerVCPU: 8, sizes: x86},
		{name: "r6g", arch: ARM, manufacturer: "AWS", gibPerVCPU: 8, sizes: arm},
	}
}

func (f family) types() []InstanceType {
	threads := 2
	if f.arch == ARM {
		threads = 1
	}
	var out []InstanceType
	for _, s := range f.sizes {
		t := InstanceType{
			Name: f.name + "." + s.name, Architecture: f.arch, Manufacturer: f.manufacturer,
			VCPUs: s.vcpus, ThreadsPerCore: threads, MemoryMiB: s.vcpus * f.gibPerVCPU * 1024,
			CurrentGeneration: !f.previous, Interfaces: s.interfaces, AddressesPerInterface: s.addresses,
			notInZones: f.notInZones,
		}
		if f.diskGBPerVCPU > 0 {
			t.Disks = nvme(int(f.diskGBPerVCPU * float64(s.vcpus)))
		}
		out = append(out, t)
	}
	return out
}

// nvme spreads storage over disks of at most 900 GB, all of one size.
func nvme(totalGB int) []Disk {
	count := 1
	for totalGB/count > 900 {
		count *= 2
	}
	return []Disk{{Count: count, SizeGB: totalGB / count}}
}

// burstable lists the T families, which follow a pattern of their own.
func burstable() []InstanceType {
	var out []InstanceType
	for _, f := range []struct {
		name, arch, manufacturer string
		threads                  int
		smallInterfaces          int
	}{{"t3", X86, "Intel", 2, 3}, {"t3a", X86, "AMD", 2, 2}, {"t4g", ARM, "AWS", 1, 3}} {
		for _, s := range []struct {
			name                                     string
			vcpus, memoryMiB, interfaces, addressses int
		}{
			{"nano", 2, 512, 2, 2}, {"micro", 2, 1024, 2, 2}, {"small", 2, 2048, f.smallInterfaces, 4},
			{"medium", 2, 4096, 3, 6}, {"large", 2, 8192, 3, 12}, {"xlarge", 4, 16384, 4, 15}, {"2xlarge", 8, 32768, 4, 15},
		} {
			out = append(out, InstanceType{
				Name: f.name + "." + s.name, Architecture: f.arch, Manufacturer: f.manufacturer,
				VCPUs: s.vcpus, ThreadsPerCore: f.threads, MemoryMiB: s.memoryMiB, Burstable: true, CurrentGeneration: true,
				Interfaces: s.interfaces, AddressesPerInterface: s.addressses,
			})
		}
	}
	return out
}

// accelerated lists the types with GPUs or inference chips.
func accelerated() []InstanceType {
	var out []InstanceType
	for _, r := range []struct {
		name                                    string
		vcpus, memoryGiB, interfaces, addresses int
		disks                                   []Disk
		gpus                                    int
	}{
		{"g4dn.xlarge", 4, 16, 3, 10, []Disk{{1, 125}}, 1},
		{"g4dn.2xlarge", 8, 32, 3, 10, []Disk{{1, 225}}, 1},
		{"g4dn.4xlarge", 16, 64, 3, 10, []Disk{{1, 225}}, 1},
		{"g4dn.8xlarge", 32, 128, 4, 15, []Disk{{1, 900}}, 1},
		{"g4dn.12xlarge", 48, 192, 8, 30, []Disk{{1, 900}}, 4},
		{"g4dn.16xlarge", 64, 256, 4, 15, []Disk{{1, 900}}, 1},
		{"g5.xlarge", 4, 16, 4, 15, []Disk{{1, 250}}, 1},
		{"g5.2xlarge", 8, 32, 4, 15, []Disk{{1, 450}}, 1},
		{"g5.4xlarge", 16, 64, 8, 30, []Disk{{1, 600}}, 1},
		{"g5.8xlarge", 32, 128, 8, 30, []Disk{{1, 900}}, 1},
		{"g5.12xlarge", 48, 192, 15, 50, []Disk{{1, 3800}}, 4},
		{"inf2.xlarge", 4, 16, 4, 15, nil, 1},
		{"inf2.8xlarge", 32, 128, 8, 30, nil, 1},
	} {
		t := InstanceType{
			Name: r.name, Architecture: X86, Manufacturer: "Intel", VCPUs: r.vcpus, ThreadsPerCore: 2, MemoryMiB: r.memoryGiB * 1024,
			CurrentGeneration: true, Interfaces: r.interfaces, AddressesPerInterface: r.addresses, Disks: r.disks, notInZones: []int{2},
		}
		switch t.Family() {
		case "g4dn":
			t.GPU = &Device{Name: "T4", Manufacturer: "NVIDIA", Count: r.gpus, MemoryMiB: 16384}
		case "g5":
			t.GPU = &Device{Name: "A10G", Manufacturer: "NVIDIA", Count: r.gpus, MemoryMiB: 22888}
			t.Manufacturer, t.CurrentGeneration = "AMD", false
		case "inf2":
			t.Neuron = &Device{Name: "Inferentia2", Manufacturer: "AWS", Count: r.gpus, MemoryMiB: 32768}
			t.Manufacturer = "AMD"
		}
		out = append(out, t)
	}
	return out
}

func instanceTypes() []InstanceType {
	out := slices.Concat(burstable(), accelerated())
	for _, f := range families() {
		out = append(out, f.types()...)
	}
	slices.SortFunc(out, func(a, b InstanceType) int { return strings.Compare(a.Name, b.Name) })
	return out
}
