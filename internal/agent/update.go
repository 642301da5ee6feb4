package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podsupport"
)

// ErrBadPackage is wrapped by Host.Deploy's errors about the archive itself.
var ErrBadPackage = errors.New("bad package")

func (a *Agent) updatePod(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxUpdateBody))
	if err != nil {
		return fmt.Errorf("reading pod update request: %w", err)
	}
	params, err := decodeParameters(body)
	if err != nil {
		return badRequest("Error decoding pod update request: %v", err)
	}
	rec, err := a.newRecord(params, r)
	if err != nil {
		return err
	}
	return a.accept(rec)
}

// decodeParameters reads the body of updatepod. Within the pod an unknown
// field is an error: it stands for something that would not be honoured.
func decodeParameters(body []byte) (*itzo.PodParameters, error) {
	var params itzo.PodParameters
	if err := json.Unmarshal(body, &params); err != nil {
		return nil, err
	}
	if params.Pod == nil {
		return nil, field.Required(field.NewPath("Pod"), "this agent runs whole pods")
	}
	var raw struct{ Pod json.RawMessage }
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw.Pod))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&corev1.Pod{}); err != nil {
		return nil, fmt.Errorf("field Pod: %w", err)
	}
	return &params, nil
}

// newRecord checks a pod as far as that is possible without knowing whether the
// cell has one already.
func (a *Agent) newRecord(params *itzo.PodParameters, r *http.Request) (*record, error) {
	info := a.Info()
	if info.Runtime.Version == "" {
		return nil, refuse(http.StatusServiceUnavailable, "the container runtime is not up yet%s", because(info.Runtime.Problem))
	}
	ip, err := netip.ParseAddr(params.PodIP)
	if err != nil {
		return nil, badRequest("PodIP: Invalid value: %q: must be the pod's own address", params.PodIP)
	}
	errs := podsupport.Unsupported(params.Pod, info)
	errs = append(errs, a.checkPod(params.Pod)...)
	if a.config.Check != nil {
		errs = append(errs, a.config.Check(params.Pod)...)
	}
	if len(errs) > 0 {
		return nil, badRequest("%v", errs.ToAggregate())
	}
	params.Pod.ManagedFields = nil
	hostIP := a.hostIP(r)
	if params.Pod.Spec.HostNetwork {
		ip = hostIP
	}
	return &record{
		Pod:         params.Pod,
		Credentials: params.Credentials,
		Secrets:     params.Secrets,
		ConfigMaps:  params.ConfigMaps,
		Services:    params.Services,
		PodIP:       ip,
		HostIP:      hostIP,
		AcceptedAt:  time.Now(),
	}, nil
}

func because(problem string) string {
	if problem == "" {
		return ""
	}
	return ": " + problem
}

// hostIP is the cell's address: the configured one, or the one that was dialled.
func (a *Agent) hostIP(r *http.Request) netip.Addr {
	if a.config.HostIP.IsValid() {
		return a.config.HostIP
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return local.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// checkPod refuses what the API server would not have let pass, as far as names
// of files are made of it, and volumes without content.
func (a *Agent) checkPod(pod *corev1.Pod) field.ErrorList {
	var errs field.ErrorList
	check := func(path *field.Path, value string, problems []string) {
		for _, problem := range problems {
			errs = append(errs, field.Invalid(path, value, problem))
		}
	}
	metadata, spec := field.NewPath("metadata"), field.NewPath("spec")
	if pod.UID == "" || strings.ContainsAny(string(pod.UID), "/\x00") || len(pod.UID) > 128 {
		errs = append(errs, field.Invalid(metadata.Child("uid"), pod.UID, "must be a UID"))
	}
	check(metadata.Child("name"), pod.Name, validation.IsDNS1123Subdomain(pod.Name))
	check(metadata.Child("namespace"), pod.Namespace, validation.IsDNS1123Label(pod.Namespace))
	if pod.Spec.Hostname != "" {
		check(spec.Child("hostname"), pod.Spec.Hostname, validation.IsDNS1123Label(pod.Spec.Hostname))
	}
	volumes := map[string]bool{}
	for i, volume := range pod.Spec.Volumes {
		path := spec.Child("volumes").Index(i)
		check(path.Child("name"), volume.Name, validation.IsDNS1123Label(volume.Name))
		volumes[volume.Name] = true
		if fromPackage(volume) && !a.config.Host.HasPackage(volume.Name) {
			errs = append(errs, field.Invalid(path, volume.Name, "its package was not deployed"))
		}
	}
	if len(pod.Spec.Containers) == 0 {
		errs = append(errs, field.Required(spec.Child("containers"), ""))
	}
	errs = append(errs, checkContainers(pod, volumes, spec)...)
	return errs
}

// checkContainers refuses containers that cannot be told apart or mount what is
// not there.
func checkContainers(pod *corev1.Pod, volumes map[string]bool, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, container := range allContainers(pod) {
		path := containerPath(pod, spec, i)
		for _, problem := range validation.IsDNS1123Label(container.Name) {
			errs = append(errs, field.Invalid(path.Child("name"), container.Name, problem))
		}
		if names[container.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), container.Name))
		}
		names[container.Name] = true
		errs = append(errs, checkMounts(container.VolumeMounts, volumes, path.Child("volumeMounts"))...)
	}
	return errs
}

// containerPath is the path of allContainers' i-th.
func containerPath(pod *corev1.Pod, spec *field.Path, i int) *field.Path {
	inits, mains := len(pod.Spec.InitContainers), len(pod.Spec.Containers)
	switch {
	case i < inits:
		return spec.Child("initContainers").Index(i)
	case i < inits+mains:
		return spec.Child("containers").Index(i - inits)
	}
	return spec.Child("ephemeralContainers").Index(i - inits - mains)
}

func checkMounts(mounts []corev1.VolumeMount, volumes map[string]bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, mount := range mounts {
		path := path.Index(i)
		if !volumes[mount.Name] {
			errs = append(errs, field.NotFound(path.Child("name"), mount.Name))
		}
		if mount.MountPath == "" {
			errs = append(errs, field.Required(path.Child("mountPath"), ""))
		}
		if mount.SubPath != "" && itzo.CheckPackagePath(mount.SubPath) != nil {
			errs = append(errs, field.Invalid(path.Child("subPath"), mount.SubPath, "must stay inside the volume"))
		}
	}
	return errs
}

// fromPackage says whether a volume's content was delivered as a package.
func fromPackage(volume corev1.Volume) bool {
	return volume.ConfigMap != nil || volume.Secret != nil || volume.Projected != nil || volume.DownwardAPI != nil
}

// accept makes the record the cell's, or its pod a newer version of the cell's.
func (a *Agent) accept(rec *record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil {
		return a.begin(rec)
	}
	if err := a.checkUID(rec.Pod.UID); err != nil {
		return err
	}
	old := a.machine.rec
	if rec.PodIP != old.PodIP {
		return badRequest("PodIP: Forbidden: it is %s and cannot change", old.PodIP)
	}
	if errs := podsupport.Changes(old.Pod, rec.Pod); len(errs) > 0 {
		return badRequest("%v", errs.ToAggregate())
	}
	old.Credentials, old.Secrets, old.ConfigMaps, old.Services = rec.Credentials, rec.Secrets, rec.ConfigMaps, rec.Services
	a.machine.replacePod(rec.Pod)
	a.machine.retryConfig()
	a.poke()
	return a.save()
}

// begin starts the cell's pod. Only what is on disk counts as accepted.
func (a *Agent) begin(rec *record) error {
	a.machine = newMachine(rec)
	rec.Status = a.machine.status(rec.AcceptedAt)
	if err := a.save(); err != nil {
		a.machine = nil
		return err
	}
	a.hub.publish(rec)
	a.poke()
	return nil
}

// checkUID refuses what is meant for another pod. The caller holds the lock.
func (a *Agent) checkUID(uid types.UID) error {
	if a.machine == nil {
		return refuse(http.StatusConflict, "this cell runs no pod")
	}
	pod := a.machine.rec.Pod
	if pod.UID != uid {
		return refuse(http.StatusConflict, "this cell runs pod %s/%s (%s)", pod.Namespace, pod.Name, pod.UID)
	}
	return nil
}

// checkPodName refuses packages for another pod than the cell's.
func (a *Agent) checkPodName(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil {
		return nil
	}
	pod := a.machine.rec.Pod
	if itzo.FormatPodName(pod.Namespace, pod.Name) != name {
		return refuse(http.StatusConflict, "this cell runs pod %s/%s (%s)", pod.Namespace, pod.Name, pod.UID)
	}
	return nil
}

// lastRun is the newest run of a container, for its log.
func (a *Agent) lastRun(container string) (ContainerID, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil || a.machine.containerState(container) == nil {
		return ContainerID{}, false
	}
	rec := a.machine.rec
	attempt := uint32(0)
	if status := a.machine.oldStatus(container); status != nil {
		attempt = uint32(status.RestartCount)
	}
	return containerID(rec.Pod, container, attempt), true
}

// runOf is the run of a container whose status shows that ID.
func (a *Agent) runOf(container, uri string) (ContainerID, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.machine == nil {
		return ContainerID{}, false
	}
	for i := range a.machine.obs.Containers {
		if run := &a.machine.obs.Containers[i]; run.Name == container && run.URI == uri {
			return containerID(a.machine.rec.Pod, container, run.Attempt), true
		}
	}
	return ContainerID{}, false
}
