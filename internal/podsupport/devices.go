package podsupport

import corev1 "k8s.io/api/core/v1"

// The resources that containers get devices for: what the device plugins of
// NVIDIA and of AWS Neuron call theirs.
const (
	ResourceGPU    corev1.ResourceName = "nvidia.com/gpu"
	ResourceNeuron corev1.ResourceName = "aws.amazon.com/neuron"
)

// IsDevice says whether a resource is one that containers get devices for.
func IsDevice(name corev1.ResourceName) bool {
	return name == ResourceGPU || name == ResourceNeuron
}
