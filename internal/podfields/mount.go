package podfields

import "fmt"

// MountError says in the kubelet's words why a volume cannot be made.
type MountError struct {
	// Volume is its name in the pod.
	Volume string
	Err    error
}

func (e *MountError) Error() string {
	return fmt.Sprintf("MountVolume.SetUp failed for volume %q : %v", e.Volume, e.Err)
}

// Unwrap gives the reason alone.
func (e *MountError) Unwrap() error { return e.Err }
