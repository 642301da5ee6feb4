package aws

import (
	"context"
	"fmt"
)

// CheckCredentials says whether there are credentials to ask EC2 with, and if
// not, which settings would give some. EC2 itself is not asked.
func (c *Client) CheckCredentials(ctx context.Context) error {
	if _, err := c.ec2.Options().Credentials.Retrieve(ctx); err != nil {
		return fmt.Errorf("no AWS credentials are to be had: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: %w", err)
	}
	return nil
}
