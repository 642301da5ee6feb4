package main

import (
	"os"

	"k8s.io/utils/clock"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/aws"
)

// registryVariable is where the AWS SDKs look for another endpoint of ECR.
const registryVariable = "AWS_ENDPOINT_URL_ECR"

// registries are those that the instance's role has access to.
func registries() agent.Registries {
	return aws.NewRegistries(aws.RegistriesOptions{
		Endpoint: os.Getenv(registryVariable), MetadataEndpoint: os.Getenv(metadataVariable), Clock: clock.RealClock{},
	})
}
