package main

import (
	"context"
	"os"

	"k8s.io/utils/clock"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/aws"
	"kip.elotl.co/internal/itzo"
)

// registryVariable is where the AWS SDKs look for another endpoint of ECR.
const registryVariable = "AWS_ENDPOINT_URL_ECR"

// notices asks the instance's metadata service of its end.
func notices() func(context.Context) (itzo.Notices, error) {
	return aws.Notices(os.Getenv(metadataVariable))
}

// registries are those that the instance's role has access to.
func registries() agent.Registries {
	return aws.NewRegistries(aws.RegistriesOptions{
		Endpoint: os.Getenv(registryVariable), MetadataEndpoint: os.Getenv(metadataVariable), Clock: clock.RealClock{},
	})
}
