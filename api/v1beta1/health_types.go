package v1beta1

// HealthCheckSpec says what a ready cell is given up by. A cell that is not
// looked at so is kept until EC2 says that it has ended.
//
// +kubebuilder:validation:XValidation:rule="has(self.status) != has(self.cloudAPI)",message="one of status and cloudAPI is required, not both"
type HealthCheckSpec struct {
	// status asks the cells' agents: one that does not answer for
	// healthyTimeout is given up.
	// +optional
	Status *HealthCheck `json:"status,omitempty"`
	// cloudAPI asks EC2: a cell whose system or instance status check has failed
	// for healthyTimeout is given up, whether its agent answers or not.
	// +optional
	CloudAPI *HealthCheck `json:"cloudAPI,omitempty"`
}

// HealthCheck is one way to look at cells.
type HealthCheck struct {
	// healthyTimeout is in seconds; 0 is for ever. The pod's annotation
	// pod.elotl.co/healthcheck-healthy-timeout goes before it.
	// +kubebuilder:default=90
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	HealthyTimeout int32 `json:"healthyTimeout"`
}
