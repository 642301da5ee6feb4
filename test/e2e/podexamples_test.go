package e2e

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// exampleScenes are after the tasks and concepts of Kubernetes' documentation.
func exampleScenes() []scene {
	return []scene{
		{manifests: initExample, features: []feature{
			{"init containers: wait for a volume's content", all(condition("init-demo", "Ready", "True "), wroteAll("init-demo", "nginx", "<h1>from init</h1>\n"))},
		}},
		{manifests: sidecarExample, features: []feature{
			{"sidecars: a Job with one ends", all(job("myjob", `{.status.conditions[?(@.type=="Complete")].status}`, "True"),
				wroteAll("job/myjob", "logshipper", "logging\n"))},
		}},
		{manifests: livenessExample, features: []feature{
			{"liveness: a command that fails after a while", all(container("liveness-exec", "liveness", "{.restartCount}", "1"),
				event("liveness-exec", "Unhealthy: Liveness probe failed: cat: can't open '/tmp/healthy'"))},
		}},
		{manifests: lifecycleExample, features: []feature{
			{"postStart and preStop: a greeting and a file", all(wrote("lifecycle-demo", "main", "Hello from the postStart handler"),
				wrote("lifecycle-demo", "main", "Bye from the preStop handler"))},
		}},
		{manifests: projectedExample, features: []feature{
			{"projected volume of all sources", wrote("projected", "main", "user: admin", "config: value", "labels: app=\"web\"", "token: 3 parts", "cpu: 250", "mode: 400")},
			{"downward API files", wrote("projected", "main", "annotation: one", "memory: 64", "name: projected")},
		}},
		{manifests: indexedExample, features: []feature{
			{"indexed Job: JOB_COMPLETION_INDEX", all(job("indexed", "{.status.completedIndexes}", "0,1"),
				wroteAll("job/indexed/0", "worker", "foo on indexed-0\n"), wroteAll("job/indexed/1", "worker", "bar on indexed-1\n"))},
		}},
		{manifests: failJobExample, features: []feature{
			{"podFailurePolicy: FailJob on exit code 42", all(job("fail-job", `{.status.conditions[?(@.type=="Failed")].reason}`, "PodFailurePolicy"),
				container("job/fail-job", "main", "{.state.terminated.exitCode}", "42"))},
		}},
		{manifests: disruptedExample, features: []feature{
			{"podFailurePolicy: Ignore on DisruptionTarget", all(condition("job/disrupted", "Ready", "True "), evicted("job/disrupted"),
				job("disrupted", `{.status.failed}{.status.conditions[*].type}`, ""), replaced("disrupted"))},
		}},
		{manifests: sharedExample, features: []feature{
			{"shareProcessNamespace: another container's processes and files", wrote("shared", "shell", "process: sleep 4242", "file: of the other", "first: /pause")},
		}},
		{manifests: securityExample, features: []feature{
			{"security context: users and files of fsGroup", wrote("security-context-demo", "main", "uid=1000 gid=3000 groups=2000,3000",
				"drwxrwsrwx root 2000", "-rw-r--r-- 1000 2000")},
		}},
	}
}

// evicted asks for an eviction, as a drain does, until the first pod of a Job has that condition.
func evicted(name string) check {
	return func(ctx context.Context, s *stage) error {
		pod, err := s.pod(ctx, name)
		if err != nil {
			return err
		}
		return s.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}})
	}
}

// replaced wants that a Job has another pod that runs, and has not failed.
func replaced(name string) check {
	return func(ctx context.Context, s *stage) error {
		var pods corev1.PodList
		if err := s.List(ctx, &pods, client.InNamespace(s.namespace), client.MatchingLabels{batchv1.JobNameLabel: name}); err != nil {
			return err
		}
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp.IsZero() && pod.Status.Phase == corev1.PodRunning {
				return job(name, `{.status.failed}{.status.conditions[*].type}`, "")(ctx, s)
			}
		}
		return fmt.Errorf("none of %d pods runs", len(pods.Items))
	}
}

const initExample = `kind: Pod
metadata: {name: init-demo}
spec:
  volumes: [{name: workdir, emptyDir: {}}]
  initContainers:
  - {name: install, image: busybox, command: [sh, -c, echo "<h1>from init</h1>" >/work-dir/index.html], volumeMounts: [{name: workdir, mountPath: /work-dir}]}
  containers:
  - name: nginx
    image: busybox
    command: [sh, -c, 'httpd -p 80 -h /html; wget -q -O - http://127.0.0.1/; sleep 1000']
    readinessProbe: {periodSeconds: 1, httpGet: {port: 80}}
    volumeMounts: [{name: workdir, mountPath: /html}]
`

const sidecarExample = `kind: Job
metadata: {name: myjob}
spec:
  template:
    spec:
      restartPolicy: Never
      volumes: [{name: data, emptyDir: {}}]
      initContainers:
      - name: logshipper
        image: busybox
        restartPolicy: Always
        command: [sh, -c, 'touch /opt/logs.txt; tail -F /opt/logs.txt']
        startupProbe: {periodSeconds: 1, exec: {command: [ls, /opt/logs.txt]}}
        volumeMounts: [{name: data, mountPath: /opt}]
      containers:
      - {name: myjob, image: busybox, command: [sh, -c, echo logging >>/opt/logs.txt; sleep 2], volumeMounts: [{name: data, mountPath: /opt}]}
`

const livenessExample = `kind: Pod
metadata: {name: liveness-exec}
spec:
  containers:
  - name: liveness
    image: busybox
    args: [/bin/sh, -c, touch /tmp/healthy; sleep 3; rm -f /tmp/healthy; sleep 600]
    livenessProbe: {exec: {command: [cat, /tmp/healthy]}, initialDelaySeconds: 1, periodSeconds: 1}
`

const lifecycleExample = `kind: Pod
metadata: {name: lifecycle-demo}
spec:
  volumes: [{name: data, emptyDir: {}}]
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'cat /data/bye; until [ -e /tmp/message ]; do sleep 0.1; done; cat /tmp/message; sleep 1000']
    livenessProbe: {exec: {command: [sh, -c, '[ -e /data/bye ]']}, initialDelaySeconds: 2, periodSeconds: 1, failureThreshold: 1}
    volumeMounts: [{name: data, mountPath: /data}]
    lifecycle:
      postStart: {exec: {command: [/bin/sh, -c, echo Hello from the postStart handler >/tmp/message]}}
      preStop: {exec: {command: [/bin/sh, -c, echo Bye from the preStop handler >/data/bye]}}
`

const projectedExample = `kind: Secret
metadata: {name: user}
stringData: {username: admin}
---
kind: ConfigMap
metadata: {name: myconfigmap}
data: {config: value}
---
kind: Pod
metadata: {name: projected, labels: {app: web}, annotations: {build: one}}
spec:
  restartPolicy: Never
  volumes:
  - name: all-in-one
    projected:
      sources:
      - secret: {name: user, items: [{key: username, path: my-group/my-username, mode: 0400}]}
      - configMap: {name: myconfigmap, items: [{key: config, path: my-group/my-config}]}
      - serviceAccountToken: {audience: vault, expirationSeconds: 3600, path: token}
      - downwardAPI:
          items:
          - {path: labels, fieldRef: {fieldPath: metadata.labels}}
          - {path: cpu, resourceFieldRef: {containerName: main, resource: requests.cpu, divisor: 1m}}
  - name: podinfo
    downwardAPI:
      items:
      - {path: annotation, fieldRef: {fieldPath: "metadata.annotations['build']"}}
      - {path: name, fieldRef: {fieldPath: metadata.name}}
      - {path: memory, resourceFieldRef: {containerName: main, resource: limits.memory, divisor: 1Mi}}
  containers:
  - name: main
    image: busybox
    resources: {requests: {cpu: 250m}, limits: {memory: 64Mi}}
    command:
    - sh
    - -c
    - |
      cd /all; echo "user: $(cat my-group/my-username)"; echo "config: $(cat my-group/my-config)"; sed 's/^/labels: /' labels; echo
      echo "token: $(tr . ' ' <token | wc -w) parts"; echo "cpu: $(cat cpu)"; echo "mode: $(stat -L -c %a my-group/my-username)"
      cd /podinfo; echo "annotation: $(cat annotation)"; echo "memory: $(cat memory)"; echo "name: $(cat name)"
    volumeMounts: [{name: all-in-one, mountPath: /all, readOnly: true}, {name: podinfo, mountPath: /podinfo}]
`

const indexedExample = `kind: Job
metadata: {name: indexed}
spec:
  completions: 2
  parallelism: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      initContainers:
      - name: input
        image: busybox
        command: [sh, -c, 'set -- foo bar; shift $JOB_COMPLETION_INDEX; echo $1 >/input/data.txt']
        volumeMounts: [{name: input, mountPath: /input}]
      containers:
      - {name: worker, image: busybox, command: [sh, -c, 'echo $(cat /input/data.txt) on $(hostname)'], volumeMounts: [{name: input, mountPath: /input}]}
      volumes: [{name: input, emptyDir: {}}]
`

const failJobExample = `kind: Job
metadata: {name: fail-job}
spec:
  backoffLimit: 6
  podFailurePolicy:
    rules:
    - {action: FailJob, onExitCodes: {containerName: main, operator: In, values: [42]}}
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: busybox, command: [sh, -c, exit 42]}]
`

const disruptedExample = `kind: Job
metadata: {name: disrupted}
spec:
  backoffLimit: 0
  podFailurePolicy:
    rules:
    - {action: Ignore, onPodConditions: [{type: DisruptionTarget}]}
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: busybox, command: [sleep, "1000"]}]
`

const sharedExample = `kind: Pod
metadata: {name: shared}
spec:
  shareProcessNamespace: true
  containers:
  - {name: nginx, image: busybox, command: [sh, -c, echo of the other >/file; exec sleep 4242]}
  - name: shell
    image: busybox
    securityContext: {capabilities: {add: [SYS_PTRACE]}}
    command:
    - sh
    - -c
    - |
      until pid=$(pidof sleep); do sleep 0.1; done
      echo "process: $(tr '\0' ' ' </proc/$pid/cmdline | sed 's/ $//')"; echo "file: $(cat /proc/$pid/root/file)"
      echo "first: $(tr -d '\0' </proc/1/cmdline)"; sleep 1000 & wait
`

const securityExample = `kind: Pod
metadata: {name: security-context-demo}
spec:
  restartPolicy: Never
  securityContext: {runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000}
  volumes: [{name: data, emptyDir: {}}]
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'id; stat -c "%A %U %g" /data; echo hello >/data/testfile; stat -c "%A %u %g" /data/testfile']
    volumeMounts: [{name: data, mountPath: /data}]
    securityContext: {allowPrivilegeEscalation: false}
`
