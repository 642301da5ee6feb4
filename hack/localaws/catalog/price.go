package catalog

import (
	"math"
	"strings"
)

// Hourly prices in USD of the parts of a type. The prices of this region are
// its own: they follow from the parts, and come out within some 10 % of those
// of us-east-1 where a family scales regularly.
const (
	perVCPU         = 0.0357
	perGiB          = 0.0034
	perDiskGB       = 0.00023
	perBurstableGiB = 0.0104 // T types are priced by their memory alone
)

// devicePrices are those of accelerators by name.
var devicePrices = map[string]float64{
	"T4": 0.30, "T4g": 0.22, "Radeon Pro V520": 0.16, "A10G": 0.75, "L4": 0.55, "V100": 2.55, "A100": 2.95,
	"Inferentia": 0.058, "Inferentia2": 0.56, "Trainium": 0.84,
}

// PricePerHour is what the type costs on demand with Linux and shared tenancy,
// in USD: the sum over its parts, less 10 % for AMD's processors and 20 % for
// AWS's, to four decimals.
func (t InstanceType) PricePerHour() float64 {
	gib := float64(t.MemoryMiB) / 1024
	price := perVCPU*float64(t.VCPUs) + perGiB*gib
	if t.Burstable {
		price = perBurstableGiB * gib
	}
	switch t.Manufacturer {
	case "AMD":
		price *= 0.9
	case "AWS":
		price *= 0.8
	}
	if strings.HasPrefix(t.Name, "t2.") {
		price *= 1.1
	}
	for _, d := range t.Disks {
		price += perDiskGB * float64(d.Count*d.SizeGB)
	}
	for _, d := range []*Device{t.GPU, t.Neuron} {
		if d != nil {
			price += devicePrices[d.Name] * float64(d.Count)
		}
	}
	return math.Round(price*1e4) / 1e4
}
