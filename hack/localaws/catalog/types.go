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
	// Inference says that the Neuron devices are told as inference
	// accelerators too.
	Inference bool
	// Hypervisor is nitro or xen; "" for bare metal.
	Hypervisor string
	// ENA is required, supported or unsupported.
	ENA            string
	Virtualization []string // hvm, paravirtual
	BootModes      []string // legacy-bios, uefi
	RootDevices    []string // ebs, instance-store
	// NoSpot types are sold on demand only.
	NoSpot bool

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
func (t InstanceType) UsageClasses() []string {
	if t.NoSpot {
		return []string{"on-demand"}
	}
	return []string{"on-demand", "spot"}
}

// Family is the part of the name before the dot.
func (t InstanceType) Family() string {
	family, _, _ := strings.Cut(t.Name, ".")
	return family
}

// BareMetal says whether the type is a whole machine.
func (t InstanceType) BareMetal() bool { return strings.Contains(t.Name, ".metal") }

// QuotaGroup is the group of families that shares a vCPU quota with the type
// (EC2 user guide, "On-Demand Instance quotas"): standard (T, M, C, R
// and so on), g, p, inf, trn, x or high-memory.
func (t InstanceType) QuotaGroup() string {
	for _, group := range []struct{ name, prefix string }{
		{"high-memory", "u-"}, {"inf", "inf"}, {"trn", "trn"}, {"g", "g"}, {"p", "p"}, {"x", "x"},
	} {
		if strings.HasPrefix(t.Name, group.prefix) {
			return group.name
		}
	}
	return "standard"
}

// on puts the type on a platform.
func (t *InstanceType) on(p platform) {
	t.Hypervisor, t.ENA, t.Virtualization, t.BootModes, t.RootDevices = p.hypervisor, p.ena, p.virtualization, p.bootModes, p.rootDevices
	if t.BareMetal() {
		t.Hypervisor = ""
	}
}

func instanceTypes() []InstanceType {
	out := slices.Concat(burstable(), accelerated())
	for _, f := range families() {
		out = append(out, f.types()...)
	}
	slices.SortFunc(out, func(a, b InstanceType) int { return strings.Compare(a.Name, b.Name) })
	return out
}
