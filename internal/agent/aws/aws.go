// Package aws is what a cell's agent asks of AWS with the instance's own role: its
// parameters, and access to image registries.
package aws

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

const (
	// callTimeout bounds one request to SSM.
	callTimeout = 10 * time.Second
	// maxMetadata bounds what is read of one metadata item, in bytes.
	maxMetadata = 1 << 10
)

// connect makes a client of the parameter store that acts with the instance's
// role, and answers the instance's ID. Requests are not repeated below it.
func connect(ctx context.Context, o Options) (*ssm.Client, string, error) {
	metadata := instanceMetadata(o.MetadataEndpoint)
	id, err := item(ctx, metadata, "instance-id")
	if err != nil {
		return nil, "", err
	}
	region, err := item(ctx, metadata, "placement/region")
	if err != nil {
		return nil, "", err
	}
	options := ssm.Options{
		Region:      region,
		Credentials: roleOf(metadata),
		HTTPClient:  awshttp.NewBuildableClient().WithTimeout(callTimeout),
		Retryer:     aws.NopRetryer{},
	}
	if o.Endpoint != "" {
		options.BaseEndpoint = aws.String(o.Endpoint)
	}
	return ssm.New(options), id, nil
}

// instanceMetadata is asked by version 2 alone: version 1 answers whoever can be
// made to ask.
func instanceMetadata(endpoint string) *imds.Client {
	return imds.New(imds.Options{Endpoint: endpoint, EnableFallback: aws.FalseTernary, Retryer: aws.NopRetryer{}})
}

// roleOf gives the credentials of the instance's role.
func roleOf(metadata *imds.Client) *aws.CredentialsCache {
	return aws.NewCredentialsCache(ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = metadata }))
}

func item(ctx context.Context, metadata *imds.Client, path string) (string, error) {
	out, err := metadata.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	if err != nil {
		return "", fmt.Errorf("asking the instance's metadata for %s: %w", path, err)
	}
	defer out.Content.Close()
	value, err := io.ReadAll(io.LimitReader(out.Content, maxMetadata))
	if err != nil {
		return "", fmt.Errorf("reading the instance's metadata %s: %w", path, err)
	}
	return string(value), nil
}
