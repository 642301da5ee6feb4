package e2e

import (
	"context"
	"fmt"
	"regexp"
)

func statusScenes() []scene {
	return []scene{{manifests: statusPod, on: onBoth, features: []feature{
		{"phase Running, started and ready", all(field("status", "{.status.phase}", "Running"), container("status", "main", "{.started} {.ready} {.restartCount}", "true true 0"))},
		{"conditions", all(condition("status", "PodScheduled", "True "), condition("status", "PodReadyToStartContainers", "True "),
			condition("status", "Initialized", "True "), condition("status", "ContainersReady", "True "))},
		{"readiness gates", all(condition("status", "Ready", "False ReadinessGatesNotReady"),
			patched("v1 Pod", "status", `{"status": {"conditions": [{"type": "kip.test/gate", "status": "True"}]}}`, "status"),
			condition("status", "Ready", "True "))},
		{"observedGeneration", field("status", "{.metadata.generation} {.status.observedGeneration}", "1 1")},
		{"containerID and imageID", matches("status", "{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].imageID}",
			`^containerd://[0-9a-f]{64} \S+/busybox@sha256:[0-9a-f]{64}$`)},
		{"podIP(s) and hostIP(s), each the pod's own", matches("status", "{.status.podIP}={.status.podIPs[*].ip} {.status.hostIP}={.status.hostIPs[*].ip}",
			`^([0-9.]+)=([0-9.]+) ([0-9.]+)=([0-9.]+)$`)},
		{"startTime", matches("status", "{.status.startTime} {.status.containerStatuses[0].state.running.startedAt}", `^\S+Z \S+Z$`)},
		{"QoS class Guaranteed", field("status", "{.status.qosClass}", "Guaranteed")},
		{"an ephemeral container, with the processes of its target", all(patched("v1 Pod", "status", debugger, "ephemeralcontainers"),
			field("status", "{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}", "0"), wrote("status", "debugger", "target: sleep 100000"))},
		{"events in a kubelet's words", all(event("status", "Scheduled: "), event("status", "Pulling: Pulling image"), event("status", "Pulled: Successfully pulled image"),
			event("status", "Created: Container created"), event("status", "Started: Container started"))},
		{"a deleted pod goes", all(deleted("status"), missing("status"))},
	}}}
}

func matches(pod, template, want string) check {
	form := regexp.MustCompile(want)
	return func(ctx context.Context, s *stage) error {
		obj, err := s.pod(ctx, pod)
		if err != nil {
			return err
		}
		got, err := show(obj, template)
		if err == nil && !form.MatchString(got) {
			err = fmt.Errorf("%s of %s is %q, want %s", template, pod, got, want)
		}
		return err
	}
}

const statusPod = `kind: Pod
metadata: {name: status}
spec:
  readinessGates: [{conditionType: kip.test/gate}]
  containers:
  - name: main
    image: busybox
    command: [sleep, "100000"]
    imagePullPolicy: Always
    resources: {limits: {memory: 64Mi, cpu: "1"}}
`

const debugger = `{"spec": {"ephemeralContainers": [{"name": "debugger", "image": "REGISTRY/busybox", "targetContainerName": "main",
  "command": ["sh", "-c", "for p in /proc/[0-9]*; do echo target: $(tr '\\0' ' ' <$p/cmdline); done"]}]}}`
