package aws

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"kip.elotl.co/internal/cloud"
)

const consoleAction = "GetConsoleOutput"

// Console implements cloud.Instances. Instances on Nitro give what there is
// now; others only what EC2 has kept, which may be minutes old
// (docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html).
func (c *Client) Console(ctx context.Context, id string) ([]byte, error) {
	if err := checkID(consoleAction, id); err != nil {
		return nil, err
	}
	output, err := c.console(ctx, id, true)
	if isUnsupported(err) {
		output, err = c.console(ctx, id, false)
	}
	return output, err
}

func (c *Client) console(ctx context.Context, id string, latest bool) ([]byte, error) {
	out, err := c.ec2.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: aws.String(id), Latest: aws.Bool(latest)})
	if err != nil {
		return nil, sorted(consoleAction, err, id)
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	if err != nil {
		return nil, &cloud.Error{Kind: cloud.KindTransient, Action: "ec2:" + consoleAction, Message: "the output is not in base64", Subject: id, Err: err}
	}
	return text, nil
}

// isUnsupported says whether EC2 refuses what only instances on Nitro have.
func isUnsupported(err error) bool {
	var refusal *cloud.Error
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Code {
	case "UnsupportedOperation", "Unsupported", "InvalidParameterValue", "InvalidParameterCombination", "InvalidParameter":
		return true
	}
	return false
}
