//go:build !chaos

package crashpoint

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reach does nothing.
func Reach(context.Context, Point, metav1.Object) {}
