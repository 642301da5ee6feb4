package aws

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/internal/cloud"
)

const statusAction = "DescribeInstanceStatus"

// Status implements cloud.Statuses.
func (c *Client) Status(ctx context.Context, id string) (cloud.Status, error) {
	if err := checkID(statusAction, id); err != nil {
		return cloud.Status{}, err
	}
	return c.statuses.get(ctx, id)
}

// statusOfAll asks for at most batchSize instances, which is also what a call
// can name. It has no filter by ID, so one that is not known fails all of them.
func (c *Client) statusOfAll(ctx context.Context, ids []string) map[string]answer[cloud.Status] {
	found := map[string]cloud.Status{}
	asked := together(ids, func(ids []string) error {
		out, err := c.ec2.DescribeInstanceStatus(ctx, &ec2.DescribeInstanceStatusInput{InstanceIds: ids})
		if err != nil {
			return sorted(statusAction, err, ids...)
		}
		for _, status := range out.InstanceStatuses {
			found[aws.ToString(status.InstanceId)] = statusOf(status)
		}
		return nil
	})
	answers := map[string]answer[cloud.Status]{}
	for id, a := range asked {
		answers[id] = answer[cloud.Status]{value: found[id], err: a.err}
	}
	return answers
}

// over begins the descriptions of events that are over: EC2 shows them for a week.
func over(description string) bool {
	return strings.HasPrefix(description, "[Completed]") || strings.HasPrefix(description, "[Canceled]")
}

func statusOf(s types.InstanceStatus) cloud.Status {
	out := cloud.Status{SystemImpaired: impaired(s.SystemStatus), InstanceImpaired: impaired(s.InstanceStatus)}
	for _, e := range s.Events {
		if over(aws.ToString(e.Description)) {
			continue
		}
		out.Events = append(out.Events, cloud.ScheduledEvent{
			Code: string(e.Code), Description: aws.ToString(e.Description), NotBefore: aws.ToTime(e.NotBefore), NotAfter: aws.ToTime(e.NotAfter),
		})
	}
	return out
}

func impaired(s *types.InstanceStatusSummary) bool {
	return s != nil && s.Status == types.SummaryStatusImpaired
}
