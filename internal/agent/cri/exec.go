package cri

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	criclient "k8s.io/cri-client/pkg"
	utilexec "k8s.io/utils/exec"

	"kip.elotl.co/internal/agent"
)

// Exec implements agent.Runtime.
func (r *Runtime) Exec(ctx context.Context, id string, command []string, timeout time.Duration) ([]byte, int32, error) {
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return nil, 0, err
	}
	stdout, stderr, err := runtime.ExecSync(ctx, id, command, timeout)
	output := append(stdout, stderr...)
	var exit utilexec.CodeExitError
	switch {
	case errors.As(err, &exit):
		return output, int32(exit.Code), nil
	case timedOut(err):
		return output, 0, fmt.Errorf("%w after %s", agent.ErrExecTimeout, timeout)
	case err != nil:
		return output, 0, plain(err)
	}
	return output, 0, nil
}

// timedOut knows the runtime's error, which containerd 1.6 does not mark.
func timedOut(err error) bool {
	return errors.Is(err, criclient.ErrCommandTimedOut) || status.Code(err) == codes.DeadlineExceeded ||
		err != nil && strings.Contains(err.Error(), "exec in container") && strings.Contains(err.Error(), "context deadline exceeded")
}
