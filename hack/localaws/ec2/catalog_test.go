package ec2_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// ignoreDocuments leaves out what the SDK keeps beside the fields.
var ignoreDocuments = cmpopts.IgnoreUnexported(
	types.Instance{}, types.InstanceState{}, types.Placement{}, types.Tag{}, types.GroupIdentifier{}, types.InstanceBlockDeviceMapping{}, types.EbsInstanceBlockDevice{},
	types.InstanceNetworkInterface{}, types.InstanceNetworkInterfaceAttachment{}, types.InstanceNetworkInterfaceAssociation{}, types.InstancePrivateIpAddress{},
	types.IamInstanceProfile{}, types.CpuOptions{}, types.InstanceMetadataOptionsResponse{}, types.Monitoring{}, types.StateReason{},
)

const signed = "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=00"

func post(t *testing.T, url, authorization, form string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestDescribeImages(t *testing.T) {
	c := newCloud(t)
	tests := []struct {
		name string
		in   sdk.DescribeImagesInput
		want []string
		code string
	}{
		{"own", sdk.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{filter("architecture", "arm64"), filter("name", "kip-cell-debian-*")}}, []string{"ami-0c0ffee0000000005", "ami-0c0ffee0000000006"}, ""},
		{"by account id", sdk.DescribeImagesInput{Owners: []string{"123456789012"}, Filters: []types.Filter{filter("state", "pending")}}, []string{"ami-0c0ffee0000000004"}, ""},
		{"by alias and name", sdk.DescribeImagesInput{Owners: []string{"amazon"}, Filters: []types.Filter{filter("name", "kip-cell-*-x86_64")}}, []string{"ami-0a11ce00000000001", "ami-0a11ce00000000002"}, ""},
		{"by tag", sdk.DescribeImagesInput{Filters: []types.Filter{filter("tag:elotl.co/image", "kip-cell"), filter("architecture", "arm64"), filter("root-device-type", "ebs"), filter("virtualization-type", "hvm")}}, []string{"ami-0c0ffee0000000005", "ami-0c0ffee0000000006"}, ""},
		{"by id", sdk.DescribeImagesInput{ImageIds: []string{x86Image}}, []string{x86Image}, ""},
		{"executable by all", sdk.DescribeImagesInput{ExecutableUsers: []string{"all"}, Filters: []types.Filter{filter("architecture", "arm64")}}, []string{"ami-000b0410000000002", "ami-0a11ce00000000003", "ami-0deb1a00000000003"}, ""},
		{"nothing", sdk.DescribeImagesInput{Owners: []string{"999999999999"}}, nil, ""},
		{"unknown", sdk.DescribeImagesInput{ImageIds: []string{"ami-12345678"}}, nil, "InvalidAMIID.NotFound"},
		{"malformed", sdk.DescribeImagesInput{ImageIds: []string{"debian"}}, nil, "InvalidAMIID.Malformed"},
		{"unknown filter", sdk.DescribeImagesInput{Filters: []types.Filter{filter("colour", "red")}}, nil, "InvalidParameterValue"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := c.DescribeImages(t.Context(), &tt.in)
			wantCode(t, err, tt.code)
			if err != nil {
				return
			}
			var got []string
			for _, i := range out.Images {
				got = append(got, *i.ImageId)
				if i.CreationDate == nil || !strings.HasPrefix(*i.CreationDate, "2026-") || i.RootDeviceName == nil || *i.BlockDeviceMappings[0].Ebs.VolumeSize < 1 {
					t.Errorf("image %+v", i)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDescribeNetwork(t *testing.T) {
	c := newCloud(t)
	vpcs, err := c.DescribeVpcs(t.Context(), &sdk.DescribeVpcsInput{Filters: []types.Filter{filter("is-default", "true")}})
	if err != nil || len(vpcs.Vpcs) != 1 || *vpcs.Vpcs[0].CidrBlock != "10.9.0.0/24" {
		t.Fatalf("VPCs %+v, %v", vpcs, err)
	}
	subnets, err := c.DescribeSubnets(t.Context(), &sdk.DescribeSubnetsInput{Filters: []types.Filter{filter("vpc-id", *vpcs.Vpcs[0].VpcId)}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range subnets.Subnets {
		got = append(got, *s.AvailabilityZone+" "+*s.CidrBlock)
		if *s.AvailableIpAddressCount != 59 {
			t.Errorf("%d free in %s", *s.AvailableIpAddressCount, *s.SubnetId)
		}
	}
	if diff := cmp.Diff([]string{"us-east-1a 10.9.0.0/26", "us-east-1b 10.9.0.64/26", "us-east-1c 10.9.0.128/26"}, got); diff != "" {
		t.Errorf("subnets (-want +got):\n%s", diff)
	}
	groups, err := c.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{GroupNames: []string{"default"}})
	if err != nil || len(groups.SecurityGroups) != 1 || len(groups.SecurityGroups[0].IpPermissionsEgress[0].IpRanges) != 1 {
		t.Errorf("groups %+v, %v", groups, err)
	}
	zones, err := c.DescribeAvailabilityZones(t.Context(), &sdk.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-east-1b"}})
	if err != nil || *zones.AvailabilityZones[0].ZoneId != "use1-az2" || zones.AvailabilityZones[0].State != types.AvailabilityZoneStateAvailable {
		t.Errorf("zones %+v, %v", zones, err)
	}

	_, err = c.DescribeSubnets(t.Context(), &sdk.DescribeSubnetsInput{SubnetIds: []string{"subnet-1", "subnet-2"}})
	wantCode(t, err, "InvalidSubnetID.NotFound")
	_, err = c.DescribeVpcs(t.Context(), &sdk.DescribeVpcsInput{VpcIds: []string{"vpc-1"}})
	wantCode(t, err, "InvalidVpcID.NotFound")
	_, err = c.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{GroupIds: []string{"sg-1"}})
	wantCode(t, err, "InvalidGroup.NotFound")
	_, err = c.DescribeSecurityGroups(t.Context(), &sdk.DescribeSecurityGroupsInput{GroupNames: []string{"nobody"}})
	wantCode(t, err, "InvalidGroup.NotFound")
	_, err = c.DescribeAvailabilityZones(t.Context(), &sdk.DescribeAvailabilityZonesInput{ZoneIds: []string{"use1-az9"}})
	wantCode(t, err, "InvalidParameterValue")
	_, err = c.DescribeNetworkInterfaces(t.Context(), &sdk.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{"eni-1"}})
	wantCode(t, err, "InvalidNetworkInterfaceID.NotFound")
}

func TestDescribeInstanceTypes(t *testing.T) {
	c := newCloud(t)
	var names []string
	pages := sdk.NewDescribeInstanceTypesPaginator(c, &sdk.DescribeInstanceTypesInput{})
	for n := 0; pages.HasMorePages(); n++ {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 && (len(out.InstanceTypes) != 100 || out.NextToken == nil) {
			t.Errorf("the first page has %d types", len(out.InstanceTypes))
		}
		for _, i := range out.InstanceTypes {
			names = append(names, string(i.InstanceType))
		}
	}
	if len(names) != len(c.world.Catalog.Types) || !slices.IsSorted(names) {
		t.Errorf("%d types over pages", len(names))
	}
	out, err := c.DescribeInstanceTypes(t.Context(), &sdk.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"g4dn.12xlarge"}})
	if err != nil {
		t.Fatal(err)
	}
	g := out.InstanceTypes[0]
	if *g.VCpuInfo.DefaultVCpus != 48 || *g.MemoryInfo.SizeInMiB != 196608 || *g.GpuInfo.Gpus[0].Count != 4 || *g.GpuInfo.Gpus[0].Manufacturer != "NVIDIA" ||
		*g.InstanceStorageInfo.TotalSizeInGB != 900 || *g.NetworkInfo.Ipv4AddressesPerInterface != 30 || g.ProcessorInfo.SupportedArchitectures[0] != types.ArchitectureTypeX8664 {
		t.Errorf("g4dn.12xlarge: %+v", g)
	}
	out, err = c.DescribeInstanceTypes(t.Context(), &sdk.DescribeInstanceTypesInput{Filters: []types.Filter{
		filter("processor-info.supported-architecture", "arm64"), filter("burstable-performance-supported", "true"), filter("supported-usage-class", "spot")}})
	if err != nil || len(out.InstanceTypes) != 7 || !*out.InstanceTypes[0].BurstablePerformanceSupported {
		t.Errorf("burstable arm64 types: %+v, %v", out, err)
	}
	_, err = c.DescribeInstanceTypes(t.Context(), &sdk.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"t9.huge"}})
	wantCode(t, err, "InvalidInstanceType")
	_, err = c.DescribeInstanceTypes(t.Context(), &sdk.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"t3.nano"}, MaxResults: aws.Int32(5)})
	wantCode(t, err, "InvalidParameterCombination")
	_, err = c.DescribeInstanceTypes(t.Context(), &sdk.DescribeInstanceTypesInput{Filters: []types.Filter{filter("tag:x", "y")}})
	wantCode(t, err, "InvalidParameterValue")
}

func TestDescribeInstanceTypeOfferings(t *testing.T) {
	c := newCloud(t)
	offered := map[string][]string{}
	pages := sdk.NewDescribeInstanceTypeOfferingsPaginator(c, &sdk.DescribeInstanceTypeOfferingsInput{LocationType: types.LocationTypeAvailabilityZone, MaxResults: aws.Int32(50)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out.InstanceTypeOfferings {
			offered[string(o.InstanceType)] = append(offered[string(o.InstanceType)], *o.Location)
		}
	}
	if len(offered) != len(c.world.Catalog.Types) {
		t.Errorf("%d types offered", len(offered))
	}
	if diff := cmp.Diff([]string{"us-east-1a", "us-east-1b"}, offered["inf2.xlarge"]); diff != "" {
		t.Errorf("zones of inf2.xlarge (-want +got):\n%s", diff)
	}
	out, err := c.DescribeInstanceTypeOfferings(t.Context(), &sdk.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZoneId, Filters: []types.Filter{filter("location", "use1-az3"), filter("instance-type", "t3.nano")}})
	if err != nil || len(out.InstanceTypeOfferings) != 1 {
		t.Errorf("offerings by zone id: %+v, %v", out, err)
	}
	out, err = c.DescribeInstanceTypeOfferings(t.Context(), &sdk.DescribeInstanceTypeOfferingsInput{Filters: []types.Filter{filter("instance-type", "t3.nano")}})
	if err != nil || len(out.InstanceTypeOfferings) != 1 || *out.InstanceTypeOfferings[0].Location != "us-east-1" {
		t.Errorf("offerings of the region: %+v, %v", out, err)
	}
}
