package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-logr/logr"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/aws"
	"kip.elotl.co/internal/agent/host"
)

// storeFile, beside the credentials, says that they are in a parameter store.
const storeFile = "parameter_store"

// metadataVariable is where the AWS SDKs look for another address of the
// instance's metadata.
const metadataVariable = "AWS_EC2_METADATA_SERVICE_ENDPOINT"

// fetchParameters brings to certDir what the cell's parameter store holds for
// it, where credentials are neither there nor kept already. It waits for them.
func fetchParameters(ctx context.Context, certDir, kept string) error {
	if complete(kept) || complete(certDir) {
		return nil
	}
	endpoint, err := storeEndpoint(filepath.Join(certDir, storeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has neither %s nor %s, which would say where they are",
			certDir, strings.Join(agent.CredentialFiles(), ", "), storeFile)
	}
	if err != nil {
		return err
	}
	files, err := aws.Fetch(ctx, aws.Options{
		Endpoint: endpoint, MetadataEndpoint: os.Getenv(metadataVariable), Required: agent.CredentialFiles(),
	})
	if err != nil {
		return err
	}
	for _, name := range credentialsLast(files) {
		if err := host.WriteFile(filepath.Join(certDir, name), files[name], 0o600); err != nil {
			return fmt.Errorf("writing the cell's parameter %s: %w", name, err)
		}
	}
	logr.FromContextOrDiscard(ctx).Info("Fetched the cell's parameters", "directory", certDir, "files", slices.Sorted(maps.Keys(files)))
	return nil
}

// storeEndpoint reads "ssm", or "ssm" and where to ask; the empty one is the
// region's own.
func storeEndpoint(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading which parameter store is used: %w", err)
	}
	fields := strings.Fields(string(content))
	if len(fields) == 0 || len(fields) > 2 || fields[0] != "ssm" {
		return "", fmt.Errorf("%s: %q is not understood: must be ssm, or ssm and the URL of its endpoint", path, content)
	}
	if len(fields) == 1 {
		return "", nil
	}
	at, err := url.Parse(fields[1])
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
		return "", fmt.Errorf("%s: %q must be a URL with http or https", path, fields[1])
	}
	return fields[1], nil
}

// credentialsLast orders files so that credentials are complete only once
// everything else is there.
func credentialsLast(files map[string][]byte) []string {
	return slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		isA, isB := slices.Contains(agent.CredentialFiles(), a), slices.Contains(agent.CredentialFiles(), b)
		if isA != isB {
			return map[bool]int{true: 1, false: -1}[isA]
		}
		return strings.Compare(a, b)
	})
}
