package itzo

// VolumeMount mounts a volume of the pod into a unit, always writable.
type VolumeMount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`
	// SubPath is ignored by the agents of the field.
	SubPath string `json:"subPath,omitempty"`
}

// Volume has a name and exactly one source, whose key stands beside the name.
type Volume struct {
	Name        string           `json:"name"`
	EmptyDir    *EmptyDir        `json:"emptyDir,omitempty"`
	PackagePath *PackagePath     `json:"packagePath,omitempty"`
	ConfigMap   *ConfigMapVolume `json:"configMap,omitempty"`
	Secret      *SecretVolume    `json:"secret,omitempty"`
	Projected   *ProjectedVolume `json:"projected,omitempty"`
	HostPath    *HostPath        `json:"hostPath,omitempty"`
}

// EmptyDir is a directory that lives as long as the pod.
type EmptyDir struct {
	// Medium is empty (disk) or Memory.
	Medium string `json:"medium,omitempty"`
	// SizeLimit is in MiB, for Memory only; 0 sets no limit.
	SizeLimit int64 `json:"sizeLimit,omitempty"`
}

// PackagePath is a path inside the package that has the volume's name.
type PackagePath struct {
	Path string `json:"path"`
}

// KeyToPath places one key of a configMap or secret.
type KeyToPath struct {
	Key  string `json:"key"`
	Path string `json:"path"`
	Mode *int32 `json:"mode,omitempty"`
}

// ConfigMapVolume only marks the volume: the content is in the package of the
// volume's name.
type ConfigMapVolume struct {
	Name        string      `json:"name,omitempty"`
	Items       []KeyToPath `json:"items,omitempty"`
	DefaultMode *int32      `json:"defaultMode,omitempty"`
	Optional    *bool       `json:"optional,omitempty"`
}

// SecretVolume only marks the volume: the content is in the package of the
// volume's name.
type SecretVolume struct {
	SecretName  string      `json:"secretName,omitempty"`
	Items       []KeyToPath `json:"items,omitempty"`
	DefaultMode *int32      `json:"defaultMode,omitempty"`
	Optional    *bool       `json:"optional,omitempty"`
}

// ProjectedVolume only marks the volume: the content is in the package of the
// volume's name.
type ProjectedVolume struct {
	Sources     []VolumeProjection `json:"sources"`
	DefaultMode *int32             `json:"defaultMode,omitempty"`
}

// VolumeProjection is one source of a ProjectedVolume.
type VolumeProjection struct {
	Secret    *Projection `json:"secret,omitempty"`
	ConfigMap *Projection `json:"configMap,omitempty"`
}

// Projection names a configMap or secret and the keys wanted of it.
type Projection struct {
	Name     string      `json:"name,omitempty"`
	Items    []KeyToPath `json:"items,omitempty"`
	Optional *bool       `json:"optional,omitempty"`
}

// HostPath is a path of the cell.
type HostPath struct {
	Path string `json:"path"`
	// Type should be empty for sockets and devices: agents check those three
	// the wrong way round.
	Type string `json:"type,omitempty"`
}
