package e2e

func securityScenes() []scene {
	return []scene{
		{manifests: securityPod, on: onBoth, features: []feature{
			{"runAsUser, runAsGroup, supplementalGroups, fsGroup", wrote("security", "main", "uid=1000 gid=3000 groups=2000,3000,4000")},
			{"the container's own security context before the pod's", wrote("security", "own", "uid=1001 gid=3001 groups=2000,3001,4000")},
			{"seccomp RuntimeDefault and Unconfined", all(wrote("security", "main", "Seccomp: 2"), wrote("security", "own", "Seccomp: 0"))},
			{"allowPrivilegeEscalation: false", wrote("security", "main", "NoNewPrivs: 1")},
			{"readOnlyRootFilesystem", wrote("security", "main", "root: Read-only file system")},
			{"capabilities", all(wrote("security", "caps", "CapEff: 0000000000001000"), wrote("security", "main", "CapEff: 0000000000000000"))},
			{"privileged", all(wrote("security", "privileged", "mount: yes", "Seccomp: 0"), wrote("security", "caps", "mount: no"))},
			{"/proc/sys can only be read, unless privileged", all(wrote("security", "caps", "proc: read-only"), wrote("security", "privileged", "proc: open"))},
			{"sysctls of the pod's namespaces", wrote("security", "main", "sysctl: 1 4242")},
			{"runAsNonRoot against root", all(event("security", "Failed: Error: container's runAsUser breaks non-root policy"),
				container("security", "root", "{.state.waiting.reason}", "CreateContainerConfigError"))},
			{"runAsNonRoot with a user", container("security", "main", "{.state.terminated.exitCode}", "0")},
		}},
		{manifests: hostPod, features: []feature{
			{"hostPID: the cell's processes", wrote("host", "main", "agent: seen")},
			{"hostIPC: the cell's messages", wrote("host", "main", "msgmni: of the cell")},
		}},
		{manifests: forbiddenPods, features: []feature{
			{"refused by field: a sysctl of no namespace", all(field("sysctl", "{.status.reason}", "UnsupportedField"),
				event("sysctl", "UnsupportedField", "spec.securityContext.sysctls[0].name", "not allowlisted"))},
			{"refused by field: a user namespace", event("user-namespace", "UnsupportedField", "spec.hostUsers")},
			{"refused by field: a volume of the network", event("nfs", "UnsupportedField", "spec.volumes[0].nfs")},
			{"refused by field: a port of the host", event("host-port", "UnsupportedField", "spec.containers[0].ports[0].hostPort")},
		}},
		{manifests: strictPod, on: onContainerd2, features: []feature{
			{"supplementalGroupsPolicy Strict", wrote("strict", "main", "uid=2(bin) gid=2(bin) groups=2(bin),4000")},
			{"the user in the status", container("strict", "main", "{.user.linux.uid} {.user.linux.gid} {.user.linux.supplementalGroups}", "2 2 [2,4000]")},
		}},
		{manifests: strictPod, features: []feature{
			{"supplementalGroupsPolicy Strict is refused by old runtimes", event("strict", "UnsupportedField", "spec.securityContext.supplementalGroupsPolicy")},
		}},
	}
}

const securityPod = `kind: Pod
metadata: {name: security}
spec:
  restartPolicy: OnFailure
  securityContext:
    runAsUser: 1000
    runAsGroup: 3000
    fsGroup: 2000
    supplementalGroups: [4000]
    seccompProfile: {type: RuntimeDefault}
    sysctls: [{name: kernel.shm_rmid_forced, value: "1"}, {name: kernel.msgmax, value: "4242"}]
  containers:
  - name: main
    image: busybox
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsNonRoot: true, capabilities: {drop: [ALL]}}
    command:
    - sh
    - -c
    - |
      id; grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status | tr '\t' ' '
      touch /tmp/file 2>&1 | sed 's/.*: /root: /'; echo "sysctl: $(cat /proc/sys/kernel/shm_rmid_forced /proc/sys/kernel/msgmax | xargs)"
  - name: own
    image: busybox
    securityContext: {runAsUser: 1001, runAsGroup: 3001, seccompProfile: {type: Unconfined}}
    command: [sh, -c, 'id; grep ^Seccomp: /proc/self/status | tr "\t" " "']
  - name: caps
    image: busybox
    securityContext: {runAsUser: 0, capabilities: {drop: [ALL], add: [NET_ADMIN]}}
    command: &look
    - sh
    - -c
    - |
      grep -E '^(CapEff|Seccomp):' /proc/self/status | tr '\t' ' '
      mount -t tmpfs tmpfs /home 2>/dev/null && echo "mount: yes" || echo "mount: no"
      grep -q ' /proc/sys proc ro' /proc/mounts && echo "proc: read-only" || echo "proc: open"
  - name: privileged
    image: busybox
    securityContext: {runAsUser: 0, privileged: true}
    command: *look
  - name: root
    image: busybox
    securityContext: {runAsNonRoot: true, runAsUser: 0}
    command: ["true"]
`

const hostPod = `kind: Pod
metadata: {name: host}
spec:
  restartPolicy: Never
  hostPID: true
  hostIPC: true
  containers:
  - name: main
    image: busybox
    securityContext: {privileged: true}
    command:
    - sh
    - -c
    - |
      pidof itzo >/dev/null && echo "agent: seen"
      [ "$(readlink /proc/self/ns/ipc)" = "$(readlink /proc/1/ns/ipc)" ] && echo "msgmni: of the cell"
`

const forbiddenPods = `kind: Pod
metadata: {name: sysctl}
spec:
  securityContext: {sysctls: [{name: vm.swappiness, value: "1"}]}
  containers: [{name: main, image: busybox}]
---
kind: Pod
metadata: {name: user-namespace}
spec:
  hostUsers: false
  containers: [{name: main, image: busybox}]
---
kind: Pod
metadata: {name: nfs}
spec:
  volumes: [{name: data, nfs: {server: files.example, path: /}}]
  containers: [{name: main, image: busybox}]
---
kind: Pod
metadata: {name: host-port}
spec:
  containers: [{name: main, image: busybox, ports: [{containerPort: 80, hostPort: 80}]}]
`

const strictPod = `kind: Pod
metadata: {name: strict}
spec:
  restartPolicy: Never
  securityContext: {supplementalGroupsPolicy: Strict, supplementalGroups: [4000], runAsUser: 2, runAsGroup: 2}
  containers: [{name: main, image: busybox, command: [id]}]
`
