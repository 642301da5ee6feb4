package world

import "kip.elotl.co/hack/localaws/boot"

// Boots says which guests do not come up.
type Boots interface {
	// HangBoot decides about one boot.
	HangBoot(instanceType, zone string) bool
}

// bootSpec is what a back end is told to boot.
func (w *World) bootSpec(i *Instance) boot.Spec {
	spec := w.spec(i)
	if boots, ok := w.Capacity.(Boots); ok {
		spec.Hangs = boots.HangBoot(i.InstanceType, i.Zone)
	}
	return spec
}
