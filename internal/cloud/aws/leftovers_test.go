package aws

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/internal/cloud"
)

// remains launches an instance that leaves volume and interface behind, ends
// it, and gives their IDs.
func (e *emulator) remains(t *testing.T, token string) map[cloud.LeftoverKind]string {
	t.Helper()
	in := runInput(request(token))
	in.NetworkInterfaces[0].DeleteOnTermination = aws.Bool(false)
	in.BlockDeviceMappings[0].Ebs.DeleteOnTermination = aws.Bool(false)
	out, err := e.ec2.RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := aws.ToString(out.Instances[0].InstanceId)
	shown, err := e.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	is := shown.Reservations[0].Instances[0]
	if err := e.Terminate(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	e.waitFor(t, id, cloud.StateTerminated)
	return map[cloud.LeftoverKind]string{
		cloud.LeftoverVolume: *is.BlockDeviceMappings[0].Ebs.VolumeId, cloud.LeftoverInterface: *is.NetworkInterfaces[0].NetworkInterfaceId,
	}
}

func TestLeftovers(t *testing.T) {
	e := newEmulator(t)
	e.pageSize = 5
	ours := map[string]string{"kip.elotl.co/cluster": "c1"}
	e.launch(t, "alive") // what it has is in use
	made, err := e.ec2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("left"), Description: aws.String("left"),
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: tagList(ours)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	left := e.remains(t, "dead")
	left[cloud.LeftoverGroup] = *made.GroupId
	for _, kind := range cloud.LeftoverKinds() {
		list := func(tags map[string]string) []cloud.Leftover {
			t.Helper()
			found, err := e.Leftovers(t.Context(), kind, tags)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			return found
		}
		found := list(ours)
		if len(found) != 1 || found[0].ID != left[kind] || found[0].Tags["kip.elotl.co/cluster"] != "c1" || found[0].Created.IsZero() != (kind != cloud.LeftoverVolume) {
			t.Errorf("%s: %+v, want %s", kind, found, left[kind])
		}
		if others := list(map[string]string{"kip.elotl.co/cluster": "c*"}); len(others) > 0 {
			t.Errorf("%s: a pattern finds %v", kind, others)
		}
		for range 2 { // the second time it is gone already
			if err := e.DeleteLeftover(t.Context(), kind, left[kind]); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if found := list(ours); len(found) > 0 {
			t.Errorf("%s: %v after its deletion", kind, found)
		}
		_, err := e.Leftovers(t.Context(), kind, nil)
		wantKind(t, err, cloud.KindInvalid)
	}
	if err := e.DeleteLeftover(t.Context(), cloud.LeftoverGroup, e.world.Catalog.Groups[0].ID); err == nil {
		t.Error("the VPC's default group can be deleted")
	}
	_, err = e.Leftovers(t.Context(), "balloon", ours)
	wantKind(t, err, cloud.KindInvalid, "balloon")
	wantKind(t, e.DeleteLeftover(t.Context(), "balloon", "b-1"), cloud.KindInvalid, "balloon")
}

func TestRoutesTo(t *testing.T) {
	e := newEmulator(t)
	mine, other, none := e.launch(t, "mine").ID, e.launch(t, "other").ID, e.launch(t, "none").ID
	want := []cloud.Route{
		{TableID: mainTable, CIDR: netip.MustParsePrefix("10.200.0.0/16"), InstanceID: mine},
		{TableID: ownTable, CIDR: netip.MustParsePrefix("fd00:1::/64"), InstanceID: mine},
	}
	for _, r := range append(want, cloud.Route{TableID: mainTable, CIDR: netip.MustParsePrefix("10.201.0.0/16"), InstanceID: other}) {
		if err := e.CreateRoute(t.Context(), r.TableID, r.CIDR, r.InstanceID); err != nil {
			t.Fatal(err)
		}
	}
	got, err := e.RoutesTo(t.Context(), []string{mine, none})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("routes %v, %v; want %v", got, err, want)
	}
	calls := len(e.calls("DescribeRouteTables"))
	if got, err := e.RoutesTo(t.Context(), nil); err != nil || len(got) > 0 || len(e.calls("DescribeRouteTables")) > calls {
		t.Errorf("to no instance: %v, %v", got, err)
	}
	_, err = e.RoutesTo(t.Context(), []string{"i-*"})
	wantKind(t, err, cloud.KindInvalid)
}
