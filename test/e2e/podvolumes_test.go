package e2e

func volumeScenes() []scene {
	return []scene{
		{manifests: volumeObjects + volumesPod, on: onBoth, features: []feature{
			{"emptyDir on disk is shared by containers", wrote("volumes", "other", "disk: data")},
			{"emptyDir in memory", wrote("volumes", "main", "memory: tmpfs")},
			{"sizeLimit of an emptyDir in memory", wrote("volumes", "main", "memory: 2048 KiB")},
			{"configMap with items and modes", wrote("volumes", "main", "item: one", "item: -r--r----- group 2000")},
			{"secret, text and bytes", wrote("volumes", "main", "secret: hidden", "secret: ff00")},
			{"optional ones that lack", wrote("volumes", "main", "optional: 0 files")},
			{"defaultMode, with fsGroup", wrote("volumes", "main", "mode: -r--r----- group 2000")},
			{"fsGroup owns an emptyDir", wrote("volumes", "main", "emptyDir: drwxrwsrwx group 2000")},
			{"hostPath DirectoryOrCreate is the cell's", wrote("volumes", "main", "hostPath: of the cell")},
			{"subPath", wrote("volumes", "main", "subPath: two")},
			{"subPathExpr", wrote("volumes", "other", "subPathExpr: logs-of-volumes")},
			{"readOnly", wrote("volumes", "main", "readOnly: Read-only file system")},
			{"delivered volumes cannot be written to", wrote("volumes", "main", "delivered: Read-only file system")},
			{"mountPropagation Bidirectional and HostToContainer", wrote("volumes", "other", "propagated: yes")},
		}},
		{manifests: updatesPod, features: []feature{
			{"a ConfigMap's change reaches files of a running pod", all(wrote("updates", "main", "old old old"),
				patched("v1 ConfigMap", "updated", `{"data": {"key": "new"}}`), patched("v1 Secret", "updated", `{"stringData": {"key": "new"}}`),
				patched("v1 Pod", "updates", `{"metadata": {"labels": {"key": "new"}}}`), wrote("updates", "main", "new new new"))},
			{"a subPath mount stays as it was", wrote("updates", "main", "subPath: old")},
			{"a label's change reaches a downwardAPI volume", wrote("updates", "main", "label: new")},
		}},
		{manifests: awaitingPod, features: []feature{
			{"FailedMount while a volume's object lacks", all(event("awaiting", "FailedMount: ", "comes-later"), field("awaiting", "{.status.phase}", "Pending"))},
			{"the pod goes on when it comes", all(
				applied("kind: ConfigMap\nmetadata: {name: comes-later}\ndata: {key: it came}"), wroteAll("awaiting", "main", "it came"))},
		}},
	}
}

const volumeObjects = `kind: ConfigMap
metadata: {name: volumes}
data: {one: one, two: two}
---
kind: Secret
metadata: {name: volumes}
stringData: {text: hidden}
data: {bytes: /wA=}
---
`

const volumesPod = `kind: Pod
metadata: {name: volumes}
spec:
  restartPolicy: Never
  securityContext: {fsGroup: 2000}
  volumes:
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 2Mi}}
  - {name: config, configMap: {name: volumes}}
  - {name: items, configMap: {name: volumes, items: [{key: one, path: here/is/one, mode: 0440}]}}
  - {name: secret, secret: {secretName: volumes, defaultMode: 0400}}
  - {name: lacks, configMap: {name: lacks, optional: true}}
  - {name: host, hostPath: {path: /var/lib/of-the-cell, type: DirectoryOrCreate}}
  - {name: etc, hostPath: {path: /etc, type: Directory}}
  initContainers:
  - name: propagates
    image: busybox
    restartPolicy: Always
    securityContext: {privileged: true}
    command: [sh, -c, 'mkdir -p /host/sub; mount -t tmpfs tmpfs /host/sub && touch /host/sub/yes; sleep 1000']
    startupProbe: {periodSeconds: 1, failureThreshold: 60, exec: {command: [ls, /host/sub/yes]}}
    volumeMounts: [{name: host, mountPath: /host, mountPropagation: Bidirectional}]
  containers:
  - name: main
    image: busybox
    command:
    - sh
    - -c
    - |
      echo data >/disk/file
      echo "memory: $(stat -f -c %T /memory)"; echo "memory: $(df -k /memory | awk 'END {print $2}') KiB"
      owner() { stat -L -c "$1: %A group %g" "$2"; }
      echo "item: $(cat /items/here/is/one)"; owner item /items/here/is/one
      echo "secret: $(cat /secret/text)"; echo "secret: $(od -An -tx1 /secret/bytes | tr -d ' \n')"; owner mode /secret/text
      echo "optional: $(ls /lacks | wc -l) files"
      owner emptyDir /disk
      [ "$(cat /etc-of-cell/hostname)" != "$(hostname)" ] && echo "hostPath: of the cell"
      echo "subPath: $(cat /two)"
      touch /read-only/file 2>&1 | sed 's/.*: /readOnly: /'
      touch /config/file 2>&1 | sed 's/.*: /delivered: /'
    volumeMounts:
    - {name: disk, mountPath: /disk}
    - {name: memory, mountPath: /memory}
    - {name: config, mountPath: /config}
    - {name: items, mountPath: /items}
    - {name: secret, mountPath: /secret}
    - {name: lacks, mountPath: /lacks}
    - {name: etc, mountPath: /etc-of-cell}
    - {name: config, mountPath: /two, subPath: two}
    - {name: disk, mountPath: /read-only, readOnly: true}
  - name: other
    image: busybox
    env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    command:
    - sh
    - -c
    - |
      until [ -e /disk/file ]; do sleep 0.1; done; echo "disk: $(cat /disk/file)"
      touch /logs/file; echo "subPathExpr: $(ls /disk | grep logs)"
      [ -e /host/sub/yes ] && echo "propagated: yes"
    volumeMounts:
    - {name: disk, mountPath: /disk}
    - {name: disk, mountPath: /logs, subPathExpr: logs-of-$(POD)}
    - {name: host, mountPath: /host, mountPropagation: HostToContainer}
`

const updatesPod = `kind: ConfigMap
metadata: {name: updated}
data: {key: old}
---
kind: Secret
metadata: {name: updated}
stringData: {key: old}
---
kind: Pod
metadata: {name: updates, labels: {key: old}}
spec:
  volumes:
  - {name: config, configMap: {name: updated}}
  - {name: secret, secret: {secretName: updated}}
  - {name: label, downwardAPI: {items: [{path: key, fieldRef: {fieldPath: "metadata.labels['key']"}}]}}
  containers:
  - name: main
    image: busybox
    command:
    - sh
    - -c
    - |
      while :; do
        now="$(cat /config/key) $(cat /secret/key) $(cat /label/key)"
        [ "$now" = "$was" ] || printf '%s\nlabel: %s\nsubPath: %s\n' "$now" "$(cat /label/key)" "$(cat /sub/key)"
        was=$now; sleep 0.2
      done
    volumeMounts:
    - {name: config, mountPath: /config}
    - {name: secret, mountPath: /secret}
    - {name: label, mountPath: /label}
    - {name: config, mountPath: /sub/key, subPath: key}
`

const awaitingPod = `kind: Pod
metadata: {name: awaiting}
spec:
  restartPolicy: Never
  volumes: [{name: config, configMap: {name: comes-later}}]
  containers: [{name: main, image: busybox, command: [cat, /config/key], volumeMounts: [{name: config, mountPath: /config}]}]
`
