package e2e

func lifecycleScenes() []scene {
	return []scene{
		{manifests: initPod, on: onBoth, features: []feature{
			{"init containers one after the other", wroteAll("init", "main", "first\nfirst\nsidecar\nsecond\n")},
			{"an init container that fails is tried again", container("init", "first",
				"{.restartCount} {.state.terminated.exitCode} {.lastState.terminated.exitCode}", "1 0 1")},
			{"a sidecar ends after the main containers", all(wrote("init", "sidecar", "sidecar ends"),
				container("init", "sidecar", "{.state.terminated.exitCode} {.restartCount}", "0 0"))},
			{"phase Succeeded, with conditions", all(field("init", "{.status.phase}", "Succeeded"), condition("init", "Initialized", "True PodCompleted"),
				condition("init", "Ready", "False PodCompleted"))},
			{"logs of a pod that has ended", all(noCell("init"), wroteAll("init", "main", "first\nfirst\nsidecar\nsecond\n"))},
		}},
		{manifests: crashingPod, features: []feature{
			{"restartPolicy Always: CrashLoopBackOff", all(
				container("crashing", "main", "{.state.waiting.reason} {.lastState.terminated.exitCode}", "CrashLoopBackOff 3"),
				event("crashing", "BackOff: Back-off restarting failed container main in pod crashing"))},
			{"a container's own restartPolicy", container("crashing", "once", "{.state.terminated.exitCode} {.restartCount}", "4 0")},
			{"restartPolicyRules", container("crashing", "rules", "{.state.terminated.exitCode} {.restartCount} {.lastState.terminated.exitCode}", "0 1 42")},
			{"the back-off of 10 s begins after the first restart", wroteAll("crashing", "main", "run 3\n")},
		}},
		{manifests: failingPod, features: []feature{
			{"restartPolicy Never: one container that fails fails the pod", field("failing", "{.status.phase}", "Failed")},
			{"termination message of a file", container("failing", "file", "{.state.terminated.reason} {.state.terminated.message}", "Error from a file")},
			{"terminationMessagePath", container("failing", "path", "{.state.terminated.reason} {.state.terminated.message}", "Completed from elsewhere")},
			{"FallbackToLogsOnError", container("failing", "log", "{.state.terminated.message}", "last words\n")},
		}},
		{manifests: latePod, features: []feature{
			{"activeDeadlineSeconds", all(field("late", "{.status.phase} {.status.reason}", "Failed DeadlineExceeded"),
				field("late", "{.status.message}", "Pod was active on the node longer than the specified deadline"))},
		}},
		{manifests: stoppedPod, on: onBoth, features: []feature{
			{"a pod runs", all(condition("stopped", "Ready", "True "), wrote("stopped", "quick", "up"), wrote("stopped", "custom", "up"), deleted("stopped"))},
			{"SIGTERM", container("stopped", "quick", "{.state.terminated.exitCode}", "5")},
			{"SIGKILL after the grace period", container("stopped", "stubborn", "{.state.terminated.exitCode}", "137")},
			{"STOPSIGNAL of the image", container("stopped", "custom", "{.state.terminated.exitCode}", "9")},
			{"preStop sleep", all(container("stopped", "sleepy", "{.state.terminated.exitCode}", "6"), later("stopped", "sleepy", "quick", 1))},
			{"preStop httpGet", container("stopped", "web", "{.state.terminated.message}", "asked for /cgi-bin/stop\n")},
			{"preStop exec before the signal", container("stopped", "custom", "{.state.terminated.message}", "preStop\nUSR1\n")},
			{"a pod with a finalizer goes with it", all(field("stopped", "{.status.phase}", "Failed"),
				patched("v1 Pod", "stopped", `{"metadata": {"$deleteFromPrimitiveList/finalizers": ["kip.test/hold"]}}`), missing("stopped"))},
		}},
	}
}

const initPod = `kind: Pod
metadata: {name: init}
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 30
  volumes: [{name: data, emptyDir: {}}]
  initContainers:
  - name: first
    image: busybox
    command: [sh, -c, 'echo first >>/data/order; [ $(wc -l </data/order) -ge 2 ]']
    volumeMounts: [{name: data, mountPath: /data}]
  - name: sidecar
    image: busybox
    restartPolicy: Always
    command: [sh, -c, 'trap "echo sidecar ends; exit 0" TERM; echo sidecar >>/data/order; sleep 1000 & wait']
    startupProbe: {periodSeconds: 1, failureThreshold: 60, exec: {command: [grep, sidecar, /data/order]}}
    volumeMounts: [{name: data, mountPath: /data}]
  - name: second
    image: busybox
    command: [sh, -c, 'echo second >>/data/order']
    volumeMounts: [{name: data, mountPath: /data}]
  containers:
  - name: main
    image: busybox
    command: [cat, /data/order]
    volumeMounts: [{name: data, mountPath: /data}]
`

const crashingPod = `kind: Pod
metadata: {name: crashing}
spec:
  volumes: [{name: data, emptyDir: {}}]
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'echo x >>/data/runs; echo run $(wc -l </data/runs); exit 3']
    volumeMounts: [{name: data, mountPath: /data}]
  - {name: once, image: busybox, restartPolicy: Never, command: [sh, -c, exit 4]}
  - name: rules
    image: busybox
    restartPolicy: Never
    restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]
    command: [sh, -c, '[ -e /data/again ] && exit 0; touch /data/again; exit 42']
    volumeMounts: [{name: data, mountPath: /data}]
`

const failingPod = `kind: Pod
metadata: {name: failing}
spec:
  restartPolicy: Never
  containers:
  - {name: file, image: busybox, command: [sh, -c, printf "from a file" >/dev/termination-log; exit 1]}
  - {name: path, image: busybox, terminationMessagePath: /tmp/message, command: [sh, -c, printf "from elsewhere" >/tmp/message]}
  - {name: log, image: busybox, terminationMessagePolicy: FallbackToLogsOnError, command: [sh, -c, echo last words; exit 1]}
`

const latePod = `kind: Pod
metadata: {name: late}
spec:
  activeDeadlineSeconds: 3
  containers: [{name: main, image: busybox, command: [sleep, "1000"]}]
`

const stoppedPod = `kind: Pod
metadata: {name: stopped, finalizers: [kip.test/hold]}
spec:
  terminationGracePeriodSeconds: 4
  containers:
  - {name: quick, image: busybox, command: [sh, -c, 'trap "echo TERM; exit 5" TERM; echo up; sleep 1000 & wait']}
  - {name: stubborn, image: busybox, command: [sh, -c, 'trap "" TERM; while :; do sleep 1; done']}
  - name: custom
    image: busybox:custom
    securityContext: {runAsUser: 0}
    command: [sh, -c, 'trap "echo USR1 >>/dev/termination-log; exit 9" USR1; echo up; while :; do sleep 0.1; done']
    lifecycle: {preStop: {exec: {command: [sh, -c, 'echo preStop >>/dev/termination-log; sleep 0.5']}}}
  - name: sleepy
    image: busybox
    command: [sh, -c, 'trap "exit 6" TERM; sleep 1000 & wait']
    lifecycle: {preStop: {sleep: {seconds: 2}}}
  - name: web
    image: busybox
    command:
    - sh
    - -c
    - |
      trap 'exit 0' TERM; mkdir -p /www/cgi-bin
      printf '#!/bin/sh\necho asked for $REQUEST_URI >>/dev/termination-log; printf "Content-type: text/plain\\n\\n"' >/www/cgi-bin/stop
      chmod +x /www/cgi-bin/stop; httpd -p 8080 -h /www; sleep 1000 & wait
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {periodSeconds: 1, tcpSocket: {port: http}}
    lifecycle: {preStop: {httpGet: {path: /cgi-bin/stop, port: http}}}
`
