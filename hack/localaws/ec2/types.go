package ec2

import (
	"context"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/catalog"
)

// typesPage is how many types EC2 lists when it is not told.
const typesPage = 100

type describeTypesResponse struct {
	header
	Types     []typeXML `xml:"instanceTypeSet>item"`
	NextToken string    `xml:"nextToken,omitempty"`
}

type typeXML struct {
	Name           string        `xml:"instanceType"`
	Current        bool          `xml:"currentGeneration"`
	FreeTier       bool          `xml:"freeTierEligible"`
	UsageClasses   []string      `xml:"supportedUsageClasses>item"`
	RootDevices    []string      `xml:"supportedRootDeviceTypes>item"`
	Virtualization []string      `xml:"supportedVirtualizationTypes>item"`
	BareMetal      bool          `xml:"bareMetal"`
	Hypervisor     string        `xml:"hypervisor,omitempty"`
	Processor      processorXML  `xml:"processorInfo"`
	VCPU           vcpuXML       `xml:"vCpuInfo"`
	MemoryMiB      int           `xml:"memoryInfo>sizeInMiB"`
	HasStorage     bool          `xml:"instanceStorageSupported"`
	Storage        *storageXML   `xml:"instanceStorageInfo"`
	EBS            ebsInfoXML    `xml:"ebsInfo"`
	Network        networkXML    `xml:"networkInfo"`
	GPU            *gpuXML       `xml:"gpuInfo"`
	Inference      *inferenceXML `xml:"inferenceAcceleratorInfo"`
	Neuron         *neuronXML    `xml:"neuronInfo"`
	Hibernation    bool          `xml:"hibernationSupported"`
	Burstable      bool          `xml:"burstablePerformanceSupported"`
	DedicatedHosts bool          `xml:"dedicatedHostsSupported"`
	AutoRecovery   bool          `xml:"autoRecoverySupported"`
	BootModes      []string      `xml:"supportedBootModes>item"`
}

type processorXML struct {
	Architectures []string `xml:"supportedArchitectures>item"`
	Manufacturer  string   `xml:"manufacturer"`
}

type vcpuXML struct {
	VCPUs   int `xml:"defaultVCpus"`
	Cores   int `xml:"defaultCores"`
	Threads int `xml:"defaultThreadsPerCore"`
}

type storageXML struct {
	TotalGB int       `xml:"totalSizeInGB"`
	Disks   []diskXML `xml:"disks>item"`
	NVMe    string    `xml:"nvmeSupport"`
}

type diskXML struct {
	SizeGB int    `xml:"sizeInGB"`
	Count  int    `xml:"count"`
	Type   string `xml:"type"`
}

type ebsInfoXML struct {
	Optimized  string `xml:"ebsOptimizedSupport"`
	Encryption string `xml:"encryptionSupport"`
	NVMe       string `xml:"nvmeSupport"`
}

type networkXML struct {
	Interfaces int       `xml:"maximumNetworkInterfaces"`
	IPv4       int       `xml:"ipv4AddressesPerInterface"`
	IPv6       int       `xml:"ipv6AddressesPerInterface"`
	HasIPv6    bool      `xml:"ipv6Supported"`
	ENA        string    `xml:"enaSupport"`
	MaxCards   int       `xml:"maximumNetworkCards"`
	Default    int       `xml:"defaultNetworkCardIndex"`
	Cards      []cardXML `xml:"networkCards>item"`
}

type cardXML struct {
	Index      int `xml:"networkCardIndex"`
	Interfaces int `xml:"maximumNetworkInterfaces"`
}

type gpuXML struct {
	GPUs     []deviceXML `xml:"gpus>item"`
	TotalMiB int         `xml:"totalGpuMemoryInMiB"`
}

type inferenceXML struct {
	Accelerators []deviceXML `xml:"accelerators>member"`
	TotalMiB     int         `xml:"totalInferenceMemoryInMiB"`
}

type neuronXML struct {
	Devices  []deviceXML `xml:"neuronDevices>item"`
	TotalMiB int         `xml:"totalNeuronDeviceMemoryInMiB"`
}

type deviceXML struct {
	Name         string `xml:"name"`
	Manufacturer string `xml:"manufacturer"`
	Count        int    `xml:"count"`
	MemoryMiB    int    `xml:"memoryInfo>sizeInMiB"`
}

type instanceType = catalog.InstanceType

func (s *Server) describeInstanceTypes(_ context.Context, c *Call) (response, error) {
	names := c.Params.Strings("InstanceType")
	c.Params.Bool("IncludeUnsupportedInRegion")
	pages, err := readPaging(c.Params, 5, 100, typesPage)
	if err != nil {
		return nil, err
	}
	test, err := selects(readFilters(c.Params), typeFields(), nil)
	if err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if len(names) > 0 && c.Params.Int("MaxResults") != nil {
		return nil, awserr.New("InvalidParameterCombination", "The parameter instanceTypes cannot be used with the parameter maxResults")
	}
	unknown := keep(names, func(n string) bool { _, ok := s.World.Catalog.Type(n); return !ok })
	if len(unknown) > 0 {
		return nil, awserr.New("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", strings.Join(unknown, ", "))
	}
	types := keep(s.World.Catalog.Types, func(t instanceType) bool {
		return (len(names) == 0 || slices.Contains(names, t.Name)) && test(t)
	})
	found, next := page(types, pages, func(t instanceType) string { return t.Name })
	out := &describeTypesResponse{NextToken: next}
	for _, t := range found {
		out.Types = append(out.Types, typeOf(t))
	}
	return out, nil
}

func typeFields() fields[instanceType] {
	return fields[instanceType]{
		"instance-type":                             one(func(t instanceType) string { return t.Name }),
		"current-generation":                        one(func(t instanceType) string { return btoa(t.CurrentGeneration) }),
		"burstable-performance-supported":           one(func(t instanceType) string { return btoa(t.Burstable) }),
		"instance-storage-supported":                one(func(t instanceType) string { return btoa(t.Disks != nil) }),
		"processor-info.supported-architecture":     one(func(t instanceType) string { return t.Architecture }),
		"vcpu-info.default-vcpus":                   one(func(t instanceType) string { return itoa(t.VCPUs) }),
		"memory-info.size-in-mib":                   one(func(t instanceType) string { return itoa(t.MemoryMiB) }),
		"network-info.maximum-network-interfaces":   one(func(t instanceType) string { return itoa(t.Interfaces) }),
		"network-info.ipv4-addresses-per-interface": one(func(t instanceType) string { return itoa(t.AddressesPerInterface) }),
		"supported-usage-class":                     instanceType.UsageClasses,
		"bare-metal":                                one(func(t instanceType) string { return btoa(t.BareMetal()) }),
		"hypervisor": func(t instanceType) []string {
			return keep([]string{t.Hypervisor}, func(h string) bool { return h != "" })
		},
		"supported-virtualization-type": func(t instanceType) []string { return t.Virtualization },
		"supported-root-device-type":    func(t instanceType) []string { return t.RootDevices },
		"network-info.ena-support":      one(func(t instanceType) string { return t.ENA }),
		"supported-boot-mode":           func(t instanceType) []string { return t.BootModes },
		"ebs-info.encryption-support":   always[instanceType]("supported"),
	}
}

func typeOf(t instanceType) typeXML {
	x := typeXML{
		Name: t.Name, Current: t.CurrentGeneration, FreeTier: t.Name == "t3.micro", UsageClasses: t.UsageClasses(),
		RootDevices: t.RootDevices, Virtualization: t.Virtualization, Hypervisor: t.Hypervisor, BareMetal: t.BareMetal(), BootModes: t.BootModes,
		Processor: processorXML{[]string{t.Architecture}, t.Manufacturer},
		VCPU:      vcpuXML{t.VCPUs, t.VCPUs / t.ThreadsPerCore, t.ThreadsPerCore},
		MemoryMiB: t.MemoryMiB, HasStorage: t.Disks != nil, Burstable: t.Burstable, AutoRecovery: t.Disks == nil,
		EBS: ebsInfoXML{"default", "supported", "required"},
		Network: networkXML{Interfaces: t.Interfaces, IPv4: t.AddressesPerInterface, IPv6: t.AddressesPerInterface, HasIPv6: true,
			ENA: t.ENA, MaxCards: 1, Cards: []cardXML{{0, t.Interfaces}}},
	}
	if t.Disks != nil {
		x.Storage = &storageXML{NVMe: "required"}
		for _, d := range t.Disks {
			x.Storage.TotalGB += d.Count * d.SizeGB
			x.Storage.Disks = append(x.Storage.Disks, diskXML{d.SizeGB, d.Count, "ssd"})
		}
	}
	if t.GPU != nil {
		x.GPU = &gpuXML{[]deviceXML{deviceXML(*t.GPU)}, t.GPU.Count * t.GPU.MemoryMiB}
	}
	if t.Neuron != nil {
		total := t.Neuron.Count * t.Neuron.MemoryMiB
		if t.Inference {
			x.Inference = &inferenceXML{[]deviceXML{deviceXML(*t.Neuron)}, total}
		}
		x.Neuron = &neuronXML{[]deviceXML{deviceXML(*t.Neuron)}, total}
	}
	return x
}

type describeOfferingsResponse struct {
	header
	Offerings []offeringXML `xml:"instanceTypeOfferingSet>item"`
	NextToken string        `xml:"nextToken,omitempty"`
}

type offeringXML struct {
	Type         string `xml:"instanceType"`
	Location     string `xml:"location"`
	LocationType string `xml:"locationType"`
}

func (s *Server) describeInstanceTypeOfferings(_ context.Context, c *Call) (response, error) {
	by := orElse(c.Params.OneOf("LocationType", "region", "availability-zone", "availability-zone-id"), "region")
	pages, err := readPaging(c.Params, 5, 1000, 0)
	if err != nil {
		return nil, err
	}
	test, err := selects(readFilters(c.Params), fields[offeringXML]{
		"instance-type": one(func(o offeringXML) string { return o.Type }),
		"location":      one(func(o offeringXML) string { return o.Location }),
	}, nil)
	if err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, next := page(keep(s.offerings(by), test), pages, func(o offeringXML) string { return o.Type + " " + o.Location })
	return &describeOfferingsResponse{Offerings: found, NextToken: next}, nil
}

// offerings are all types at each place of a kind that has them, in the order
// of their paging keys.
func (s *Server) offerings(by string) []offeringXML {
	var out []offeringXML
	for _, t := range s.World.Catalog.Types {
		if by == "region" {
			out = append(out, offeringXML{t.Name, s.World.Catalog.Region, by})
			continue
		}
		for _, z := range s.World.Catalog.Zones {
			location := z.Name
			if by == "availability-zone-id" {
				location = z.ID
			}
			if s.World.Catalog.Offered(t, z.Name) {
				out = append(out, offeringXML{t.Name, location, by})
			}
		}
	}
	return out
}
