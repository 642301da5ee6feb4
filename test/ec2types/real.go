package ec2types

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"kip.elotl.co/internal/selection"
)

// variable names the file of EC2's types: gzipped JSON, a document.
const variable = "KIP_EC2_TYPES"

// region is the one whose prices are used.
const region = "us-east-1"

// document is the file, whose fields are DescribeInstanceTypes' with shorter
// names.
type document struct {
	Types              []described                   `json:"types"`
	OnDemandUSDPerHour map[string]map[string]float64 `json:"onDemandUSDPerHour"` // by region and type
}

type described struct {
	Name             string   `json:"name"`
	VCPUs            int64    `json:"vcpus"`
	MemoryMiB        int64    `json:"memoryMiB"`
	Arch             []string `json:"arch"`
	BareMetal        bool     `json:"bareMetal"`
	Hypervisor       string   `json:"hypervisor"`
	IPv4PerInterface int32    `json:"ipv4PerInterface"`
	GPUs             []device `json:"gpus"`
	Accelerators     []device `json:"accelerators"`
}

type device struct {
	Name         string `json:"name"`
	Manufacturer string `json:"manufacturer"`
	Count        int64  `json:"count"`
}

func load(t testing.TB) document {
	t.Helper()
	path := os.Getenv(variable)
	if _, err := os.Stat(path); err != nil {
		missing := t.Skipf
		if os.Getenv("CI") == "true" {
			missing = t.Fatalf
		}
		missing("set %s to a file of EC2's types and prices (gzipped JSON): %v", variable, err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatalf("opening what %s names: %v", variable, err)
	}
	defer file.Close()
	var d document
	unzipped, err := gzip.NewReader(file)
	if err == nil {
		err = json.NewDecoder(unzipped).Decode(&d)
	}
	if err != nil {
		t.Fatalf("reading EC2's types from %s: %v", path, err)
	}
	if len(d.Types) == 0 || len(d.prices()) == 0 {
		t.Fatalf("%s has %d types and %d prices in %s, wants some of each", path, len(d.Types), len(d.prices()), region)
	}
	return d
}

func (d *document) prices() map[string]float64 { return d.OnDemandUSDPerHour[region] }

func (d *document) types() []selection.Type {
	types := make([]selection.Type, len(d.Types))
	for i := range d.Types {
		types[i] = d.Types[i].toType()
	}
	return types
}

func (d *described) toType() selection.Type {
	t := selection.Type{
		Name: d.Name, MilliCPU: 1000 * d.VCPUs, NominalMemory: d.MemoryMiB << 20, Memory: usableMemory(d.MemoryMiB << 20),
		IPv4PerInterface: d.IPv4PerInterface, BareMetal: d.BareMetal, Burst: burstOf(d.Name, 1000*d.VCPUs),
	}
	for _, arch := range d.Arch {
		t.Architectures |= map[string]selection.Architectures{"x86_64": selection.AMD64, "arm64": selection.ARM64}[arch]
	}
	for _, gpu := range d.GPUs {
		if gpu.Manufacturer == "NVIDIA" {
			t.GPUs += gpu.Count
		}
	}
	for _, a := range d.Accelerators {
		if strings.HasPrefix(a.Name, "Inferentia") || strings.HasPrefix(a.Name, "Trainium") {
			t.Neurons += a.Count
		}
	}
	t.Supports = d.supports(t.Architectures)
	return t
}

// supports follows from the generation, which the file tells by the hypervisor:
// Arm boots by UEFI only, Xen by BIOS, and its oldest types paravirtual images.
func (d *described) supports(arch selection.Architectures) selection.BootSupport {
	family, _, _ := strings.Cut(d.Name, ".")
	xen := d.Hypervisor == "xen"
	old := slices.Contains([]string{"c1", "c3", "m1", "m2", "m3", "t1"}, family)
	return selection.BootSupport{
		HVM: true, Paravirtual: old, NeedsENA: !xen,
		UEFI: !xen, LegacyBIOS: arch != selection.ARM64,
	}
}
