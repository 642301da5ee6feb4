// Package retry says how soon a controller tries again what ended in an error.
package retry

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// The first wait after an error and the longest. controller-runtime's own go up
// to a quarter of an hour, by which an outage of the cloud or of the API server
// would outlast itself.
const (
	first = 5 * time.Millisecond
	most  = 30 * time.Second
)

// AfterErrors doubles the wait of each object with every error in a row, from
// 5 ms to half a minute.
func AfterErrors() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](first, most)
}
