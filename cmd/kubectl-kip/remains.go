package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/castore"
	"kip.elotl.co/internal/virtualnode"
)

// The operator's Deployment and the lease of its leader.
const (
	operatorName  = "kip"
	operatorLease = "kip-operator"
)

// remains is what there is of Kip in cluster and cloud.
type remains struct {
	namespace string
	// clusterID tags what the operator makes in the cloud, clusterUID is that of
	// namespace kube-system.
	clusterID, clusterUID string
	// deployed: the operator's Deployment exists. leader is who leads now.
	deployed bool
	leader   string

	cells          []v1beta1.Cell
	classes        []v1beta1.CellClass
	nodes          []corev1.Node
	pods           []string
	runtimeClasses []string
	// own are the kinds, the roles and the Secret that were installed.
	own []string
	// cloud are lines about what has the cluster's tags there.
	cloud []string
	// unknown is what could not be looked at, and why.
	unknown []string
}

// installed says whether deleting the operator's manifests is still to come.
func (r *remains) installed() bool { return r.deployed || r.leader != "" }

// readCluster reads all but the cloud. What may not be read is unknown; the
// error is that the API server cannot be asked at all.
func (r *remains) readCluster(ctx context.Context, api client.Client) error {
	if err := r.readIdentity(ctx, api); err != nil {
		return err
	}
	for _, part := range []struct {
		what string
		read func(context.Context, client.Client) error
	}{
		{"the operator", r.readOperator}, {"Cells and CellClasses", r.readKinds}, {"nodes and their pods", r.readNodes},
		{"RuntimeClasses", r.readRuntimeClasses}, {"the operator's kinds, roles and Secret", r.readOwn},
	} {
		if err := part.read(ctx, api); err != nil {
			r.unknown = append(r.unknown, fmt.Sprintf("%s: %v", part.what, err))
		}
	}
	return nil
}

func (r *remains) readIdentity(ctx context.Context, api client.Client) error {
	namespace := &corev1.Namespace{}
	if err := api.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, namespace); err != nil {
		return fmt.Errorf("reading namespace %s for the cluster's ID: %w", metav1.NamespaceSystem, err)
	}
	r.clusterUID = string(namespace.UID)
	return nil
}

func (r *remains) readOperator(ctx context.Context, api client.Client) error {
	deployment := &appsv1.Deployment{}
	err := api.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: operatorName}, deployment)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	r.deployed = err == nil
	for _, container := range deployment.Spec.Template.Spec.Containers {
		for _, arg := range container.Args {
			if id, ok := strings.CutPrefix(arg, "--cluster-id="); ok && r.clusterID == "" {
				r.clusterID = id
			}
		}
	}
	lease := &coordinationv1.Lease{}
	err = api.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: operatorLease}, lease)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	s := lease.Spec
	if s.HolderIdentity != nil && s.RenewTime != nil && s.LeaseDurationSeconds != nil &&
		time.Since(s.RenewTime.Time) < time.Duration(*s.LeaseDurationSeconds)*time.Second {
		r.leader = *s.HolderIdentity
	}
	return nil
}

// readKinds finds nothing where the kinds are gone.
func (r *remains) readKinds(ctx context.Context, api client.Client) error {
	var cells v1beta1.CellList
	var classes v1beta1.CellClassList
	for _, list := range []client.ObjectList{&cells, &classes} {
		if err := api.List(ctx, list); err != nil && !gone(err) {
			return err
		}
	}
	r.cells, r.classes = cells.Items, classes.Items
	return nil
}

// gone says whether an object, or its kind, does not exist.
func gone(err error) bool { return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) }

func (r *remains) readNodes(ctx context.Context, api client.Client) error {
	var nodes corev1.NodeList
	if err := api.List(ctx, &nodes); err != nil {
		return err
	}
	for i := range nodes.Items {
		if _, ours := virtualnode.IdentityOf(&nodes.Items[i]); !ours {
			continue
		}
		r.nodes = append(r.nodes, nodes.Items[i])
		var pods corev1.PodList
		if err := api.List(ctx, &pods, client.MatchingFields{"spec.nodeName": nodes.Items[i].Name}); err != nil {
			return err
		}
		for p := range pods.Items {
			if pod := &pods.Items[p]; holds(pod) {
				r.pods = append(r.pods, fmt.Sprintf("%s/%s on node %s", pod.Namespace, pod.Name, pod.Spec.NodeName))
			}
		}
	}
	return nil
}

// holds says whether a pod has, or will have, a cell: those of DaemonSets go
// with the node, and ended ones have none any more.
func holds(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return !ended && (owner == nil || owner.Kind != "DaemonSet")
}

func (r *remains) readRuntimeClasses(ctx context.Context, api client.Client) error {
	var all nodev1.RuntimeClassList
	if err := api.List(ctx, &all); err != nil {
		return err
	}
	for i := range all.Items {
		if all.Items[i].Handler == v1beta1.Provider {
			r.runtimeClasses = append(r.runtimeClasses, "RuntimeClass "+all.Items[i].Name)
		}
	}
	return nil
}

// readOwn looks for what the manifests install, the operator itself aside, and
// for the Secret that it makes.
func (r *remains) readOwn(ctx context.Context, api client.Client) error {
	rbac := schema.GroupVersion{Group: "rbac.authorization.k8s.io", Version: "v1"}
	crd := schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	for _, is := range []struct {
		kind            schema.GroupVersionKind
		namespace, name string
	}{
		{crd, "", "cells." + v1beta1.GroupVersion.Group},
		{crd, "", "cellclasses." + v1beta1.GroupVersion.Group},
		{rbac.WithKind("ClusterRole"), "", operatorName},
		{rbac.WithKind("ClusterRole"), "", operatorName + "-metrics-reader"},
		{rbac.WithKind("ClusterRoleBinding"), "", operatorName},
		{rbac.WithKind("Role"), corev1.NamespaceNodeLease, operatorName},
		{rbac.WithKind("RoleBinding"), corev1.NamespaceNodeLease, operatorName},
		{rbac.WithKind("RoleBinding"), metav1.NamespaceSystem, operatorName + "-authentication-reader"},
		{corev1.SchemeGroupVersion.WithKind("Secret"), r.namespace, castore.SecretName},
		{corev1.SchemeGroupVersion.WithKind("Namespace"), "", r.namespace},
	} {
		object := &metav1.PartialObjectMetadata{}
		object.SetGroupVersionKind(is.kind)
		err := api.Get(ctx, client.ObjectKey{Namespace: is.namespace, Name: is.name}, object)
		switch {
		case gone(err):
		case err != nil:
			return fmt.Errorf("reading %s %s: %w", is.kind.Kind, is.name, err)
		default:
			r.own = append(r.own, is.kind.Kind+" "+strings.TrimPrefix(is.namespace+"/"+is.name, "/"))
		}
	}
	return nil
}
