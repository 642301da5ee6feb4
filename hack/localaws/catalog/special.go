package catalog

// burstable lists the T families, which follow a pattern of their own.
func burstable() []InstanceType {
	var out []InstanceType
	for _, f := range []struct {
		name, arch, manufacturer string
		threads                  int
		smallInterfaces          int
		platform                 platform
		notInZones               []int
	}{
		{"t2", X86, "Intel", 1, 3, xen("unsupported", "hvm"), nil},
		{"t3", X86, "Intel", 2, 3, nitro(X86), nil},
		{"t3a", X86, "AMD", 2, 2, nitro(X86), []int{2}},
		{"t4g", ARM, "AWS", 1, 3, nitro(ARM), nil},
	} {
		for _, s := range []struct {
			name                                    string
			vcpus, memoryMiB, interfaces, addresses int
		}{
			{"nano", 2, 512, 2, 2}, {"micro", 2, 1024, 2, 2}, {"small", 2, 2048, f.smallInterfaces, 4},
			{"medium", 2, 4096, 3, 6}, {"large", 2, 8192, 3, 12}, {"xlarge", 4, 16384, 4, 15}, {"2xlarge", 8, 32768, 4, 15},
		} {
			t := InstanceType{
				Name: f.name + "." + s.name, Architecture: f.arch, Manufacturer: f.manufacturer,
				VCPUs: s.vcpus, ThreadsPerCore: f.threads, MemoryMiB: s.memoryMiB, Burstable: true, CurrentGeneration: f.name != "t2",
				Interfaces: s.interfaces, AddressesPerInterface: s.addresses, notInZones: f.notInZones,
			}
			if f.name == "t2" && s.memoryMiB <= 2048 {
				t.VCPUs = 1
			}
			t.on(f.platform)
			out = append(out, t)
		}
	}
	return out
}

// device is the accelerator of a family.
type device struct {
	Device
	neuron       bool
	inference    bool // told as an inference accelerator too, as EC2 does for Inferentia
	manufacturer string
	previous     bool
	arch         string
	xen          bool
	notInZones   []int
}

func devices() map[string]device {
	nvidia := func(name string, memoryMiB int) Device {
		return Device{Name: name, Manufacturer: "NVIDIA", MemoryMiB: memoryMiB}
	}
	aws := func(name string, memoryMiB int) Device {
		return Device{Name: name, Manufacturer: "AWS", MemoryMiB: memoryMiB}
	}
	last := []int{2}
	return map[string]device{
		"g4dn": {Device: nvidia("T4", 16384), notInZones: last},
		"g4ad": {Device: Device{Name: "Radeon Pro V520", Manufacturer: "AMD", MemoryMiB: 8192}, manufacturer: "AMD", notInZones: last},
		"g5":   {Device: nvidia("A10G", 22888), manufacturer: "AMD", previous: true, notInZones: last},
		"g5g":  {Device: nvidia("T4g", 16384), manufacturer: "AWS", arch: ARM, notInZones: []int{0}},
		"g6":   {Device: nvidia("L4", 22888), manufacturer: "AMD", notInZones: last},
		"p3":   {Device: nvidia("V100", 16384), previous: true, xen: true, notInZones: []int{1}},
		"p4d":  {Device: nvidia("A100", 40960), notInZones: []int{0, 1}},
		"inf1": {Device: aws("Inferentia", 8192), neuron: true, inference: true, notInZones: last},
		"inf2": {Device: aws("Inferentia2", 32768), neuron: true, inference: true, manufacturer: "AMD", notInZones: last},
		"trn1": {Device: aws("Trainium", 32768), neuron: true, notInZones: []int{0}},
	}
}

// accelerated lists the types with GPUs or Neuron devices.
func accelerated() []InstanceType {
	known := devices()
	var out []InstanceType
	for _, r := range []struct {
		name                                    string
		vcpus, memoryGiB, interfaces, addresses int
		disks                                   []Disk
		count                                   int
	}{
		{"g4dn.xlarge", 4, 16, 3, 10, []Disk{{1, 125}}, 1},
		{"g4dn.2xlarge", 8, 32, 3, 10, []Disk{{1, 225}}, 1},
		{"g4dn.4xlarge", 16, 64, 3, 10, []Disk{{1, 225}}, 1},
		{"g4dn.8xlarge", 32, 128, 4, 15, []Disk{{1, 900}}, 1},
		{"g4dn.12xlarge", 48, 192, 8, 30, []Disk{{1, 900}}, 4},
		{"g4dn.16xlarge", 64, 256, 4, 15, []Disk{{1, 900}}, 1},
		{"g4dn.metal", 96, 384, 15, 50, []Disk{{2, 900}}, 8},
		{"g4ad.xlarge", 4, 16, 2, 4, []Disk{{1, 150}}, 1},
		{"g4ad.8xlarge", 32, 128, 4, 15, []Disk{{1, 1200}}, 2},
		{"g5.xlarge", 4, 16, 4, 15, []Disk{{1, 250}}, 1},
		{"g5.2xlarge", 8, 32, 4, 15, []Disk{{1, 450}}, 1},
		{"g5.4xlarge", 16, 64, 8, 30, []Disk{{1, 600}}, 1},
		{"g5.8xlarge", 32, 128, 8, 30, []Disk{{1, 900}}, 1},
		{"g5.12xlarge", 48, 192, 15, 50, []Disk{{1, 3800}}, 4},
		{"g5g.xlarge", 4, 8, 4, 15, nil, 1},
		{"g5g.4xlarge", 16, 32, 8, 30, nil, 1},
		{"g6.xlarge", 4, 16, 4, 15, []Disk{{1, 250}}, 1},
		{"g6.12xlarge", 48, 192, 8, 30, []Disk{{4, 940}}, 4},
		{"p3.2xlarge", 8, 61, 4, 15, nil, 1},
		{"p3.8xlarge", 32, 244, 8, 30, nil, 4},
		{"p4d.24xlarge", 96, 1152, 15, 50, []Disk{{8, 1000}}, 8},
		{"inf1.xlarge", 4, 8, 4, 10, nil, 1},
		{"inf1.6xlarge", 24, 48, 8, 30, nil, 4},
		{"inf2.xlarge", 4, 16, 4, 15, nil, 1},
		{"inf2.8xlarge", 32, 128, 8, 30, nil, 1},
		{"inf2.24xlarge", 96, 384, 15, 50, nil, 6},
		{"trn1.2xlarge", 8, 32, 4, 15, []Disk{{1, 474}}, 1},
		{"trn1.32xlarge", 128, 512, 8, 50, []Disk{{4, 1900}}, 16},
	} {
		t := InstanceType{
			Name: r.name, Architecture: X86, Manufacturer: "Intel", VCPUs: r.vcpus, ThreadsPerCore: 2, MemoryMiB: r.memoryGiB * 1024,
			CurrentGeneration: true, Interfaces: r.interfaces, AddressesPerInterface: r.addresses, Disks: r.disks,
		}
		t.equip(known[t.Family()], r.count)
		out = append(out, t)
	}
	return out
}

func (t *InstanceType) equip(d device, count int) {
	d.Count = count
	if d.neuron {
		t.Neuron, t.Inference = &d.Device, d.inference
	} else {
		t.GPU = &d.Device
	}
	if d.manufacturer != "" {
		t.Manufacturer = d.manufacturer
	}
	if d.arch == ARM {
		t.Architecture, t.ThreadsPerCore = ARM, 1
	}
	t.CurrentGeneration, t.notInZones = !d.previous, d.notInZones
	if d.xen {
		t.on(xen("supported", "hvm"))
		return
	}
	t.on(nitro(t.Architecture))
}
