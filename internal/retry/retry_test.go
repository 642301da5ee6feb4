package retry

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// TestWaitsDoubleUpToABound, for each object by itself, and begin anew after a success.
func TestWaitsDoubleUpToABound(t *testing.T) {
	limiter := AfterErrors()
	object := reconcile.Request{NamespacedName: types.NamespacedName{Name: "a"}}
	for want := first; want < most; want *= 2 {
		if got := limiter.When(object); got != want {
			t.Fatalf("wait %s, want %s", got, want)
		}
	}
	for range 100 {
		if got := limiter.When(object); got != 30*time.Second {
			t.Fatalf("wait %s", got)
		}
	}
	if got := limiter.When(reconcile.Request{}); got != first {
		t.Errorf("another object waits %s", got)
	}
	limiter.Forget(object)
	if got := limiter.When(object); got != first {
		t.Errorf("after a success it waits %s", got)
	}
}
