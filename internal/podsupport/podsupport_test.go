package podsupport_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podsupport"
)

func ours(runtimeVersion string) itzo.Info {
	return itzo.Info{
		Agent: itzo.AgentName, Version: "test", Protocol: itzo.ExtensionProtocol,
		Features: []itzo.Feature{itzo.FeaturePod, itzo.FeatureWait, itzo.FeatureStop},
		Runtime:  itzo.RuntimeInfo{Name: "containerd", Version: runtimeVersion},
	}
}

func ptr[T any](value T) *T { return &value }

// defaulted is a pod as the API server hands it out: every default filled in,
// admission and scheduler done.
func defaulted() *corev1.Pod {
	return &corev1.Pod{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "main", Image: "busybox", Command: []string{"sh"}, Args: []string{"-c", "id"},
			WorkingDir: "/", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80, Protocol: corev1.ProtocolTCP}},
			Env: []corev1.EnvVar{
				{Name: "A", Value: "b"},
				{Name: "B", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "k", Optional: ptr(true)}}},
				{Name: "C", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: "c"}, Key: "k", Optional: ptr(false)}}},
				{Name: "D", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"}}},
				{Name: "E", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu", Divisor: resource.MustParse("1m")}}},
			},
			EnvFrom: []corev1.EnvFromSource{
				{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}, Optional: ptr(true)}},
				{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}},
			},
			ImagePullPolicy: corev1.PullAlways, TerminationMessagePath: "/dev/termination-log",
			TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			ResizePolicy:             []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceCPU, RestartPolicy: corev1.NotRequired}},
			Resources: corev1.ResourceRequirements{
				Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("64Mi")},
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceEphemeralStorage: resource.MustParse("1Gi")},
			},
			VolumeMounts: []corev1.VolumeMount{{
				Name: "token", MountPath: "/var/run/secrets", ReadOnly: true, SubPath: "a",
				RecursiveReadOnly: ptr(corev1.RecursiveReadOnlyDisabled), MountPropagation: ptr(corev1.MountPropagationNone),
			}, {Name: "logs", MountPath: "/logs", SubPathExpr: "$(A)", MountPropagation: ptr(corev1.MountPropagationHostToContainer)}},
			SecurityContext: &corev1.SecurityContext{
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, Privileged: ptr(false),
				RunAsNonRoot: ptr(true), ProcMount: ptr(corev1.DefaultProcMount),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
		}},
		InitContainers: []corev1.Container{
			{Name: "before", Image: "busybox"},
			{Name: "beside", Image: "busybox", RestartPolicy: ptr(corev1.ContainerRestartPolicyAlways)},
		},
		Volumes: []corev1.Volume{
			{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: ptr(int32(0o644))}}},
			{Name: "logs", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/log", Type: ptr(corev1.HostPathDirectory)}}},
			{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "shm", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
				Medium: corev1.StorageMediumMemory, SizeLimit: ptr(resource.MustParse("1Mi"))}}},
		},
		RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: ptr(int64(30)),
		DNSPolicy: corev1.DNSClusterFirst, ServiceAccountName: "default", DeprecatedServiceAccount: "default",
		NodeName: "kip-default", SecurityContext: &corev1.PodSecurityContext{}, SchedulerName: "default-scheduler",
		Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists}},
		Priority:    ptr(int32(0)), PreemptionPolicy: ptr(corev1.PreemptLowerPriority), EnableServiceLinks: ptr(true),
		RuntimeClassName: ptr("kip-default"), ShareProcessNamespace: ptr(false), HostUsers: ptr(true),
		OS: &corev1.PodOS{Name: corev1.Linux}, Hostname: "web-0", Subdomain: "web",
		HostAliases: []corev1.HostAlias{{IP: "10.0.0.1", Hostnames: []string{"db"}}},
		DNSConfig:   &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.2"}},
	}}
}

func TestDefaultedPodIsSupported(t *testing.T) {
	if errs := podsupport.Unsupported(defaulted(), ours("1.6.20~ds1")); len(errs) > 0 {
		t.Errorf("refused: %v", errs.ToAggregate())
	}
}

func TestPodIsNotChanged(t *testing.T) {
	pod := defaulted()
	podsupport.Unsupported(pod, ours("1.6.20"))
	if diff := cmp.Diff(defaulted(), pod); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedByPath(t *testing.T) {
	tests := []struct {
		name   string
		change func(*corev1.PodSpec)
		want   []string
	}{
		{"scheme of a probe", func(s *corev1.PodSpec) {
			s.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Scheme: "FTP"}}}
		}, []string{"spec.containers[0].livenessProbe.httpGet.scheme"}},
		{"hook of a kind", func(s *corev1.PodSpec) {
			s.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{TCPSocket: &corev1.TCPSocketAction{}}}
		}, []string{"spec.containers[0].lifecycle.preStop.tcpSocket"}},
		{"stop signal", func(s *corev1.PodSpec) {
			s.Containers[0].Lifecycle = &corev1.Lifecycle{StopSignal: ptr(corev1.SIGUSR1)}
		}, []string{"spec.containers[0].lifecycle.stopSignal"}},
		{"in an init container", func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Ports: []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}}}
		}, []string{"spec.initContainers[0].ports[0].hostPort"}},
		{"init container's policy", func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{RestartPolicy: ptr(corev1.ContainerRestartPolicy("Sometimes"))}}
		}, []string{"spec.initContainers[0].restartPolicy"}},
		{"restart rule", func(s *corev1.PodSpec) {
			s.Containers[0].RestartPolicyRules = []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestartAllContainers,
				ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: "Like", Values: []int32{1}}}}
		}, []string{"spec.containers[0].restartPolicyRules[0].action", "spec.containers[0].restartPolicyRules[0].exitCodes.operator"}},
		{"stop signal of an old runtime", func(s *corev1.PodSpec) {
			s.Containers[0].Lifecycle = &corev1.Lifecycle{StopSignal: ptr(corev1.SIGUSR1)}
		}, []string{"spec.containers[0].lifecycle.stopSignal"}},
		{"ephemeral container's port", func(s *corev1.PodSpec) {
			s.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				Name: "debug", Ports: []corev1.ContainerPort{{HostPort: 1}}, SecurityContext: &corev1.SecurityContext{ProcMount: ptr(corev1.ProcMountType("x"))}}}}
		}, []string{"spec.ephemeralContainers[0].ports[0].hostPort", "spec.ephemeralContainers[0].securityContext.procMount"}},
		{"user namespace", func(s *corev1.PodSpec) { s.HostUsers = ptr(false) }, []string{"spec.hostUsers"}},
		{"env reference", func(s *corev1.PodSpec) {
			s.Containers[0].Env[0] = corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{}}
		}, []string{"spec.containers[0].env[0].valueFrom"}},
		{"env from a file", func(s *corev1.PodSpec) {
			s.Containers[0].Env[0] = corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{FileKeyRef: &corev1.FileKeySelector{}}}
		}, []string{"spec.containers[0].env[0].valueFrom.fileKeyRef"}},
		{"env of two kinds", func(s *corev1.PodSpec) {
			s.Containers[0].Env[0] = corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{
				ConfigMapKeyRef: &corev1.ConfigMapKeySelector{}, SecretKeyRef: &corev1.SecretKeySelector{}}}
		}, []string{"spec.containers[0].env[0].valueFrom.secretKeyRef"}},
		{"env of a field", func(s *corev1.PodSpec) {
			s.Containers[0].Env[0] = corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.phase"}}}
		}, []string{"spec.containers[0].env[0].valueFrom.fieldRef.fieldPath"}},
		{"env of a resource", func(s *corev1.PodSpec) {
			s.Containers[0].Env[0] = corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.hugepages-2Mi"}}}
		}, []string{"spec.containers[0].env[0].valueFrom.resourceFieldRef.resource"}},
		{"envFrom", func(s *corev1.PodSpec) { s.Containers[0].EnvFrom = []corev1.EnvFromSource{{}} },
			[]string{"spec.containers[0].envFrom[0]"}},
		{"host port", func(s *corev1.PodSpec) { s.Containers[0].Ports[0].HostPort = 80 },
			[]string{"spec.containers[0].ports[0].hostPort"}},
		{"device", func(s *corev1.PodSpec) {
			s.Containers[0].Resources.Limits["example.com/gpu"] = resource.MustParse("1")
		}, []string{"spec.containers[0].resources.limits[example.com/gpu]"}},
		{"disk limit", func(s *corev1.PodSpec) {
			s.Containers[0].Resources.Limits[corev1.ResourceEphemeralStorage] = resource.MustParse("1Gi")
		}, nil},
		{"the pod's own resources", func(s *corev1.PodSpec) {
			s.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("1Gi")}}
		}, nil},
		{"the pod's own devices", func(s *corev1.PodSpec) {
			s.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{"hugepages-2Mi": resource.MustParse("2Mi")},
				Claims: []corev1.ResourceClaim{{Name: "gpu"}}}
		}, []string{"spec.resources.claims", "spec.resources.limits[hugepages-2Mi]"}},
		{"kind of host path", func(s *corev1.PodSpec) {
			s.Volumes[2].VolumeSource = corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/", Type: ptr(corev1.HostPathType("Pipe"))}}
		}, []string{"spec.volumes[2].hostPath.type"}},
		{"claim", func(s *corev1.PodSpec) {
			s.Volumes[2].VolumeSource = corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}
		}, []string{"spec.volumes[2].persistentVolumeClaim"}},
		{"disk size limit", func(s *corev1.PodSpec) { s.Volumes[2].EmptyDir.SizeLimit = ptr(resource.MustParse("1Mi")) }, nil},
		{"owners of files", func(s *corev1.PodSpec) {
			s.Volumes[2].VolumeSource = corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{DefaultUser: ptr(int64(1))}}
			s.Volumes[0].Projected.Sources = []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{Items: []corev1.KeyToPath{{User: ptr(int64(1))}}}}}
		}, []string{"spec.volumes[0].projected.sources[0].secret.items[0].user", "spec.volumes[2].configMap.defaultUser"}},
		{"huge pages", func(s *corev1.PodSpec) { s.Volumes[2].EmptyDir.Medium = "HugePages-2Mi" },
			[]string{"spec.volumes[2].emptyDir.medium"}},
		{"propagation", func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts[0].MountPropagation = ptr(corev1.MountPropagationMode("Upwards"))
		}, []string{"spec.containers[0].volumeMounts[0].mountPropagation"}},
		{"recursive read only", func(s *corev1.PodSpec) {
			s.Containers[0].VolumeMounts[0].RecursiveReadOnly = ptr(corev1.RecursiveReadOnlyEnabled)
		}, []string{"spec.containers[0].volumeMounts[0].recursiveReadOnly"}},
		{"fsGroup", func(s *corev1.PodSpec) {
			s.SecurityContext.FSGroupChangePolicy = ptr(corev1.PodFSGroupChangePolicy("Never"))
		},
			[]string{"spec.securityContext.fsGroupChangePolicy"}},
		{"restart policy", func(s *corev1.PodSpec) { s.RestartPolicy = "always" }, []string{"spec.restartPolicy"}},
		{"windows", func(s *corev1.PodSpec) { s.OS = &corev1.PodOS{Name: corev1.Windows} }, []string{"spec.os"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pod := defaulted()
			test.change(&pod.Spec)
			var got []string
			for _, err := range podsupport.Unsupported(pod, ours("1.6.20")) {
				got = append(got, err.Field)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRuntimeVersion(t *testing.T) {
	pod := defaulted()
	pod.Spec.SecurityContext.SupplementalGroupsPolicy = ptr(corev1.SupplementalGroupsPolicyStrict)
	for version, supported := range map[string]bool{
		"1.6.20~ds1": false, "v1.7.35": false, "v2.0.0": true, "2.4.2": true, "new": false, "2": false,
		"": true, // not known before the cell is up: its agent decides
	} {
		if got := len(podsupport.Unsupported(pod, ours(version))) == 0; got != supported {
			t.Errorf("Strict on containerd %q: supported is %v", version, got)
		}
	}
	other := ours("2.0")
	other.Runtime.Name = "cri-o"
	if len(podsupport.Unsupported(pod, other)) == 0 {
		t.Error("a runtime that is not known must be taken for old")
	}
}

func TestAgentWithoutWholePods(t *testing.T) {
	errs := podsupport.Unsupported(defaulted(), itzo.Info{Agent: "old"})
	if len(errs) != 1 || errs[0].Field != "spec" {
		t.Errorf("got %v", errs)
	}
}

// Every field that the API knows is either refused when it is set, or stands
// in this list because somebody thought about it.
func TestEveryFieldIsDecidedUpon(t *testing.T) {
	understood := map[string][]string{
		"spec": {
			"nodeName", "nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "schedulerName",
			"schedulingGates", "schedulingGroup", "priorityClassName", "priority", "preemptionPolicy", "runtimeClassName", "overhead",
			"serviceAccountName", "serviceAccount", "automountServiceAccountToken", "imagePullSecrets",
			"enableServiceLinks", "terminationGracePeriodSeconds", "activeDeadlineSeconds", "readinessGates",
			"hostname", "hostnameOverride", "setHostnameAsFQDN", "subdomain", "hostAliases",
			"dnsConfig", "securityContext", "resources", "volumes", "initContainers", "containers", "ephemeralContainers",
			"hostUsers", // true is the default
			"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace",
		},
		"spec.securityContext": {"runAsUser", "runAsGroup", "runAsNonRoot", "supplementalGroups", "fsGroup",
			"seLinuxOptions", "windowsOptions"},
		"spec.containers[0]": {
			"name", "image", "command", "args", "workingDir", "stdin", "stdinOnce", "tty", "resizePolicy",
			"terminationMessagePath", "ports", "env", "resources", "volumeMounts", "securityContext",
			"lifecycle", "startupProbe", "livenessProbe", "readinessProbe",
		},
		"spec.containers[0].securityContext": {
			"runAsUser", "runAsGroup", "runAsNonRoot", "privileged", "readOnlyRootFilesystem",
			"allowPrivilegeEscalation", "capabilities", "seLinuxOptions", "windowsOptions",
		},
		"spec.containers[0].volumeMounts[0]": {"name", "mountPath", "subPath", "subPathExpr", "readOnly"},
		"spec.volumes[0]":                    {"name", "configMap", "secret", "projected", "downwardAPI", "emptyDir", "hostPath"},
	}
	for path, fields := range understood {
		t.Run(path, func(t *testing.T) {
			accepted := acceptedFields(t, path)
			slices.Sort(accepted)
			slices.Sort(fields)
			if diff := cmp.Diff(fields, accepted); diff != "" {
				t.Errorf("fields that pass when set (-thought of +passing):\n%s", diff)
			}
		})
	}
}

// acceptedFields sets the fields of the struct at path one at a time and
// answers those that are not refused.
func acceptedFields(t *testing.T, path string) []string {
	t.Helper()
	var accepted []string
	for i := range len(fieldsAt(t, &corev1.Pod{}, path)) {
		pod := &corev1.Pod{}
		member := fieldsAt(t, pod, path)[i]
		fill(member.value)
		if len(podsupport.Unsupported(pod, ours("1.6.20"))) == 0 {
			accepted = append(accepted, member.name)
		}
	}
	return accepted
}

type member struct {
	name  string
	value reflect.Value
}

// fieldsAt answers the fields of the struct at a path, making what is on the way.
func fieldsAt(t *testing.T, pod *corev1.Pod, path string) []member {
	t.Helper()
	containers := func() *corev1.Container {
		pod.Spec.Containers = []corev1.Container{{}}
		return &pod.Spec.Containers[0]
	}
	var target any
	switch path {
	case "spec":
		target = &pod.Spec
	case "spec.securityContext":
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{}
		target = pod.Spec.SecurityContext
	case "spec.containers[0]":
		target = containers()
	case "spec.containers[0].securityContext":
		container := containers()
		container.SecurityContext = &corev1.SecurityContext{}
		target = container.SecurityContext
	case "spec.containers[0].volumeMounts[0]":
		container := containers()
		container.VolumeMounts = []corev1.VolumeMount{{}}
		target = &container.VolumeMounts[0]
	case "spec.volumes[0]":
		pod.Spec.Volumes = []corev1.Volume{{}}
		target = &pod.Spec.Volumes[0]
	default:
		t.Fatalf("no struct at %s", path)
	}
	return members(reflect.ValueOf(target).Elem())
}

func members(value reflect.Value) []member {
	var all []member
	for i := range value.NumField() {
		name, _, _ := strings.Cut(value.Type().Field(i).Tag.Get("json"), ",")
		if name == "" {
			all = append(all, members(value.Field(i))...)
			continue
		}
		all = append(all, member{name, value.Field(i)})
	}
	return all
}

// fill gives a field a value that is not the zero value; strings get one that
// no enumeration has.
func fill(value reflect.Value) {
	switch value.Kind() {
	case reflect.String:
		value.SetString("something")
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Int32, reflect.Int64:
		value.SetInt(7)
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		if kind := value.Type().Elem().Kind(); kind == reflect.String || kind == reflect.Bool {
			fill(value.Elem())
		}
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 1, 1))
		if value.Type().Elem().Kind() == reflect.String {
			fill(value.Index(0))
		}
	case reflect.Map:
		value.Set(reflect.MakeMap(value.Type()))
		value.SetMapIndex(reflect.Zero(value.Type().Key()), reflect.Zero(value.Type().Elem()))
	case reflect.Struct:
	default:
		panic("no filling for " + value.Kind().String())
	}
}
