// Package v1beta1 is the API of Kip: Cell, one cloud instance that runs one
// pod, and CellClass, how cells of a kind are made.
//
// +kubebuilder:object:generate=true
// +groupName=kip.elotl.co
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: "kip.elotl.co", Version: "v1beta1"}

// AddToScheme registers the types of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &Cell{}, &CellList{}, &CellClass{}, &CellClassList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
