package e2e

func resourceScenes() []scene {
	return []scene{
		{manifests: resourcesPod, on: onBoth, features: []feature{
			{"limits of CPU and memory", wrote("resources", "main", "memory: 33554432", "cpu: 50000 100000")},
			{"OOMKilled", container("resources", "greedy", "{.lastState.terminated.reason} {.lastState.terminated.exitCode}", "OOMKilled 137")},
			{"QoS class Burstable", field("resources", "{.status.qosClass}", "Burstable")},
			{"resources and allocatedResources in the status", container("resources", "main",
				"{.resources.limits.memory} {.resources.limits.cpu} {.allocatedResources.memory}", "32Mi 500m 32Mi")},
			{"a resize of a running pod is infeasible", all(patched("v1 Pod", "resources",
				`{"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "100m"}}}]}}`, "resize"),
				condition("resources", "PodResizePending", "True Infeasible"), event("resources", "ResizeInfeasible"))},
			{"what a container may use stays as it was", wrote("resources", "main", "still: 33554432")},
		}},
		{manifests: ownResourcesPod, features: []feature{
			{"the pod's own limits hold containers without any", container("own-resources", "greedy", "{.lastState.terminated.reason}", "OOMKilled")},
		}},
		{manifests: storingPods, features: []feature{
			{"evicted for more than an emptyDir's sizeLimit", all(field("storing", "{.status.phase} {.status.reason}", "Failed Evicted"),
				event("storing", "Evicted: Usage of EmptyDir volume \"data\" exceeds the limit \"1Mi\"."))},
			{"evicted for more than its limit of ephemeral-storage", all(field("logging", "{.status.phase} {.status.reason}", "Failed Evicted"),
				event("logging", "Evicted: ", "exceed", "ephemeral"))},
		}},
	}
}

const resourcesPod = `kind: Pod
metadata: {name: resources}
spec:
  containers:
  - name: main
    image: busybox
    resources: {limits: {memory: 32Mi, cpu: 500m}}
    command:
    - sh
    - -c
    - |
      cd /sys/fs/cgroup
      of() { cat $1 2>/dev/null || cat $2; }
      echo "memory: $(of memory.max memory/memory.limit_in_bytes)"
      echo "cpu: $(cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us | xargs)"
      sleep 10
      echo "still: $(of memory.max memory/memory.limit_in_bytes)"
      sleep 1000
  - name: greedy
    image: busybox
    resources: {limits: {memory: 16Mi}}
    command: [tail, /dev/zero]
`

const ownResourcesPod = `kind: Pod
metadata: {name: own-resources}
spec:
  resources: {limits: {memory: 32Mi, cpu: "1"}}
  containers:
  - {name: main, image: busybox, command: [sleep, "1000"]}
  - {name: greedy, image: busybox, command: [tail, /dev/zero]}
`

const storingPods = `kind: Pod
metadata: {name: storing}
spec:
  volumes: [{name: data, emptyDir: {sizeLimit: 1Mi}}]
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'dd if=/dev/zero of=/data/file bs=1M count=3; sleep 1000']
    volumeMounts: [{name: data, mountPath: /data}]
---
kind: Pod
metadata: {name: logging}
spec:
  containers:
  - name: main
    image: busybox
    resources: {limits: {ephemeral-storage: 1Mi}}
    command: [sh, -c, 'dd if=/dev/zero of=/file bs=1M count=3; sleep 1000']
`
