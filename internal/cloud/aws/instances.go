package aws

import (
	"cmp"
	"context"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/internal/cloud"
)

// instanceID is the form of an instance's ID. What has another form is not
// sent: in a filter it might be a pattern, in a batch it would fail all.
var instanceID = regexp.MustCompile(`^i-[0-9a-f]+$`)

// Launch implements cloud.Instances. The answer of RunInstances has all that
// is asked for, both addresses included.
func (c *Client) Launch(ctx context.Context, req cloud.LaunchRequest) (cloud.Instance, error) {
	out, err := c.ec2.RunInstances(ctx, runInput(req))
	if err != nil {
		return cloud.Instance{}, sorted(launchAction, err, launchSubjects(req)...)
	}
	if len(out.Instances) != 1 {
		return cloud.Instance{}, &cloud.Error{Kind: cloud.KindTransient, Action: "ec2:RunInstances", Message: "the answer does not hold one instance"}
	}
	return instanceOf(out.Instances[0]), nil
}

// launchSubjects are what a refused launch may be about. Groups come first: a
// group of another VPC is named together with the subnet.
func launchSubjects(req cloud.LaunchRequest) []string {
	return append(slices.Clone(req.SecurityGroups), req.ImageID, req.SubnetID, req.InstanceType, req.InstanceProfile)
}

// runInput must be a function of req: the same ClientToken with another request
// is refused.
func runInput(req cloud.LaunchRequest) *ec2.RunInstancesInput {
	return &ec2.RunInstancesInput{
		ClientToken:                       aws.String(req.ClientToken),
		MinCount:                          aws.Int32(1),
		MaxCount:                          aws.Int32(1),
		ImageId:                           aws.String(req.ImageID),
		InstanceType:                      types.InstanceType(req.InstanceType),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorTerminate,
		UserData:                          userData(req.UserData),
		NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{{
			DeviceIndex:                    aws.Int32(0),
			SubnetId:                       aws.String(req.SubnetID),
			Groups:                         req.SecurityGroups,
			SecondaryPrivateIpAddressCount: aws.Int32(1),
			AssociatePublicIpAddress:       req.AssociatePublicIP,
			DeleteOnTermination:            aws.Bool(true),
		}},
		BlockDeviceMappings:   rootVolume(req),
		InstanceMarketOptions: market(req.Market, req.SpotMaxPrice),
		CreditSpecification:   credits(req.CPUCredits),
		IamInstanceProfile:    profile(req.InstanceProfile),
		Placement:             placement(req.Tenancy),
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpEndpoint:            types.InstanceMetadataEndpointStateEnabled,
			HttpTokens:              types.HttpTokensStateRequired,
			HttpPutResponseHopLimit: aws.Int32(hopLimit(req)),
		},
		TagSpecifications: tagSpecifications(req.Tags),
	}
}

// hopLimit lets the pod, which is one hop further away than the cell itself,
// reach the metadata only where that is asked for.
func hopLimit(req cloud.LaunchRequest) int32 {
	if req.PodMetadata {
		return 2
	}
	return 1
}

func market(m cloud.Market, maxPrice string) *types.InstanceMarketOptionsRequest {
	if m != cloud.Spot {
		return nil
	}
	spot := &types.SpotMarketOptions{
		SpotInstanceType:             types.SpotInstanceTypeOneTime,
		InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate,
	}
	if maxPrice != "" {
		spot.MaxPrice = aws.String(maxPrice)
	}
	return &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: spot}
}

func credits(mode string) *types.CreditSpecificationRequest {
	if mode == "" {
		return nil
	}
	return &types.CreditSpecificationRequest{CpuCredits: aws.String(mode)}
}

func profile(nameOrARN string) *types.IamInstanceProfileSpecification {
	switch {
	case nameOrARN == "":
		return nil
	case strings.HasPrefix(nameOrARN, "arn:"):
		return &types.IamInstanceProfileSpecification{Arn: aws.String(nameOrARN)}
	}
	return &types.IamInstanceProfileSpecification{Name: aws.String(nameOrARN)}
}

func placement(tenancy string) *types.Placement {
	if tenancy == "" {
		return nil
	}
	return &types.Placement{Tenancy: types.Tenancy(tenancy)}
}

func userData(raw []byte) *string {
	if len(raw) == 0 {
		return nil
	}
	return aws.String(base64.StdEncoding.EncodeToString(raw))
}

// rootVolume leaves the size to the image where none is asked for.
func rootVolume(req cloud.LaunchRequest) []types.BlockDeviceMapping {
	if req.RootDevice == "" {
		return nil
	}
	asked := req.Volume
	volume := &types.EbsBlockDevice{
		VolumeType:          types.VolumeType(cmp.Or(asked.Type, string(types.VolumeTypeGp3))),
		VolumeSize:          given(asked.GiB),
		Iops:                given(asked.IOPS),
		Throughput:          given(asked.Throughput),
		Encrypted:           asked.Encrypted,
		DeleteOnTermination: aws.Bool(true),
	}
	if asked.KMSKeyID != "" {
		volume.KmsKeyId = aws.String(asked.KMSKeyID)
	}
	return []types.BlockDeviceMapping{{DeviceName: aws.String(req.RootDevice), Ebs: volume}}
}

func given(n int32) *int32 {
	if n == 0 {
		return nil
	}
	return &n
}

// Instance implements cloud.Instances.
func (c *Client) Instance(ctx context.Context, id string) (cloud.Instance, error) {
	if err := checkID("DescribeInstances", id); err != nil {
		return cloud.Instance{}, err
	}
	return c.describes.get(ctx, id)
}

func checkID(action, id string) error {
	if instanceID.MatchString(id) {
		return nil
	}
	return &cloud.Error{Kind: cloud.KindInvalid, Code: "InvalidInstanceID.Malformed", Action: "ec2:" + action,
		Message: "an instance's ID has the form i-0123456789abcdef0", Subject: id}
}

// describeByID asks by a filter: an ID that is not known then fails nobody else.
func (c *Client) describeByID(ctx context.Context, ids []string) map[string]answer[cloud.Instance] {
	found, err := c.describe(ctx, types.Filter{Name: aws.String("instance-id"), Values: ids})
	answers := map[string]answer[cloud.Instance]{}
	for _, id := range ids {
		answers[id] = answer[cloud.Instance]{err: err}
		if err == nil {
			answers[id] = answer[cloud.Instance]{err: cloud.NotFound("ec2:DescribeInstances", id)}
		}
	}
	for _, instance := range found {
		answers[instance.ID] = answer[cloud.Instance]{value: instance}
	}
	return answers
}

// describe gives all instances that pass the filters; none with an error.
func (c *Client) describe(ctx context.Context, filters ...types.Filter) ([]cloud.Instance, error) {
	var found []cloud.Instance
	pages := ec2.NewDescribeInstancesPaginator(c.ec2, &ec2.DescribeInstancesInput{Filters: filters, MaxResults: aws.Int32(c.pageSize)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeInstances", err)
		}
		for _, reservation := range page.Reservations {
			for _, instance := range reservation.Instances {
				found = append(found, instanceOf(instance))
			}
		}
	}
	return found, nil
}

// FindByToken implements cloud.Instances.
func (c *Client) FindByToken(ctx context.Context, token string) (cloud.Instance, error) {
	found, err := c.describe(ctx, exactly("client-token", token))
	if err != nil {
		return cloud.Instance{}, err
	}
	if len(found) == 0 {
		return cloud.Instance{}, &cloud.Error{Kind: cloud.KindNotFound, Action: "ec2:DescribeInstances", Subject: token,
			Message: "no instance was launched with the client token " + token}
	}
	return found[0], nil
}

// FindByTags implements cloud.Instances. Without tags it is refused: it would
// give every instance of the account.
func (c *Client) FindByTags(ctx context.Context, tags map[string]string) ([]cloud.Instance, error) {
	if len(tags) == 0 {
		return nil, &cloud.Error{Kind: cloud.KindInvalid, Action: "ec2:DescribeInstances", Message: "no tags to find instances by"}
	}
	return c.describe(ctx, tagFilters(tags)...)
}
