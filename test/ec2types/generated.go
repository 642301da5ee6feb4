package ec2types

import (
	"fmt"
	"math"
	"math/rand/v2"

	"kip.elotl.co/internal/selection"
)

// generatedTypes makes up families, and of each the sizes that EC2 has. The
// first four are burstable.
func generatedTypes(r *rand.Rand, n int) ([]selection.Type, map[string]float64) {
	var types []selection.Type
	prices := map[string]float64{}
	for family := 0; len(types) < n; family++ {
		g := newGenerator(r, family)
		for _, size := range g.sizes() {
			if len(types) == n {
				break
			}
			t := g.make(size)
			types = append(types, t)
			if r.IntN(50) > 0 {
				prices[t.Name] = g.price(size)
			}
		}
	}
	return types, prices
}

// generator makes the types of a family.
type generator struct {
	r         *rand.Rand
	name      string
	arch      selection.Architectures
	perVCPU   float64 // USD per hour
	perGiB    float64 // the same, of burstable types
	gibPer    int64   // memory per vCPU
	burstable bool
	gpus      bool
	neurons   bool
	xen       bool
}

func newGenerator(r *rand.Rand, number int) generator {
	if burstable := []string{"t2", "t3", "t3a", "t4g"}; number < len(burstable) {
		g := generator{r: r, name: burstable[number], arch: selection.AMD64, perGiB: 0.0116 - 0.001*float64(number), burstable: true, xen: number == 0}
		if number == 3 {
			g.arch = selection.ARM64
		}
		return g
	}
	g := generator{
		r: r, name: fmt.Sprintf("%c%d", "cmrxgi"[r.IntN(6)], number), arch: selection.AMD64,
		perVCPU: float64(4+r.IntN(8)) / 100, gibPer: []int64{2, 4, 8, 16}[r.IntN(4)],
		gpus: r.IntN(12) == 0, neurons: r.IntN(16) == 0, xen: r.IntN(6) == 0,
	}
	if !g.xen && r.IntN(2) == 0 {
		g.arch, g.name = selection.ARM64, g.name+"g"
	}
	if g.gpus || g.neurons {
		g.perVCPU *= 4
	}
	return g
}

// size is one of a family. Those of burstable types differ in memory (MiB).
type size struct {
	name   string
	vcpus  int64
	memory int64
}

func (g *generator) sizes() []size {
	if g.burstable {
		return []size{
			{"nano", 2, 512}, {"micro", 2, 1024}, {"small", 2, 2048}, {"medium", 2, 4096}, {"large", 2, 8192},
			{"xlarge", 4, 16384}, {"2xlarge", 8, 32768},
		}
	}
	var sizes []size
	for _, s := range []size{
		{"medium", 1, 0}, {"large", 2, 0}, {"xlarge", 4, 0}, {"2xlarge", 8, 0}, {"4xlarge", 16, 0}, {"8xlarge", 32, 0},
		{"12xlarge", 48, 0}, {"16xlarge", 64, 0}, {"24xlarge", 96, 0}, {"metal", 96, 0},
	} {
		s.memory = s.vcpus * g.gibPer << 10
		sizes = append(sizes, s)
	}
	return sizes
}

// price is in USD per hour, with EC2's four decimals.
func (g *generator) price(s size) float64 {
	if g.burstable {
		return math.Round(g.perGiB*float64(s.memory)/1024*1e4) / 1e4
	}
	return math.Round(g.perVCPU*float64(s.vcpus)*1e4) / 1e4
}

func (g *generator) make(s size) selection.Type {
	nominal := s.memory << 20
	name := g.name + "." + s.name
	t := selection.Type{
		Name: name, Architectures: g.arch, MilliCPU: 1000 * s.vcpus, NominalMemory: nominal, Memory: usableMemory(nominal),
		IPv4PerInterface: 10, BareMetal: s.name == "metal",
		Supports: selection.BootSupport{HVM: true, Paravirtual: g.xen, UEFI: !g.xen, LegacyBIOS: g.arch == selection.AMD64, NeedsENA: !g.xen},
	}
	if g.burstable {
		t.Burst = burstOf(name, t.MilliCPU)
	}
	if g.gpus {
		t.GPUs = max(1, s.vcpus/16)
	}
	if g.neurons && !g.gpus {
		t.Neurons = max(1, s.vcpus/16)
	}
	if g.r.IntN(40) == 0 {
		t.IPv4PerInterface = 1
	}
	return t
}
