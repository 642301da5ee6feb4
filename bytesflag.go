package main

import (
	"fmt"
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
)

// bytesFlag is a flag for a number of bytes, written as a quantity: 1Mi, 256Mi.
type bytesFlag int

// String implements flag.Value.
func (b *bytesFlag) String() string {
	return resource.NewQuantity(int64(*b), resource.BinarySI).String()
}

// Set implements flag.Value.
func (b *bytesFlag) Set(text string) error {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return fmt.Errorf("must be a number of bytes, such as 256Mi: %w", err)
	}
	if q.Sign() < 0 || q.Value() > math.MaxInt32 {
		return fmt.Errorf("must be between 0 and 2Gi, is %s", text)
	}
	*b = bytesFlag(q.Value())
	return nil
}
