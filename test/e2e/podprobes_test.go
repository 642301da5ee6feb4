package e2e

import "strings"

func probeScenes(health string) []scene {
	return []scene{
		{manifests: strings.ReplaceAll(probesPod, "HEALTH", strings.ReplaceAll(health, ":", " ")), features: []feature{
			{"readinessProbe httpGet by the port's name", all(event("probes", "Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 404"),
				container("probes", "web", "{.ready} {.restartCount}", "true 0"))},
			{"startupProbe tcpSocket holds the others back", all(event("probes", "Unhealthy: Startup probe failed: dial tcp"),
				container("probes", "web", "{.started} {.restartCount}", "true 0"))},
			{"livenessProbe and readinessProbe grpc", container("probes", "grpc", "{.ready} {.restartCount}", "true 0")},
			{"grpc of a service that is not served", event("probes", "Unhealthy: Readiness probe failed: ", "unknown service")},
			{"readinessProbe exec that hangs", event("probes", "Unhealthy: Readiness probe failed: command timed out")},
			{"a container that is not ready", condition("probes", "ContainersReady", "False ContainersNotReady")},
			{"a pod whose containers are not all ready", field("probes", `{.status.conditions[?(@.type=="Ready")].message}`,
				"containers with unready status: [hangs nobody]")},
		}},
		{manifests: hooksPod, features: []feature{
			{"postStart exec before others begin", wrote("hooks", "next", "after the hook")},
			{"postStart httpGet", wrote("hooks", "web", "asked for /cgi-bin/begun")},
			{"postStart that fails", all(event("hooks", "FailedPostStartHook: PostStartHook failed"), event("hooks", "Killing: FailedPostStartHook"),
				container("hooks", "fails", "{.lastState.terminated.exitCode}", "137"))},
			{"livenessProbe with a grace period of its own", all(event("hooks", "Unhealthy: Liveness probe failed: "),
				event("hooks", "Killing: Container polite failed liveness probe, will be restarted"),
				container("hooks", "polite", "{.lastState.terminated.exitCode}", "137"))},
		}},
	}
}

const probesPod = `kind: Pod
metadata: {name: probes}
spec:
  containers:
  - name: web
    image: busybox
    command: [sh, -c, 'mkdir /www; echo web >/www/index.html; sleep 3; httpd -p 8080 -h /www; sleep 3; touch /www/ready; sleep 1000']
    ports: [{name: http, containerPort: 8080}]
    startupProbe: {periodSeconds: 1, failureThreshold: 60, tcpSocket: {port: http}}
    livenessProbe: {periodSeconds: 1, failureThreshold: 1, httpGet: {path: /index.html, port: http, httpHeaders: [{name: Host, value: web}]}, timeoutSeconds: 5}
    readinessProbe: {periodSeconds: 1, failureThreshold: 1, httpGet: {path: /ready, port: http}, timeoutSeconds: 5}
  - name: grpc
    image: busybox
    command: [sh, -c, 'while :; do nc -ll -p 9000 -e nc HEALTH; done']
    livenessProbe: {periodSeconds: 1, failureThreshold: 20, grpc: {port: 9000, service: web}}
    readinessProbe: {periodSeconds: 1, grpc: {port: 9000}}
  - name: nobody
    image: busybox
    command: [sleep, "1000"]
    readinessProbe: {periodSeconds: 1, grpc: {port: 9000, service: nobody}}
  - name: hangs
    image: busybox
    command: [sleep, "1000"]
    readinessProbe: {periodSeconds: 1, timeoutSeconds: 1, exec: {command: [sleep, "100"]}}
`

const hooksPod = `kind: Pod
metadata: {name: hooks}
spec:
  volumes: [{name: data, emptyDir: {}}]
  containers:
  - name: web
    image: busybox
    command:
    - sh
    - -c
    - |
      mkdir -p /www/cgi-bin
      printf '#!/bin/sh\necho asked for $REQUEST_URI >/proc/1/fd/1; printf "Content-type: text/plain\\n\\n"' >/www/cgi-bin/begun
      chmod +x /www/cgi-bin/begun; httpd -p 8080 -h /www; touch /data/serves; sleep 1000
    volumeMounts: [{name: data, mountPath: /data}]
  - name: first
    image: busybox
    command: [sleep, "1000"]
    volumeMounts: [{name: data, mountPath: /data}]
    lifecycle: {postStart: {exec: {command: [sh, -c, 'until [ -e /data/serves ]; do sleep 0.1; done; touch /data/hook']}}}
  - name: next
    image: busybox
    command: [sh, -c, '[ -e /data/hook ] && echo after the hook; sleep 1000']
    volumeMounts: [{name: data, mountPath: /data}]
    lifecycle: {postStart: {httpGet: {path: /cgi-bin/begun, port: 8080}}}
  - name: polite
    image: busybox
    command: [sh, -c, 'trap "" TERM; while :; do sleep 1; done']
    livenessProbe: {periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 1, exec: {command: [sh, -c, exit 1]}}
  - name: fails
    image: busybox
    command: [sh, -c, 'trap "" TERM; while :; do sleep 1; done']
    lifecycle: {postStart: {exec: {command: [sh, -c, 'exit 1']}}}
`
