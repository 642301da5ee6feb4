package ec2_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/hack/localaws/boot/boottest"
)

// keepAll has an instance leave its volume and its interface behind.
func keepAll(c *cloud) func(*sdk.RunInstancesInput) {
	return func(in *sdk.RunInstancesInput) {
		in.SubnetId = nil
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
			DeviceIndex: aws.Int32(0), SubnetId: aws.String(c.world.Catalog.Subnets[0].ID), DeleteOnTermination: aws.Bool(false),
		}}
		in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(false)}}}
		for _, kind := range []types.ResourceType{types.ResourceTypeVolume, types.ResourceTypeNetworkInterface} {
			in.TagSpecifications = append(in.TagSpecifications, types.TagSpecification{
				ResourceType: kind, Tags: []types.Tag{{Key: aws.String("of"), Value: aws.String("the dead")}},
			})
		}
	}
}

// TestWhatIsToStayStays after its instance, over a restart, with its tags and
// addresses, until it is deleted.
func TestWhatIsToStayStays(t *testing.T) {
	c := newCloud(t)
	id := c.run(t, keepAll(c))[0]
	is := c.inState(t, id, types.InstanceStateNameRunning)
	volume, nic := is.BlockDeviceMappings[0].Ebs.VolumeId, is.NetworkInterfaces[0].NetworkInterfaceId
	deleteVolume := func() error {
		_, err := c.DeleteVolume(t.Context(), &sdk.DeleteVolumeInput{VolumeId: volume})
		return err
	}
	deleteInterface := func() error {
		_, err := c.DeleteNetworkInterface(t.Context(), &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: nic})
		return err
	}
	wantCode(t, deleteVolume(), "VolumeInUse")
	wantCode(t, deleteInterface(), "InvalidParameterValue")
	if _, err := c.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	c.inState(t, id, types.InstanceStateNameTerminated)
	free := c.world.Free(c.world.Catalog.Subnets[0])
	c.crash()
	c = openCloud(t, c.dir, &boottest.Backend{})
	for _, resource := range []string{*volume, *nic} {
		_, err := c.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: []string{resource}, Tags: []types.Tag{{Key: aws.String("since"), Value: aws.String("then")}}})
		wantCode(t, err, "")
	}
	loose := []types.Filter{filter("status", "available"), filter("tag:of", "the dead"), filter("tag:since", "then")}
	volumes, err := c.DescribeVolumes(t.Context(), &sdk.DescribeVolumesInput{Filters: loose})
	if err != nil || len(volumes.Volumes) != 1 || *volumes.Volumes[0].VolumeId != *volume || len(volumes.Volumes[0].Attachments) > 0 {
		t.Errorf("volumes %+v, %v", volumes, err)
	}
	nics, err := c.DescribeNetworkInterfaces(t.Context(), &sdk.DescribeNetworkInterfacesInput{Filters: loose})
	if err != nil || len(nics.NetworkInterfaces) != 1 || nics.NetworkInterfaces[0].Attachment != nil || *nics.NetworkInterfaces[0].PrivateIpAddress != *is.PrivateIpAddress {
		t.Errorf("interfaces %+v, %v", nics, err)
	}
	wantCode(t, deleteInterface(), "")
	wantCode(t, deleteInterface(), "InvalidNetworkInterfaceID.NotFound")
	wantCode(t, deleteVolume(), "")
	wantCode(t, deleteVolume(), "InvalidVolume.NotFound")
	if got := c.world.Free(c.world.Catalog.Subnets[0]); got <= free || len(c.world.Left()) > 0 {
		t.Errorf("%d addresses are free, were %d with the interface; left %v", got, free, c.world.Left())
	}
}
