package catalog

import "slices"

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
	memory       int  // MiB per vCPU
	sizes        []size
	// disk is the instance storage per vCPU in GB; 0 for none.
	disk       float64
	platform   platform
	notInZones []int
	// noSpot families are sold on demand only.
	noSpot bool
}

// platform is what a family's virtualization implies.
type platform struct {
	hypervisor     string // nitro, xen, or "" for bare metal
	ena            string // required, supported or unsupported
	virtualization []string
	bootModes      []string
	rootDevices    []string
}

// The platforms (EC2 user guide: "Instances built on the AWS Nitro System",
// "Linux AMI virtualization types", "Boot modes").
func nitro(arch string) platform {
	p := platform{hypervisor: "nitro", ena: "required", virtualization: []string{"hvm"}, bootModes: []string{"legacy-bios", "uefi"}, rootDevices: []string{"ebs"}}
	if arch == ARM {
		p.bootModes = []string{"uefi"}
	}
	return p
}

func xen(ena string, virtualization ...string) platform {
	return platform{hypervisor: "xen", ena: ena, virtualization: virtualization, bootModes: []string{"legacy-bios"}, rootDevices: []string{"ebs", "instance-store"}}
}

// Sizes and limits: EC2 user guide, "Instance types" and "IP addresses per
// network interface per instance type".
var (
	mediumSize  = size{"medium", 1, 2, 4}
	baseSizes   = []size{{"large", 2, 3, 10}, {"xlarge", 4, 4, 15}, {"2xlarge", 8, 4, 15}, {"4xlarge", 16, 8, 30}}
	bigSizes    = []size{{"8xlarge", 32, 8, 30}, {"12xlarge", 48, 8, 30}, {"16xlarge", 64, 15, 50}}
	size24      = size{"24xlarge", 96, 15, 50}
	size32      = size{"32xlarge", 128, 15, 50}
	size48      = size{"48xlarge", 192, 15, 50}
	metal64     = size{"metal", 64, 15, 50}
	metal96     = size{"metal", 96, 15, 50}
	metal128    = size{"metal", 128, 15, 50}
	metal24     = size{"metal-24xl", 96, 15, 50}
	metal48     = size{"metal-48xl", 192, 15, 50}
	c5BigSizes  = []size{{"9xlarge", 36, 8, 30}, {"12xlarge", 48, 8, 30}, {"18xlarge", 72, 15, 50}, size24, metal96}
	olderSizes  = []size{{"medium", 1, 2, 6}, {"large", 2, 3, 10}, {"xlarge", 4, 4, 15}, {"2xlarge", 8, 4, 30}}
	c4Sizes     = []size{{"large", 2, 3, 10}, {"xlarge", 4, 4, 15}, {"2xlarge", 8, 4, 15}, {"4xlarge", 16, 8, 30}, {"8xlarge", 36, 8, 30}}
	i3Sizes     = []size{{"large", 2, 3, 10}, {"xlarge", 4, 4, 15}, {"2xlarge", 8, 4, 15}, {"4xlarge", 16, 8, 30}, {"8xlarge", 32, 8, 30}, {"16xlarge", 64, 15, 50}}
	x1eSizes    = []size{{"xlarge", 4, 3, 10}, {"2xlarge", 8, 4, 15}, {"4xlarge", 16, 4, 15}, {"8xlarge", 32, 4, 15}, {"16xlarge", 64, 8, 30}, {"32xlarge", 128, 8, 30}}
	z1dSizes    = []size{{"large", 2, 3, 10}, {"xlarge", 4, 4, 15}, {"2xlarge", 8, 4, 15}, {"3xlarge", 12, 8, 30}, {"6xlarge", 24, 8, 30}, {"12xlarge", 48, 15, 50}}
	highMemory  = []size{{"metal", 448, 5, 30}}
	gravitonBig = slices.Concat([]size{mediumSize}, baseSizes, bigSizes)
)

func families() []family {
	x86 := slices.Concat(baseSizes, bigSizes)
	to24 := append(slices.Clone(x86), size24)
	to32 := append(slices.Clone(to24), size32)
	to48 := append(slices.Clone(to24), size48)
	with := func(sizes []size, more ...size) []size { return append(slices.Clone(sizes), more...) }
	// General purpose, compute and memory have 4, 2 and 8 GiB per vCPU.
	const general, compute, memory = 4096, 2048, 8192
	out := []family{
		{name: "m5", arch: X86, manufacturer: "Intel", previous: true, memory: general, sizes: with(to24, metal96)},
		{name: "m5a", arch: X86, manufacturer: "AMD", memory: general, sizes: to24, notInZones: []int{0}},
		{name: "m5d", arch: X86, manufacturer: "Intel", memory: general, sizes: to24, disk: 37.5, notInZones: []int{1}},
		{name: "m6a", arch: X86, manufacturer: "AMD", memory: general, sizes: to48},
		{name: "m6i", arch: X86, manufacturer: "Intel", previous: true, memory: general, sizes: with(to32, metal128)},
		{name: "m6id", arch: X86, manufacturer: "Intel", memory: general, sizes: to32, disk: 59, notInZones: []int{2}},
		{name: "m6g", arch: ARM, manufacturer: "AWS", memory: general, sizes: with(gravitonBig, metal64)},
		{name: "m6gd", arch: ARM, manufacturer: "AWS", memory: general, sizes: gravitonBig, disk: 59},
		{name: "m7a", arch: X86, manufacturer: "AMD", memory: general, sizes: with(to48, mediumSize)},
		{name: "m7g", arch: ARM, manufacturer: "AWS", memory: general, sizes: with(gravitonBig, metal64)},
		{name: "m7i", arch: X86, manufacturer: "Intel", memory: general, sizes: with(to48, metal24, metal48)},
		{name: "m8g", arch: ARM, manufacturer: "AWS", memory: general, sizes: with(gravitonBig, size24, size48), notInZones: []int{1}},
		{name: "c5", arch: X86, manufacturer: "Intel", previous: true, memory: compute, sizes: slices.Concat(baseSizes, c5BigSizes)},
		{name: "c5a", arch: X86, manufacturer: "AMD", memory: compute, sizes: to24},
		{name: "c6a", arch: X86, manufacturer: "AMD", memory: compute, sizes: to48},
		{name: "c6i", arch: X86, manufacturer: "Intel", memory: compute, sizes: with(to32, metal128)},
		{name: "c6g", arch: ARM, manufacturer: "AWS", memory: compute, sizes: with(gravitonBig, metal64)},
		{name: "c7a", arch: X86, manufacturer: "AMD", memory: compute, sizes: with(to48, mediumSize)},
		{name: "c7g", arch: ARM, manufacturer: "AWS", memory: compute, sizes: gravitonBig, notInZones: []int{2}},
		{name: "c7i", arch: X86, manufacturer: "Intel", memory: compute, sizes: with(to48, metal24)},
		{name: "r5", arch: X86, manufacturer: "Intel", previous: true, memory: memory, sizes: with(to24, metal96)},
		{name: "r5a", arch: X86, manufacturer: "AMD", memory: memory, sizes: to24},
		{name: "r6a", arch: X86, manufacturer: "AMD", memory: memory, sizes: to48},
		{name: "r6i", arch: X86, manufacturer: "Intel", previous: true, memory: memory, sizes: to32},
		{name: "r6g", arch: ARM, manufacturer: "AWS", memory: memory, sizes: with(gravitonBig, metal64)},
		{name: "r7g", arch: ARM, manufacturer: "AWS", memory: memory, sizes: gravitonBig},
		{name: "r7i", arch: X86, manufacturer: "Intel", memory: memory, sizes: with(to48, metal24)},
		{name: "x2gd", arch: ARM, manufacturer: "AWS", memory: 2 * memory, sizes: gravitonBig, disk: 59, notInZones: []int{0}},
		{name: "z1d", arch: X86, manufacturer: "Intel", memory: memory, sizes: z1dSizes, disk: 37.5},
		{name: "i4i", arch: X86, manufacturer: "Intel", memory: memory, sizes: with(x86, size24, size32), disk: 234, notInZones: []int{2}},
		{name: "u-6tb1", arch: X86, manufacturer: "Intel", memory: 14043, sizes: highMemory, notInZones: []int{1, 2}, noSpot: true},
	}
	for i := range out {
		out[i].platform = nitro(out[i].arch)
	}
	return append(out, olderFamilies()...)
}

// olderFamilies are those from before Nitro: what asks for UEFI or needs ENA
// does not boot there, and some still take paravirtual images.
func olderFamilies() []family {
	return []family{
		{name: "m3", arch: X86, manufacturer: "Intel", previous: true, memory: 3840, sizes: olderSizes, disk: 4, platform: xen("unsupported", "hvm", "paravirtual")},
		{name: "m4", arch: X86, manufacturer: "Intel", previous: true, memory: 4096, sizes: baseSizes, platform: xen("unsupported", "hvm")},
		{name: "c4", arch: X86, manufacturer: "Intel", previous: true, memory: 1920, sizes: c4Sizes, platform: xen("unsupported", "hvm")},
		{name: "r4", arch: X86, manufacturer: "Intel", previous: true, memory: 7808, sizes: i3Sizes, platform: xen("supported", "hvm")},
		{name: "i3", arch: X86, manufacturer: "Intel", previous: true, memory: 7808, sizes: i3Sizes, disk: 237.5, platform: xen("supported", "hvm")},
		{name: "x1e", arch: X86, manufacturer: "Intel", memory: 31232, sizes: x1eSizes, disk: 30, platform: xen("supported", "hvm"), notInZones: []int{1}},
	}
}

func (f family) types() []InstanceType {
	threads := 2
	if f.arch == ARM || f.name == "m7a" || f.name == "c7a" {
		threads = 1
	}
	var out []InstanceType
	for _, s := range f.sizes {
		t := InstanceType{
			Name: f.name + "." + s.name, Architecture: f.arch, Manufacturer: f.manufacturer,
			VCPUs: s.vcpus, ThreadsPerCore: min(threads, s.vcpus), MemoryMiB: s.vcpus * f.memory,
			CurrentGeneration: !f.previous, Interfaces: s.interfaces, AddressesPerInterface: s.addresses,
			NoSpot: f.noSpot, notInZones: f.notInZones,
		}
		if f.disk > 0 {
			t.Disks = nvme(int(f.disk * float64(s.vcpus)))
		}
		t.on(f.platform)
		out = append(out, t)
	}
	return out
}

// nvme spreads storage over disks of one size: of at most 900 GB, where that
// makes no more than four of them.
func nvme(totalGB int) []Disk {
	count := 1
	for totalGB/count > 900 && count < 4 {
		count *= 2
	}
	return []Disk{{Count: count, SizeGB: max(1, totalGB/count)}}
}
