package agent

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// handleGRPC asks the gRPC health protocol whether a service serves.
func (a *Agent) handleGRPC(ctx context.Context, j job, h handling) error {
	address, err := j.address("", intstr.FromInt32(h.grpc.Port))
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithUserAgent(h.agent),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(a.config.Host.Dial))
	if err != nil {
		return fmt.Errorf("making a gRPC client: %w", err)
	}
	defer conn.Close()
	request := &grpc_health_v1.HealthCheckRequest{}
	if h.grpc.Service != nil {
		request.Service = *h.grpc.Service
	}
	response, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, request)
	switch {
	case status.Code(err) == codes.Unimplemented:
		return &failure{"this server does not implement the grpc health protocol (grpc.health.v1.Health)"}
	case err != nil:
		return &failure{fmt.Sprintf("health rpc failed: %v", err)}
	case response.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING:
		return &failure{fmt.Sprintf("service unhealthy (responded with %q)", response.GetStatus())}
	}
	return nil
}
