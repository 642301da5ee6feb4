// Package ownwrites tells a controller that its cache is behind its own
// writes. To act on what the cache shows then would do again what was done.
package ownwrites

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Versions remembers the version of each object that this process wrote last.
// It may be used by several goroutines.
type Versions struct {
	mu    sync.Mutex
	byUID map[types.UID]string
}

// New makes Versions.
func New() *Versions { return &Versions{byUID: map[types.UID]string{}} }

// Note remembers an object as the API server answered a write of it.
func (v *Versions) Note(object metav1.Object) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.byUID[object.GetUID()] = object.GetResourceVersion()
}

// NoteRemoved remembers that nothing is left to do for an object: whatever the
// cache still shows of it is stale until Forget.
func (v *Versions) NoteRemoved(object metav1.Object) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.byUID[object.GetUID()] = removed
}

// removed is no resource version.
const removed = "removed"

// Stale says whether the object is older than what was written, or removed.
// The watch event of the newer one is on its way.
func (v *Versions) Stale(object metav1.Object) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	last := v.byUID[object.GetUID()]
	if last == "" || last == removed {
		return last == removed
	}
	order, err := resourceversion.CompareResourceVersion(object.GetResourceVersion(), last)
	return err == nil && order < 0
}

// Removed says whether NoteRemoved was told of the object.
func (v *Versions) Removed(object metav1.Object) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.byUID[object.GetUID()] == removed
}

// Forget drops what is known of an object.
func (v *Versions) Forget(uid types.UID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.byUID, uid)
}
