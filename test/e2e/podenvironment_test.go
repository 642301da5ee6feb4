package e2e

import "context"

func environmentScenes() []scene {
	return []scene{
		{manifests: environmentObjects + environmentPod, features: []feature{
			{"env of a ConfigMap's and a Secret's key", wrote("environment", "main", "CONFIG=one", "SECRET=hidden")},
			{"envFrom, with a prefix", wrote("environment", "main", "two=two", "S_text=hidden")},
			{"what is optional and lacks is left out", wrote("environment", "main", "optional:")},
			{"$(VAR) in values, args and $$", wrote("environment", "main", "EXPANDED=one/two $(VALUE) $(UNKNOWN)", "arg: one")},
			{"fieldRef: names, labels, node, service account", wrote("environment", "main", "NAME=environment", "LABEL=blue", "ANNOTATION=round",
				"NODE=kip-support", "ACCOUNT=default")},
			{"fieldRef: status.podIP(s), hostIP(s), metadata.uid and namespace", all(
				sameAs("environment", "POD_IP={.status.podIP}"), sameAs("environment", "POD_IPS={.status.podIPs[0].ip}"),
				sameAs("environment", "HOST_IP={.status.hostIP}"), sameAs("environment", "HOST_IPS={.status.hostIPs[0].ip}"),
				sameAs("environment", "UID={.metadata.uid}"), sameAs("environment", "NAMESPACE={.metadata.namespace}"))},
			{"resourceFieldRef, with a divisor and of another container", wrote("environment", "main", "CPU=250", "MEMORY=32", "OTHER=16777216")},
			{"resourceFieldRef of a limit that is not set is the cell's", wrote("environment", "main", "LIMIT=2")},
			{"the API server's and services' variables", wrote("environment", "main", "service: KUBERNETES_SERVICE_HOST", "service: ENVIRONMENT_SERVICE_PORT_HTTP")},
			{"enableServiceLinks: false", wrote("lacking", "main", "services: 1")},
			{"CreateContainerConfigError while a ConfigMap lacks", event("lacking", `Failed: Error: configmap "lacking" not found`)},
		}},
	}
}

// sameAs wants the line that a template makes of the pod.
func sameAs(pod, template string) check {
	return func(ctx context.Context, s *stage) error {
		obj, err := s.pod(ctx, pod)
		if err != nil {
			return err
		}
		line, err := show(obj, template)
		if err != nil {
			return err
		}
		return wrote(pod, "main", line)(ctx, s)
	}
}

const environmentObjects = `kind: ConfigMap
metadata: {name: environment}
data: {one: one, two: two}
---
kind: Secret
metadata: {name: environment}
stringData: {text: hidden}
---
kind: Service
metadata: {name: environment}
spec: {ports: [{name: http, port: 80}], selector: {none: such}}
---
kind: Pod
metadata: {name: lacking}
spec:
  restartPolicy: Never
  enableServiceLinks: false
  containers:
  - {name: main, image: busybox, command: [sh, -c, 'echo services: $(env | grep -c SERVICE_HOST)']}
  - {name: lacking, image: busybox, command: ["true"], envFrom: [{configMapRef: {name: lacking}}]}
---
`

const environmentPod = `kind: Pod
metadata: {name: environment, labels: {color: blue}, annotations: {shape: round}}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'env; echo "arg: $1"; echo "optional:$LACKS"; env | sed -n "s/^\(.*SERVICE_[A-Z_]*\)=.*/service: \1/p"', "-", $(CONFIG)]
    resources: {limits: {memory: 32Mi}, requests: {cpu: 250m}}
    envFrom:
    - {configMapRef: {name: environment}}
    - {prefix: S_, secretRef: {name: environment}}
    - {configMapRef: {name: lacks, optional: true}}
    env:
    - {name: CONFIG, valueFrom: {configMapKeyRef: {name: environment, key: one}}}
    - {name: SECRET, valueFrom: {secretKeyRef: {name: environment, key: text}}}
    - {name: LACKS, valueFrom: {configMapKeyRef: {name: environment, key: lacks, optional: true}}}
    - {name: VALUE, value: two}
    - {name: EXPANDED, value: $(CONFIG)/$(VALUE) $$(VALUE) $(UNKNOWN)}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
    - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['color']"}}}
    - {name: ANNOTATION, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['shape']"}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: POD_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
    - {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: HOST_IPS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    - {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
    - {name: OTHER, valueFrom: {resourceFieldRef: {containerName: other, resource: limits.memory}}}
  - {name: other, image: busybox, command: ["true"], resources: {limits: {memory: 16Mi}}}
`
