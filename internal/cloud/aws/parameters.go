package aws

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"kip.elotl.co/internal/cloud"
)

// parametersAtOnce is how many parameters one call takes.
const parametersAtOnce = 10

// Parameters implements cloud.Parameters.
func (c *Client) Parameters(ctx context.Context, names []string) (map[string]string, error) {
	values := map[string]string{}
	for chunk := range slices.Chunk(names, parametersAtOnce) {
		out, err := c.ssm.GetParameters(ctx, &ssm.GetParametersInput{Names: chunk})
		if err != nil {
			return nil, sortedOf("ssm", "GetParameters", err, chunk...)
		}
		for _, p := range out.Parameters {
			values[aws.ToString(p.Name)] = aws.ToString(p.Value)
			values[aws.ToString(p.ARN)] = aws.ToString(p.Value)
		}
		for _, name := range chunk {
			if slices.Contains(out.InvalidParameters, name) {
				return nil, cloud.NotFound("ssm:GetParameters", name)
			}
		}
	}
	return values, nil
}

// PutSecret implements cloud.Parameters. What is there already is deleted: a
// String cannot become a SecureString, tags can be given only to what is new,
// and tags that are given beforehand open another's value to the cell. Where
// Parameter Store still shows what it has deleted the error is transient.
func (c *Client) PutSecret(ctx context.Context, secret cloud.Secret) error {
	in := &ssm.PutParameterInput{
		Name: aws.String(secret.Name), Value: aws.String(secret.Value), Type: types.ParameterTypeSecureString,
		Tier: types.ParameterTierIntelligentTiering, Overwrite: aws.Bool(false), Tags: parameterTags(secret.Tags),
	}
	if secret.KMSKeyID != "" {
		in.KeyId = aws.String(secret.KMSKeyID)
	}
	_, err := c.ssm.PutParameter(ctx, in)
	if there := (*types.ParameterAlreadyExists)(nil); errors.As(err, &there) {
		if err := c.DeleteSecrets(ctx, []string{secret.Name}); err != nil {
			return err
		}
		_, err = c.ssm.PutParameter(ctx, in)
	}
	return sortedOf("ssm", "PutParameter", err, secret.KMSKeyID)
}

func parameterTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return out
}

// SecretsBelow implements cloud.Parameters.
func (c *Client) SecretsBelow(ctx context.Context, path string) ([]cloud.SecretInfo, error) {
	var found []cloud.SecretInfo
	pages := ssm.NewGetParametersByPathPaginator(c.ssm, &ssm.GetParametersByPathInput{Path: aws.String(path), Recursive: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sortedOf("ssm", "GetParametersByPath", err)
		}
		for _, p := range page.Parameters {
			found = append(found, cloud.SecretInfo{Name: aws.ToString(p.Name), Version: p.Version, Modified: aws.ToTime(p.LastModifiedDate)})
		}
	}
	return found, nil
}

// DeleteSecrets implements cloud.Parameters.
func (c *Client) DeleteSecrets(ctx context.Context, names []string) error {
	for chunk := range slices.Chunk(names, parametersAtOnce) {
		if _, err := c.ssm.DeleteParameters(ctx, &ssm.DeleteParametersInput{Names: chunk}); err != nil {
			return sortedOf("ssm", "DeleteParameters", err)
		}
	}
	return nil
}

// Secrets implements cloud.Parameters.
func (c *Client) Secrets(ctx context.Context, path string, tags map[string]string) ([]cloud.SecretInfo, error) {
	filters := []types.ParameterStringFilter{{Key: aws.String("Path"), Option: aws.String("Recursive"), Values: []string{path}}}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		filters = append(filters, types.ParameterStringFilter{Key: aws.String("tag:" + key), Values: []string{tags[key]}})
	}
	var found []cloud.SecretInfo
	pages := ssm.NewDescribeParametersPaginator(c.ssm, &ssm.DescribeParametersInput{ParameterFilters: filters})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sortedOf("ssm", "DescribeParameters", err)
		}
		for _, p := range page.Parameters {
			found = append(found, cloud.SecretInfo{Name: aws.ToString(p.Name), Version: p.Version, Modified: aws.ToTime(p.LastModifiedDate)})
		}
	}
	return found, nil
}
