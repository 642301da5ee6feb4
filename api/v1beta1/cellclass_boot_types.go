package v1beta1

// CloudInitSource is a key of a ConfigMap or of a Secret.
//
// +kubebuilder:validation:XValidation:rule="!has(self.secretKeyRef) || self.secretKeyRef.name != 'kip-ca'",message="secretKeyRef.name must not be kip-ca, which holds the key of the cells' authority"
// +kubebuilder:validation:XValidation:rule="has(self.configMapKeyRef) != has(self.secretKeyRef)",message="one of configMapKeyRef and secretKeyRef is required, not both"
type CloudInitSource struct {
	// +optional
	ConfigMapKeyRef *KeyReference `json:"configMapKeyRef,omitempty"`
	// +optional
	SecretKeyRef *KeyReference `json:"secretKeyRef,omitempty"`
}

// KeyReference names a key of an object in the operator's namespace.
type KeyReference struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key"`
}

// CellConfigValue is a value of cellConfig.
//
// +kubebuilder:validation:MaxLength=4096
type CellConfigValue string

// BootImageOverride is an image for some types.
//
// +kubebuilder:validation:XValidation:rule="has(self.architecture) || has(self.accelerator)",message="one of architecture and accelerator is required: what is for all types belongs into spec.bootImageSpec"
type BootImageOverride struct {
	// architecture is amd64 or arm64; both where it is absent.
	// +optional
	// +kubebuilder:validation:Enum=amd64;arm64
	Architecture string `json:"architecture,omitempty"`
	// accelerator: nvidia is for types with NVIDIA GPUs, neuron for those
	// with AWS Neuron devices. With and without where it is absent.
	// +optional
	// +kubebuilder:validation:Enum=nvidia;neuron
	Accelerator string `json:"accelerator,omitempty"`
	// image chooses it.
	Image BootImageSpec `json:"image"`
}

// BootImageSpec chooses machine images as DescribeImages does, written as in
// the first Kip's provider.yaml: several of a kind are parted by blanks. All
// that is given must match.
//
// +kubebuilder:validation:XValidation:rule="has(self.imageIDs) || has(self.owners) || has(self.filters) || has(self.ssmParameters)",message="one of imageIDs, owners, filters or ssmParameters is required"
// +kubebuilder:validation:XValidation:rule="!has(self.imageIDs) || !has(self.ssmParameters)",message="imageIDs and ssmParameters exclude each other"
type BootImageSpec struct {
	// owners are account IDs of 12 digits, or self, amazon, aws-marketplace:
	// "099720109477 self".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^ *([0-9]{12}|self|amazon|aws-marketplace)( +([0-9]{12}|self|amazon|aws-marketplace))* *$')",message="must be account IDs of 12 digits, self, amazon or aws-marketplace, parted by blanks"
	Owners string `json:"owners,omitempty"`
	// filters are DescribeImages filters, name=value[,value]:
	// "name=kip-cell-*,cell-* architecture=x86_64". * and ? in a value are
	// wildcards; ? also stands for a blank.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.matches('^ *[^ =,]+=[^ ,]+(,[^ ,]+)*( +[^ =,]+=[^ ,]+(,[^ ,]+)*)* *$')",message="must be name=value[,value], several parted by blanks, such as name=ubuntu/images/*-amd64-*; ? stands for a blank in a value"
	Filters string `json:"filters,omitempty"`
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^ *ami-[0-9a-f]{8,17}( +ami-[0-9a-f]{8,17})* *$')",message="must be image IDs such as ami-0123456789abcdef0, parted by blanks"
	ImageIDs string `json:"imageIDs,omitempty"`
	// executableUsers are account IDs of 12 digits, or self, or all.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^ *([0-9]{12}|self|all)( +([0-9]{12}|self|all))* *$')",message="must be account IDs of 12 digits, self or all, parted by blanks"
	ExecutableUsers string `json:"executableUsers,omitempty"`
	// ssmParameters are the names or ARNs of parameters in Parameter Store that
	// hold image IDs, such as AWS and Canonical publish, parted by blanks: one
	// for each architecture.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.matches('^ *[a-zA-Z0-9_.:/-]+( +[a-zA-Z0-9_.:/-]+)* *$')",message="must be names of parameters, such as /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64, parted by blanks"
	SSMParameters string `json:"ssmParameters,omitempty"`
}

// ItzoSpec says where a cell gets its agent: from
// <url>/itzo-<version>-<arch>, arch being amd64 or arm64. Where it is empty the
// operator serves its own.
//
// +kubebuilder:validation:XValidation:rule="has(self.url) || !has(self.version) && !has(self.sha256)",message="version and sha256 need url: without it the operator serves the agent of its own release"
type ItzoSpec struct {
	// url is the base URL, http or https, without a final slash.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^https?://[^\s\x22\x27$]+[^/\s\x22\x27$]$')`,message="must be a URL that begins with http:// or https://, without a slash at its end, and without blanks, quotes and $"
	URL string `json:"url,omitempty"`
	// version is as it stands in the files' names, but that 1.2.3 is taken for
	// v1.2.3. An agent of this version that the image has is taken without a
	// download; any, where the version is absent.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9._+-]+$`
	Version string `json:"version,omitempty"`
	// sha256 holds digests in hexadecimal by the files' names without the
	// version: itzo-amd64, itzo-arm64, pause-amd64, pause-arm64,
	// containerd-amd64.tar.gz, containerd-arm64.tar.gz. A file with another
	// digest is not installed.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=6
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^((itzo|pause)-(amd64|arm64)|containerd-(amd64|arm64)[.]tar[.]gz)$'))",message="keys are itzo-amd64, itzo-arm64, pause-amd64, pause-arm64, containerd-amd64.tar.gz and containerd-arm64.tar.gz"
	SHA256 map[string]SHA256 `json:"sha256,omitempty"`
}

// SHA256 is a digest in hexadecimal.
//
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:Pattern=`^[0-9a-fA-F]{64}$`
type SHA256 string
