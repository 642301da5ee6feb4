package podsupport_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podsupport"
)

// unitPod is a plain pod, with a volume of each kind.
func unitPod() *corev1.Pod {
	return &corev1.Pod{Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, OS: &corev1.PodOS{Name: corev1.Linux},
		SecurityContext: &corev1.PodSecurityContext{SupplementalGroups: []int64{4}, Sysctls: []corev1.Sysctl{{Name: "net.ipv4.tcp_syncookies", Value: "1"}}},
		Volumes: []corev1.Volume{
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{Items: []corev1.KeyToPath{{Key: "a", Path: "a"}}}}},
			{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}},
			{Name: "labels", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{}}},
			{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/x", Type: ptr(corev1.HostPathDirectory)}}},
		},
		Containers: []corev1.Container{{
			Name: "main", Image: "registry.example:5000/a/b@sha256:1", Command: []string{"run"}, Env: []corev1.EnvVar{{Name: "A", Value: "a"}},
			VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/config", ReadOnly: true}, {Name: "work", MountPath: "/work"}},
			SecurityContext: &corev1.SecurityContext{Privileged: ptr(false), ReadOnlyRootFilesystem: ptr(false), AllowPrivilegeEscalation: ptr(true),
				Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}}, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}},
			LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(80), Scheme: corev1.URISchemeHTTPS}}},
		}},
	}}
}

func unitPaths(pod *corev1.Pod, generation itzo.Generation) []string {
	var paths []string
	for _, err := range podsupport.Unsupported(pod, generation.Info()) {
		paths = append(paths, err.Field)
	}
	slices.Sort(paths)
	return paths
}

func TestUnitsRefuse(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.PodSpec, *corev1.Container)
		want   []string
	}{
		"nothing":         {func(*corev1.PodSpec, *corev1.Container) {}, nil},
		"host network":    {func(s *corev1.PodSpec, _ *corev1.Container) { s.HostNetwork, s.SecurityContext.Sysctls = true, nil }, []string{"spec.hostNetwork"}},
		"host processes":  {func(s *corev1.PodSpec, _ *corev1.Container) { s.HostPID = true }, []string{"spec.hostPID"}},
		"deadline":        {func(s *corev1.PodSpec, _ *corev1.Container) { s.ActiveDeadlineSeconds = ptr(int64(9)) }, []string{"spec.activeDeadlineSeconds"}},
		"fsGroup":         {func(s *corev1.PodSpec, _ *corev1.Container) { s.SecurityContext.FSGroup = ptr(int64(9)) }, []string{"spec.securityContext.fsGroup"}},
		"shared":          {func(s *corev1.PodSpec, _ *corev1.Container) { s.ShareProcessNamespace = ptr(true) }, []string{"spec.shareProcessNamespace"}},
		"restart policy":  {func(s *corev1.PodSpec, _ *corev1.Container) { s.RestartPolicy = "always" }, []string{"spec.restartPolicy"}},
		"not root, maybe": {func(s *corev1.PodSpec, _ *corev1.Container) { s.SecurityContext.RunAsNonRoot = ptr(true) }, []string{"spec.securityContext.runAsNonRoot"}},
		"not root, for sure": {func(s *corev1.PodSpec, c *corev1.Container) {
			s.SecurityContext.RunAsNonRoot, s.SecurityContext.RunAsUser = ptr(true), ptr(int64(9))
			c.SecurityContext, c.VolumeMounts = nil, c.VolumeMounts[:1]
		}, nil},
		"not root, says a container": {func(_ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.RunAsNonRoot = ptr(true) },
			[]string{"spec.containers[0].securityContext.runAsNonRoot"}},
		"dns beside the cell's": {func(s *corev1.PodSpec, _ *corev1.Container) {
			s.DNSPolicy, s.DNSConfig = corev1.DNSDefault, &corev1.PodDNSConfig{Searches: []string{"x"}}
		}, []string{"spec.dnsConfig"}},
		"dns of its own": {func(s *corev1.PodSpec, _ *corev1.Container) {
			s.DNSPolicy, s.DNSConfig = corev1.DNSNone, &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.9"}}
		}, nil},
		"registry without a dot": {func(_ *corev1.PodSpec, c *corev1.Container) { c.Image = "registry:5000/a" }, []string{"spec.containers[0].image"}},
		"registry on the cell":   {func(_ *corev1.PodSpec, c *corev1.Container) { c.Image = "localhost/a" }, []string{"spec.containers[0].image"}},
		"never pull":             {func(_ *corev1.PodSpec, c *corev1.Container) { c.ImagePullPolicy = corev1.PullNever }, []string{"spec.containers[0].imagePullPolicy"}},
		"message from logs": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
		}, []string{"spec.containers[0].terminationMessagePolicy"}},
		"limits": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi")}
		}, []string{"spec.containers[0].resources.limits[cpu]", "spec.containers[0].resources.limits[memory]"}},
		"host port": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Ports = []corev1.ContainerPort{{ContainerPort: 1, HostPort: 1}}
		}, []string{"spec.containers[0].ports[0].hostPort"}},
		"privileged": {func(_ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.Privileged = ptr(true) }, []string{"spec.containers[0].securityContext.privileged"}},
		"read-only":  {func(_ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.ReadOnlyRootFilesystem = ptr(true) }, []string{"spec.containers[0].securityContext.readOnlyRootFilesystem"}},
		"no escalation": {func(_ *corev1.PodSpec, c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = ptr(false) },
			[]string{"spec.containers[0].securityContext.allowPrivilegeEscalation"}},
		"seccomp": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.SeccompProfile.Type = corev1.SeccompProfileTypeRuntimeDefault
		}, []string{"spec.containers[0].securityContext.seccompProfile"}},
		"hook": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{}}
		}, []string{"spec.containers[0].lifecycle"}},
		"sub path":        {func(_ *corev1.PodSpec, c *corev1.Container) { c.VolumeMounts[0].SubPath = "a" }, []string{"spec.containers[0].volumeMounts[0].subPath"}},
		"read-only mount": {func(_ *corev1.PodSpec, c *corev1.Container) { c.VolumeMounts[1].ReadOnly = true }, []string{"spec.containers[0].volumeMounts[1].readOnly"}},
		"propagation": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.VolumeMounts[1].MountPropagation = ptr(corev1.MountPropagationBidirectional)
		}, []string{"spec.containers[0].volumeMounts[1].mountPropagation"}},
		"grpc probe": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.LivenessProbe.ProbeHandler = corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 1}}
		}, []string{"spec.containers[0].livenessProbe.grpc"}},
		"grace of a probe": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.LivenessProbe.TerminationGracePeriodSeconds = ptr(int64(1))
		},
			[]string{"spec.containers[0].livenessProbe.terminationGracePeriodSeconds"}},
		"what the cell has": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Env[0] = corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}}
		}, []string{"spec.containers[0].env[0].valueFrom.resourceFieldRef.resource"}},
		"what the cell has, in a volume": {func(s *corev1.PodSpec, _ *corev1.Container) {
			s.Volumes[2].DownwardAPI.Items = []corev1.DownwardAPIVolumeFile{{Path: "a", ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}}
		}, []string{"spec.volumes[2].downwardAPI.items[0].resourceFieldRef.resource"}},
		"volume of ours": {func(s *corev1.PodSpec, _ *corev1.Container) { s.Volumes[4].Name = "etchosts" }, []string{"spec.volumes[4].name"}},
		"writable file":  {func(s *corev1.PodSpec, _ *corev1.Container) { s.Volumes[0].ConfigMap.Items[0].Mode = ptr(int32(0o664)) }, []string{"spec.volumes[0].configMap.items[0].mode"}},
		"writable files": {func(s *corev1.PodSpec, _ *corev1.Container) { s.Volumes[1].Secret.DefaultMode = ptr(int32(0o602)) }, []string{"spec.volumes[1].secret.defaultMode"}},
		"owner of files": {func(s *corev1.PodSpec, _ *corev1.Container) { s.Volumes[1].Secret.DefaultUser = ptr(int64(1)) }, []string{"spec.volumes[1].secret.defaultUser"}},
		"limit of a disk": {func(s *corev1.PodSpec, _ *corev1.Container) {
			s.Volumes[3].EmptyDir.SizeLimit = ptr(resource.MustParse("1Gi"))
		}, []string{"spec.volumes[3].emptyDir.sizeLimit"}},
		"claim": {func(s *corev1.PodSpec, _ *corev1.Container) {
			s.Volumes[4].VolumeSource = corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}
		}, []string{"spec.volumes[4].persistentVolumeClaim"}},
		"two users of a volume": {func(s *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext, c.VolumeMounts = &corev1.SecurityContext{RunAsUser: ptr(int64(1))}, c.VolumeMounts[:1]
			s.Containers = append(s.Containers, corev1.Container{Name: "other", Image: "b", VolumeMounts: c.VolumeMounts, SecurityContext: &corev1.SecurityContext{RunAsUser: ptr(int64(2))}})
		}, []string{"spec.containers[0].volumeMounts[0]", "spec.containers[1].volumeMounts[0]"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod := unitPod()
			test.change(&pod.Spec, &pod.Spec.Containers[0])
			for _, generation := range []itzo.Generation{itzo.Generation11, itzo.Generation12} {
				if diff := cmp.Diff(test.want, unitPaths(pod, generation)); diff != "" {
					t.Errorf("generation %s: %s", generation, diff)
				}
			}
		})
	}
}

func TestUnitsRefuseAppArmor(t *testing.T) {
	pod := unitPod()
	pod.ObjectMeta = metav1.ObjectMeta{Annotations: map[string]string{"container.apparmor.security.beta.kubernetes.io/main": "runtime/default"}}
	want := []string{"metadata.annotations[container.apparmor.security.beta.kubernetes.io/main]"}
	if diff := cmp.Diff(want, unitPaths(pod, itzo.Generation11)); diff != "" {
		t.Error(diff)
	}
}

// Every field that the API knows is refused by old agents when it is set, or
// stands here.
func TestEveryFieldOfUnitsIsDecidedUpon(t *testing.T) {
	understood := map[string][]string{
		"spec": {
			"nodeName", "nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "schedulerName",
			"schedulingGates", "schedulingGroup", "priorityClassName", "priority", "preemptionPolicy", "runtimeClassName", "overhead",
			"serviceAccountName", "serviceAccount", "automountServiceAccountToken", "imagePullSecrets",
			"enableServiceLinks", "terminationGracePeriodSeconds", "readinessGates", "hostname", "subdomain", "hostAliases",
			"dnsConfig", "securityContext", "volumes", "containers",
			"hostUsers", // true is the default
		},
		"spec.securityContext": {"runAsUser", "runAsGroup", "supplementalGroups",
			"runAsNonRoot", // of a pod without containers
		},
		"spec.containers[0]": {
			"name", "image", "command", "args", "workingDir", "resizePolicy", "terminationMessagePath", "ports", "env", "resources",
			"volumeMounts", "securityContext", "livenessProbe", "startupProbe", "readinessProbe",
		},
		"spec.containers[0].securityContext": {"runAsUser", "runAsGroup", "capabilities",
			"allowPrivilegeEscalation", // true is the default
		},
		"spec.containers[0].volumeMounts[0]": {"name", "mountPath"},
		"spec.volumes[0]":                    {"name", "configMap", "secret", "projected", "downwardAPI", "emptyDir", "hostPath"},
	}
	for path, fields := range understood {
		t.Run(path, func(t *testing.T) {
			var accepted []string
			for i := range len(fieldsAt(t, &corev1.Pod{}, path)) {
				pod := &corev1.Pod{}
				member := fieldsAt(t, pod, path)[i]
				fill(member.value)
				if len(unitPaths(pod, itzo.Generation11)) == 0 {
					accepted = append(accepted, member.name)
				}
			}
			slices.Sort(accepted)
			slices.Sort(fields)
			if diff := cmp.Diff(fields, accepted); diff != "" {
				t.Errorf("fields that pass when set (-thought of +passing):\n%s", diff)
			}
		})
	}
}
