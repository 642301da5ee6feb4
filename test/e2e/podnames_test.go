package e2e

import "context"

func nameScenes() []scene {
	return []scene{
		{manifests: namesPod, features: []feature{
			{"hostname and subdomain", wrote("names", "main", "hostname: web")},
			{"hostAliases", wrote("names", "main", "hosts: 192.0.2.7 db db.example")},
			{"the pod's own name in /etc/hosts", ownName},
			{"dnsPolicy None with dnsConfig", wrote("names", "main", "resolv: nameserver 192.0.2.53", "resolv: search one.example two.example", "resolv: options ndots:2 edns0")},
			{"one /etc/hosts for all containers of the pod", wrote("names", "other", "hosts: 192.0.2.7 db db.example")},
		}},
		{manifests: fullNamePod, features: []feature{
			{"setHostnameAsFQDN", fullName},
			{"dnsPolicy Default is the cell's", wrote("full-name", "main", "resolv: of the cell")},
		}},
	}
}

func ownName(ctx context.Context, s *stage) error {
	return sameAs("names", "hosts: {.status.podIP} web.sub."+s.namespace+".svc.cluster.local web")(ctx, s)
}

func fullName(ctx context.Context, s *stage) error {
	return wrote("full-name", "main", "hostname: full-name.sub."+s.namespace+".svc.cluster.local")(ctx, s)
}

const namesPod = `kind: Pod
metadata: {name: names}
spec:
  restartPolicy: Never
  hostname: web
  subdomain: sub
  hostAliases: [{ip: 192.0.2.7, hostnames: [db, db.example]}]
  dnsPolicy: None
  dnsConfig: {nameservers: [192.0.2.53], searches: [one.example, two.example], options: [{name: ndots, value: "2"}, {name: edns0}]}
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'echo hostname: $(hostname); sed "s/^/hosts: /" /etc/hosts | tr "\t" " "; sed "s/^/resolv: /" /etc/resolv.conf']
  - name: other
    image: busybox
    command: [sh, -c, 'sed "s/^/hosts: /" /etc/hosts | tr "\t" " "']
`

const fullNamePod = `kind: Pod
metadata: {name: full-name}
spec:
  restartPolicy: Never
  subdomain: sub
  setHostnameAsFQDN: true
  dnsPolicy: Default
  volumes: [{name: etc, hostPath: {path: /etc}}]
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'echo hostname: $(hostname); cmp /etc/resolv.conf /cell/resolv.conf && echo resolv: of the cell']
    volumeMounts: [{name: etc, mountPath: /cell}]
`
