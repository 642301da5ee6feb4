package sandbox

import (
	"fmt"
	"strings"

	"kip.elotl.co/hack/localaws/boot"
)

// devices names the cell's accelerators, of which there is no more than their
// device files.
func devices(spec boot.Spec) []string {
	var names []string
	for i := range spec.GPUs {
		names = append(names, fmt.Sprintf("nvidia%d", i))
	}
	for i := range spec.Neurons {
		names = append(names, fmt.Sprintf("neuron%d", i))
	}
	return names
}

// deviceSpecification is what nvidia-ctk cdi generate makes at the boot of an
// image with NVIDIA's driver, as far as it does not need one.
func deviceSpecification(spec boot.Spec) []entry {
	if spec.GPUs == 0 {
		return nil
	}
	var text, all strings.Builder
	text.WriteString("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ncontainerEdits:\n  env: [NVIDIA_VISIBLE_DEVICES=void]\ndevices:\n")
	for i := range spec.GPUs {
		node := fmt.Sprintf("{path: /dev/nvidia%d}", i)
		fmt.Fprintf(&text, "- {name: \"%d\", containerEdits: {deviceNodes: [%s]}}\n", i, node)
		all.WriteString(node + ", ")
	}
	fmt.Fprintf(&text, "- {name: all, containerEdits: {deviceNodes: [%s]}}\n", strings.TrimSuffix(all.String(), ", "))
	return []entry{{"/etc/cdi/nvidia.yaml", 0o644, text.String()}}
}
