package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/controllers/garbage"
)

// garbageMode says what becomes of what no Cell owns.
type garbageMode string

const (
	garbageDelete garbageMode = "delete"
	garbageReport garbageMode = "report"
	garbageOff    garbageMode = "off"
)

// String implements flag.Value.
func (m *garbageMode) String() string { return string(*m) }

// Set implements flag.Value.
func (m *garbageMode) Set(text string) error {
	modes := []string{string(garbageDelete), string(garbageReport), string(garbageOff)}
	if !slices.Contains(modes, text) {
		return fmt.Errorf("must be one of %s", strings.Join(modes, ", "))
	}
	*m = garbageMode(text)
	return nil
}

// ageFlag is a duration of a second at least.
type ageFlag time.Duration

// String implements flag.Value.
func (a *ageFlag) String() string { return time.Duration(*a).String() }

// Set implements flag.Value.
func (a *ageFlag) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("must be a duration, such as 15m: %w", err)
	}
	if d < time.Second {
		return fmt.Errorf("must be 1s or more, is %s", text)
	}
	*a = ageFlag(d)
	return nil
}

// collectGarbage has the leader end what no Cell owns, or tell of it.
func collectGarbage(mgr ctrl.Manager, live client.Reader, cloud garbage.Cloud, cluster clusterIdentity, o options) error {
	if o.garbage == garbageOff {
		return nil
	}
	collector, err := garbage.New(garbage.Options{
		Live: live, Cloud: cloud, Events: mgr.GetEventRecorder("kip"), Clock: clock.RealClock{}, Log: mgr.GetLogger().WithName("garbage"),
		Metrics: metrics.Registry, Tags: cluster.tags(), Namespace: o.namespace,
		ReportOnly: o.garbage == garbageReport, MinAge: time.Duration(o.garbageMinAge),
	})
	if err != nil {
		return err
	}
	if err := mgr.Add(collector); err != nil {
		return fmt.Errorf("adding the garbage collector: %w", err)
	}
	return nil
}

// clusterIdentity tells what this cluster makes in the cloud from what others
// make.
type clusterIdentity struct {
	// id is what the flag says, else the UID of namespace kube-system, which lives
	// as long as the cluster.
	id string
	// uid is the latter where the flag says something: others may say the same.
	uid string
}

func (i clusterIdentity) tags() map[string]string {
	tags := map[string]string{v1beta1.TagCluster: i.id}
	if i.uid != "" {
		tags[v1beta1.TagClusterUID] = i.uid
	}
	return tags
}

// The cluster's ID, and what events about garbage of no class are about:
// +kubebuilder:rbac:groups="",resources=namespaces,resourceNames=kube-system;kip-system,verbs=get

func readIdentity(ctx context.Context, live client.Reader, o options) (clusterIdentity, error) {
	namespace := &corev1.Namespace{}
	if err := live.Get(ctx, client.ObjectKey{Name: "kube-system"}, namespace); err != nil {
		return clusterIdentity{}, fmt.Errorf("reading namespace kube-system for the cluster's ID: %w", err)
	}
	uid := string(namespace.UID)
	if o.clusterID == "" || o.clusterID == uid {
		return clusterIdentity{id: uid}, nil
	}
	return clusterIdentity{id: o.clusterID, uid: uid}, nil
}
