#!/bin/sh
# Shows a pod, a Job and a Deployment go through on the local environment. KEEP=1 leaves it up; HOLLOW=1 takes simulated containers.
set -eu
cd "$(dirname "$0")/../.."
dev="bin/dev ${HOLLOW:+--hollow}"
export KUBECONFIG=.dev/kubeconfig
PATH=$PWD/bin:$PATH

title() { printf '\n== %s\n' "$*"; }
show() {
	printf '$ %s\n' "$*"
	"$@"
}
# Hollow cells only simulate containers: they are told that the Job's ends.
script='{"count": [{"runSeconds": 0.2, "log": "counted to 3, they say\\n"}]}'
samples() {
	kustomize build config/samples | sed "s#public.ecr.aws/docker/library/#$(cat .dev/registry)/#
		${HOLLOW:+s#^\( *\)pod.elotl.co/instance-type.*#&\n\1hollow.kip.elotl.co/script: '$script'#}"
}
trouble() {
	code=$?
	[ "$code" = 0 ] && return
	title "this went wrong; what there is:"
	kubectl get cellclasses,cells,pods -o wide || true
	kubectl get events --sort-by=.lastTimestamp | tail -15 || true
	echo "logs are in .dev/log; the environment is still up: make down"
}
trap trouble EXIT

title "bringing the local environment up"
$dev up

title "applying config/samples: a pod, a Job, a Deployment of two"
samples | show kubectl apply -f -
title "waiting until they run on cells of their own"
show kubectl rollout status deployment/web --timeout=2m
show kubectl wait --for=condition=Ready pod/hello --timeout=2m
show kubectl wait --for=condition=Complete job/count --timeout=2m

title "a cell for each pod"
show kubectl get cells
show kubectl get pods -o wide

title "what the containers say"
show kubectl logs hello
show kubectl logs job/count
show kubectl get job count

title "instances, as EC2 tells them"
. .dev/aws.env
show $dev instances

title "deleting it all"
samples | show kubectl delete --wait -f -
title "waiting until their cells are gone"
kubectl wait --for=delete cells --all --timeout=2m >/dev/null
show kubectl get cells
show $dev instances
$dev instances | grep -qx "0 live instances"

if [ -n "${KEEP:-}" ]; then
	title "left up: export KUBECONFIG=$PWD/.dev/kubeconfig; end it with make down"
else
	title "taking the environment down"
	$dev down
fi
