package aws

import (
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/internal/cloud"
)

func instanceOf(i types.Instance) cloud.Instance {
	out := cloud.Instance{
		ID:           aws.ToString(i.InstanceId),
		InstanceType: string(i.InstanceType),
		ImageID:      aws.ToString(i.ImageId),
		SubnetID:     aws.ToString(i.SubnetId),
		Market:       cloud.OnDemand,
		LaunchTime:   aws.ToTime(i.LaunchTime),
		ClientToken:  aws.ToString(i.ClientToken),
		Tags:         tagsOf(i.Tags),
	}
	if i.State != nil {
		out.State = cloud.State(i.State.Name)
	}
	if i.StateReason != nil {
		out.StateReason = aws.ToString(i.StateReason.Code)
	}
	if i.Placement != nil {
		out.Zone = aws.ToString(i.Placement.AvailabilityZone)
	}
	if i.InstanceLifecycle == types.InstanceLifecycleTypeSpot {
		out.Market = cloud.Spot
	}
	out.PrivateIP, out.PodIP = addressesOf(i)
	out.PublicIP = address(i.PublicIpAddress)
	return out
}

// addressesOf gives the primary interface's primary address and the first of
// its others.
func addressesOf(i types.Instance) (primary, secondary netip.Addr) {
	primary = address(i.PrivateIpAddress)
	for _, n := range i.NetworkInterfaces {
		if n.Attachment != nil && aws.ToInt32(n.Attachment.DeviceIndex) != 0 {
			continue
		}
		for _, a := range n.PrivateIpAddresses {
			switch ip := address(a.PrivateIpAddress); {
			case aws.ToBool(a.Primary):
				primary = ip
			case !secondary.IsValid():
				secondary = ip
			}
		}
	}
	return primary, secondary
}

// address is the invalid address where there is none.
func address(s *string) netip.Addr {
	ip, err := netip.ParseAddr(aws.ToString(s))
	if err != nil {
		return netip.Addr{}
	}
	return ip
}
