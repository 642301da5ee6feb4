package v1beta1_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"kip.elotl.co/api/v1beta1"
)

// tableOf is what kubectl get shows of one object.
func tableOf(t *testing.T, resource, name string) metav1.Table {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(apiServer.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	body, err := clientset.RESTClient().Get().AbsPath("/apis", v1beta1.GroupVersion.Group, v1beta1.GroupVersion.Version, resource, name).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(body, &table); err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != 1 {
		t.Fatalf("rows %+v", table.Rows)
	}
	return table
}

// columns are the names of those that kubectl always shows, and of those that
// it shows with -o wide, with their cells in the row. Ages are left out.
func columns(table metav1.Table) (names, wide []string, row map[string]string) {
	row = map[string]string{}
	for i, column := range table.ColumnDefinitions {
		if column.Priority == 0 {
			names = append(names, column.Name)
		} else {
			wide = append(wide, column.Name)
		}
		if column.Name != "Age" {
			row[column.Name] = fmt.Sprint(table.Rows[0].Cells[i])
		}
	}
	return names, wide, row
}

func wantColumns(t *testing.T, table metav1.Table, wantNames, wantWide []string, wantRow map[string]string) {
	t.Helper()
	names, wide, row := columns(table)
	for what, diff := range map[string]string{
		"columns": cmp.Diff(wantNames, names), "wide columns": cmp.Diff(wantWide, wide), "row": cmp.Diff(wantRow, row),
	} {
		if diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func TestColumnsOfCells(t *testing.T) {
	c := apiServer.Client(t)
	create(t, c, manifest("Cell", "columns", cellSpec()))
	cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: "columns"}}
	patch := []byte(`{"status": {"podName": "web", "podNamespace": "shop", "node": "kip-default", "launchType": "Spot",
		"instanceType": "m5.large", "instanceID": "i-1", "ip": "10.0.0.4", "phase": "Ready", "podIP": "10.0.0.5",
		"zone": "us-east-1a", "imageID": "ami-1", "pricePerHour": "0.0960"}}`)
	patchStatus(t, c, cell, patch)
	wantColumns(t, tableOf(t, "cells", "columns"),
		[]string{"Name", "Pod Name", "Pod Namespace", "Node", "Launch Type", "Instance Type", "Instance ID", "IP", "Phase", "Age"},
		[]string{"Pod IP", "Zone", "Image", "Price"},
		map[string]string{
			"Name": "columns", "Pod Name": "web", "Pod Namespace": "shop", "Node": "kip-default", "Launch Type": "Spot",
			"Instance Type": "m5.large", "Instance ID": "i-1", "IP": "10.0.0.4", "Phase": "Ready",
			"Pod IP": "10.0.0.5", "Zone": "us-east-1a", "Image": "ami-1", "Price": "0.0960",
		})
}

func TestColumnsOfClasses(t *testing.T) {
	c := apiServer.Client(t)
	create(t, c, manifest("CellClass", "columns", classSpec()))
	class := &v1beta1.CellClass{ObjectMeta: metav1.ObjectMeta{Name: "columns"}}
	patchStatus(t, c, class, []byte(`{"status": {"node": "kip-columns", "nodes": ["kip-columns-a", "kip-columns-b"], "vpcID": "vpc-1", "cells": 3, "readyCells": 2,
		"images": [{"architecture": "amd64", "id": "ami-1", "rootDevice": "/dev/xvda"}],
		"conditions": [{"type": "Ready", "status": "False", "reason": "ImageNotFound", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}`))
	wantColumns(t, tableOf(t, "cellclasses", "columns"),
		[]string{"Name", "Ready", "Reason", "Runtime Class", "Default Type", "Cells", "Age"}, []string{"Nodes", "Image", "VPC"},
		map[string]string{
			"Name": "columns", "Ready": "False", "Reason": "ImageNotFound", "Runtime Class": "kip-columns", "Default Type": "t3.nano", "Cells": "3",
			"Nodes": `["kip-columns-a","kip-columns-b"]`, "Image": "ami-1", "VPC": "vpc-1",
		})
}

// TestNames: what kubectl calls the kinds.
func TestNames(t *testing.T) {
	clientset, err := kubernetes.NewForConfig(apiServer.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	resources, err := clientset.Discovery().ServerResourcesForGroupVersion(v1beta1.GroupVersion.String())
	if err != nil {
		t.Fatal(err)
	}
	type names struct {
		Kind, Short, Category string
		Namespaced            bool
	}
	got := map[string]names{}
	for _, r := range resources.APIResources {
		if len(r.ShortNames) == 1 && len(r.Categories) == 1 {
			got[r.Name] = names{r.Kind, r.ShortNames[0], r.Categories[0], r.Namespaced}
		}
	}
	want := map[string]names{"cells": {"Cell", "cl", "kip", false}, "cellclasses": {"CellClass", "cellclass", "kip", false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
