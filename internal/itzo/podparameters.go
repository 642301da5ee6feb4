package itzo

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// PodParameters is the body of updatepod: all that an agent needs to know of
// its pod.
type PodParameters struct {
	// Secrets maps secret name to key to value; in units the only source of
	// EnvVar.ValueFrom. With Pod they are what its environments refer to; what
	// does not exist is not there.
	Secrets map[string]map[string][]byte `json:"secrets,omitempty"`
	// ConfigMaps are the same of ConfigMaps, for Pod only.
	ConfigMaps map[string]map[string]string `json:"configMaps,omitempty"`
	// Services are the variables of the services that Pod is to know, for Pod only.
	Services map[string]string `json:"services,omitempty"`
	// Credentials are used to pull images, by registry host (no scheme, no
	// path).
	Credentials map[string]RegistryCredentials `json:"credentials,omitempty"`
	Spec        PodSpec                        `json:"spec"`
	// Annotations, PodName, NodeName, PodIP and PodHostname have no tag in the
	// agents of the field, hence the capitals on the wire.
	Annotations map[string]string `json:"Annotations,omitempty"`
	// PodName is <namespace>_<name>; see FormatPodName.
	PodName string `json:"PodName"`
	// NodeName starts the network agent of old agents when it is not empty.
	NodeName string `json:"NodeName,omitempty"`
	// PodIP is the address of the pod alone, without a mask. Empty: the pod
	// shares the cell's address.
	PodIP string `json:"PodIP,omitempty"`
	// PodHostname is what agents of generation 1.1 use as host name; 1.2 reads
	// PodSpec.Hostname. Send the same in both.
	PodHostname string `json:"PodHostname,omitempty"`
	// Pod is Kip's extension "pod": the whole pod, with what its environment
	// refers to beside it and the content of its volumes delivered as packages.
	// Agents that know it ignore the units.
	Pod *corev1.Pod `json:"Pod,omitempty"`
}

// RegistryCredentials lets an agent pull from one registry.
type RegistryCredentials struct {
	// Server repeats the key of the map; agents do not read it.
	Server   string `json:"server"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// Phase is the phase of a pod in Itzo's words.
type Phase string

// The phases that PodSpec.Phase can hold.
const (
	PhaseWaiting     Phase = "Waiting"
	PhaseDispatching Phase = "Dispatching"
	PhaseRunning     Phase = "Running"
	PhaseSucceeded   Phase = "Succeeded"
	PhaseFailed      Phase = "Failed"
	PhaseTerminated  Phase = "Terminated"
)

// RestartPolicy is spelt exactly as Kubernetes does; agents take any other
// value for Always.
type RestartPolicy string

// The restart policies.
const (
	RestartAlways    RestartPolicy = "Always"
	RestartOnFailure RestartPolicy = "OnFailure"
	RestartNever     RestartPolicy = "Never"
)

// PodSpec is the pod in units. What only the controller read in the first Kip
// (placement, resources) is not here.
type PodSpec struct {
	Phase         Phase         `json:"phase,omitempty"`
	RestartPolicy RestartPolicy `json:"restartPolicy,omitempty"`
	Units         []Unit        `json:"units"`
	// InitUnits must be empty for agents of generation 1.2.
	InitUnits []Unit `json:"initUnits,omitempty"`
	// ImagePullSecrets is never read; its key is always present on the wire,
	// null when there are none.
	ImagePullSecrets []string            `json:"imagePullSecrets"`
	Volumes          []Volume            `json:"volumes,omitempty"`
	SecurityContext  *PodSecurityContext `json:"securityContext,omitempty"`
	Hostname         string              `json:"hostname,omitempty"`
}

// NamespaceMode says whose namespace a pod uses.
type NamespaceMode int

// The namespace modes. Agents tell only NamespaceNode of the network apart.
const (
	NamespacePod       NamespaceMode = 0
	NamespaceContainer NamespaceMode = 1
	NamespaceNode      NamespaceMode = 2
)

// NamespaceOption holds the namespace modes of a pod.
type NamespaceOption struct {
	Network NamespaceMode `json:"network,omitempty"`
	PID     NamespaceMode `json:"pid,omitempty"`
	IPC     NamespaceMode `json:"ipc,omitempty"`
}

// PodSecurityContext applies to all units; a unit's own values win.
type PodSecurityContext struct {
	NamespaceOptions   *NamespaceOption `json:"namespaceOptions,omitempty"`
	RunAsUser          *int64           `json:"runAsUser,omitempty"`
	RunAsGroup         *int64           `json:"runAsGroup,omitempty"`
	SupplementalGroups []int64          `json:"supplementalGroups,omitempty"`
	Sysctls            []Sysctl         `json:"sysctls,omitempty"`
}

// Sysctl is one kernel parameter, in dotted form.
type Sysctl struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SecurityContext is that of one unit.
type SecurityContext struct {
	Capabilities *Capabilities `json:"capabilities,omitempty"`
	RunAsUser    *int64        `json:"runAsUser,omitempty"`
	RunAsGroup   *int64        `json:"runAsGroup,omitempty"`
}

// Capabilities are added to and dropped from the agent's default list.
type Capabilities struct {
	Add []string `json:"add,omitempty"`
	// Drop has a malformed tag in the agents of the field: its wire name
	// begins with a capital.
	Drop []string `json:"Drop,omitempty"`
}

// Unit is one container.
type Unit struct {
	// Name is a DNS label, unique over units and init units.
	Name                     string           `json:"name"`
	Image                    string           `json:"image"`
	Command                  []string         `json:"command,omitempty"`
	Args                     []string         `json:"args,omitempty"`
	Env                      []EnvVar         `json:"env,omitempty"`
	VolumeMounts             []VolumeMount    `json:"volumeMounts,omitempty"`
	Ports                    []ContainerPort  `json:"ports,omitempty"`
	WorkingDir               string           `json:"workingDir,omitempty"`
	SecurityContext          *SecurityContext `json:"securityContext,omitempty"`
	LivenessProbe            *Probe           `json:"livenessProbe,omitempty"`
	ReadinessProbe           *Probe           `json:"readinessProbe,omitempty"`
	StartupProbe             *Probe           `json:"startupProbe,omitempty"`
	TerminationMessagePath   string           `json:"terminationMessagePath,omitempty"`
	TerminationMessagePolicy string           `json:"terminationMessagePolicy,omitempty"`
}

// EnvVar is one variable of a unit's environment.
type EnvVar struct {
	Name      string        `json:"name"`
	Value     string        `json:"value,omitempty"`
	ValueFrom *EnvVarSource `json:"valueFrom,omitempty"`
}

// EnvVarSource takes a value from PodParameters.Secrets.
type EnvVarSource struct {
	SecretKeyRef *SecretKeySelector `json:"secretKeyRef,omitempty"`
}

// SecretKeySelector names one key of one secret.
type SecretKeySelector struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// ContainerPort gives a port a name; agents map no ports.
type ContainerPort struct {
	Name          string `json:"name,omitempty"`
	HostPort      int32  `json:"hostPort,omitempty"`
	ContainerPort int32  `json:"containerPort"`
	Protocol      string `json:"protocol,omitempty"`
	HostIP        string `json:"hostIP,omitempty"`
}

// Probe is a check of a unit. Agents fill in no defaults: every number must be
// given.
type Probe struct {
	Exec                *ExecAction      `json:"exec,omitempty"`
	HTTPGet             *HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket           *TCPSocketAction `json:"tcpSocket,omitempty"`
	InitialDelaySeconds int32            `json:"initialDelaySeconds,omitempty"`
	TimeoutSeconds      int32            `json:"timeoutSeconds,omitempty"`
	PeriodSeconds       int32            `json:"periodSeconds,omitempty"`
	SuccessThreshold    int32            `json:"successThreshold,omitempty"`
	FailureThreshold    int32            `json:"failureThreshold,omitempty"`
}

// ExecAction runs a command in the unit.
type ExecAction struct {
	Command []string `json:"command,omitempty"`
}

// HTTPGetAction asks for a URL.
type HTTPGetAction struct {
	Path        string             `json:"path,omitempty"`
	Port        intstr.IntOrString `json:"port"`
	Host        string             `json:"host,omitempty"`
	Scheme      string             `json:"scheme,omitempty"`
	HTTPHeaders []HTTPHeader       `json:"httpHeaders,omitempty"`
}

// HTTPHeader is one header of an HTTPGetAction.
type HTTPHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TCPSocketAction opens a connection. Agents resolve no port names here.
type TCPSocketAction struct {
	Port intstr.IntOrString `json:"port"`
	Host string             `json:"host,omitempty"`
}
