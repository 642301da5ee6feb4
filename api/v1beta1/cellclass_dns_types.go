package v1beta1

// DNSSpec is where a cluster's names are resolved.
type DNSSpec struct {
	// servers are the IP addresses of the cluster's DNS as cells reach it: what
	// a kubelet is given as clusterDNS.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:MaxLength=45
	// +kubebuilder:validation:items:XValidation:rule="isIP(self)",message="must be an IP address, such as 10.96.0.10"
	Servers []string `json:"servers"`
	// domain is the cluster's, to which the names of its services belong.
	// +kubebuilder:default="cluster.local"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=180
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +optional
	Domain string `json:"domain,omitempty"`
}
