package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// InstanceID asks version 2 of the metadata service, at its usual address where
// endpoint is empty. It asks once, for as long as ctx lets it.
func InstanceID(ctx context.Context, endpoint string) (string, error) {
	return item(ctx, imds.New(imds.Options{Endpoint: endpoint, EnableFallback: aws.FalseTernary, Retryer: aws.NopRetryer{}}), "instance-id")
}
