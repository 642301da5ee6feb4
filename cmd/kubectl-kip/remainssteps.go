package main

import (
	"context"
	"fmt"
	"strings"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/cloud/aws"
	"kip.elotl.co/internal/virtualnode"
)

func (r *remains) aboutOperator() string {
	switch {
	case r.leader != "":
		return fmt.Sprintf("Kip's operator runs: %s leads.", r.leader)
	case r.deployed:
		return fmt.Sprintf("No operator of Kip's leads: mend Deployment %s/%s first, as nothing else ends instances.", r.namespace, operatorName)
	case len(r.cells) > 0 || len(r.classes) > 0:
		return "No operator of Kip's runs: install it again, which ends what follows, or see docs/uninstall.md for how to do without."
	}
	return "No operator of Kip's runs."
}

// steps are all, in the order in which to do them.
func (r *remains) steps() []step {
	withOperator := "kubectl delete %s: they go when the operator has ended their instances"
	if r.leader == "" {
		withOperator = "kubectl delete %s: they wait for an operator that ends their instances"
	}
	all := []step{
		{"pods on Kip's nodes", "Delete what makes them (Deployments, Jobs and the like), or the pods: their cells end with them.", r.pods},
		{"Cells", fmt.Sprintf(withOperator, "cells --all"), r.cellLines()},
		{"CellClasses", "kubectl delete cellclasses --all: the operator takes their nodes and RuntimeClasses away, too", r.classLines()},
		{"nodes and RuntimeClasses of no class", "kubectl delete node, runtimeclass: nobody else does", r.strays()},
		{"in the cloud", "What is of a Cell goes with it. The rest the operator ends in a quarter of an hour where there is any Cell (docs/reliability.md); else end it yourself.", r.cloud},
	}
	if !r.installed() {
		all = append(all, step{"kinds, roles and Secrets", "kustomize build config/default | kubectl delete --ignore-not-found -f -", r.own})
	}
	return all
}

func (r *remains) cellLines() []string {
	var lines []string
	for i := range r.cells {
		c := &r.cells[i]
		line := fmt.Sprintf("%s of class %s", c.Name, c.Spec.CellClassName)
		if c.Spec.PodRef != nil {
			line += fmt.Sprintf(", for pod %s/%s", c.Spec.PodRef.Namespace, c.Spec.PodRef.Name)
		}
		if c.Status.InstanceID != "" {
			line += ", instance " + c.Status.InstanceID
		}
		if !c.DeletionTimestamp.IsZero() {
			line += ", is being deleted"
		}
		lines = append(lines, line)
	}
	return lines
}

func (r *remains) classLines() []string {
	var lines []string
	for i := range r.classes {
		line := r.classes[i].Name
		if !r.classes[i].DeletionTimestamp.IsZero() {
			line += ", is being deleted"
		}
		lines = append(lines, line)
	}
	return lines
}

// strays are nodes and RuntimeClasses that do not go with a class.
func (r *remains) strays() []string {
	classes := map[string]bool{}
	for i := range r.classes {
		classes[r.classes[i].Name] = true
	}
	var lines []string
	for i := range r.nodes {
		if id, _ := virtualnode.IdentityOf(&r.nodes[i]); !classes[id.Class] {
			lines = append(lines, "Node "+r.nodes[i].Name)
		}
	}
	for _, name := range r.runtimeClasses {
		if !classes[strings.TrimPrefix(name, "RuntimeClass "+v1beta1.NodeName(""))] {
			lines = append(lines, name)
		}
	}
	return lines
}

// readCloud finds what has the cluster's tags.
func (r *remains) readCloud(ctx context.Context) error {
	region := ""
	for i := range r.classes {
		if region = regionOf(&r.classes[i]); region != "" {
			break
		}
	}
	account, err := aws.New(ctx, aws.Options{Region: region, Version: version, Limits: aws.DefaultLimits()})
	if err != nil {
		return err
	}
	if err := account.CheckCredentials(ctx); err != nil {
		return err
	}
	tags := map[string]string{v1beta1.TagCluster: r.clusterUID}
	if r.clusterID != "" {
		tags[v1beta1.TagCluster] = r.clusterID
	}
	if err := r.readInstances(ctx, account, tags); err != nil {
		return err
	}
	for _, kind := range cloud.LeftoverKinds() {
		found, err := account.Leftovers(ctx, kind, tags)
		if err != nil {
			return err
		}
		for i := range found {
			if found[i].Tags[v1beta1.TagCell] != "" && r.ours(found[i].Tags) {
				r.cloud = append(r.cloud, fmt.Sprintf("%s %s, %s", kind, found[i].ID, r.owner(found[i].Tags)))
			}
		}
	}
	parameters, err := account.Secrets(ctx, "/kip/cells/", tags)
	for i := range parameters {
		r.cloud = append(r.cloud, "parameter "+parameters[i].Name)
	}
	return err
}

func (r *remains) readInstances(ctx context.Context, account cloud.Instances, tags map[string]string) error {
	instances, err := account.FindByTags(ctx, tags)
	for i := range instances {
		if instances[i].State != cloud.StateTerminated && r.ours(instances[i].Tags) {
			r.cloud = append(r.cloud, fmt.Sprintf("instance %s, %s, %s", instances[i].ID, instances[i].State, r.owner(instances[i].Tags)))
		}
	}
	return err
}

// ours says whether tags with the cluster's ID are this cluster's: another may
// have been given the same ID.
func (r *remains) ours(tags map[string]string) bool {
	uid := tags[v1beta1.TagClusterUID]
	return uid == "" || uid == r.clusterUID
}

func (r *remains) owner(tags map[string]string) string {
	for i := range r.cells {
		if string(r.cells[i].UID) == tags[v1beta1.TagCell] {
			return "of Cell " + r.cells[i].Name
		}
	}
	return "of no Cell that there is"
}
