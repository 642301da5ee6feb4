package ec2_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

func root(ebs types.EbsBlockDevice) func(*sdk.RunInstancesInput) {
	return func(in *sdk.RunInstancesInput) {
		in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &ebs}}
	}
}

func TestVolumesAsAsked(t *testing.T) {
	c := newCloud(t)
	for name, test := range map[string]struct {
		ebs              types.EbsBlockDevice
		iops, throughput int32
		key              string
	}{
		"gp3 unasked": {types.EbsBlockDevice{}, 3000, 125, ""},
		"gp3 asked":   {types.EbsBlockDevice{VolumeSize: aws.Int32(40), Iops: aws.Int32(8000), Throughput: aws.Int32(2000)}, 8000, 2000, ""},
		"gp2":         {types.EbsBlockDevice{VolumeType: types.VolumeTypeGp2}, 0, 0, ""},
		"io2":         {types.EbsBlockDevice{VolumeType: types.VolumeTypeIo2, Iops: aws.Int32(4000)}, 4000, 0, ""},
		"encrypted":   {types.EbsBlockDevice{Encrypted: aws.Bool(true)}, 3000, 125, "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-0000c0ffee50"},
		"by alias":    {types.EbsBlockDevice{Encrypted: aws.Bool(true), KmsKeyId: aws.String("alias/cells")}, 3000, 125, "arn:aws:kms:us-east-1:123456789012:alias/cells"},
		"by id":       {types.EbsBlockDevice{Encrypted: aws.Bool(true), KmsKeyId: aws.String("k")}, 3000, 125, "arn:aws:kms:us-east-1:123456789012:key/k"},
		"by ARN":      {types.EbsBlockDevice{Encrypted: aws.Bool(true), KmsKeyId: aws.String("arn:aws:kms:us-east-1:210987654321:key/k")}, 3000, 125, "arn:aws:kms:us-east-1:210987654321:key/k"},
	} {
		t.Run(name, func(t *testing.T) {
			id := c.run(t, root(test.ebs))[0]
			out, err := c.DescribeVolumes(t.Context(), &sdk.DescribeVolumesInput{Filters: []types.Filter{filter("attachment.instance-id", id)}})
			if err != nil {
				t.Fatal(err)
			}
			v := out.Volumes[0]
			if aws.ToInt32(v.Iops) != test.iops || aws.ToInt32(v.Throughput) != test.throughput || aws.ToString(v.KmsKeyId) != test.key || *v.Encrypted != (test.key != "") {
				t.Errorf("%d IOPS, %d MiB/s, key %q", aws.ToInt32(v.Iops), aws.ToInt32(v.Throughput), aws.ToString(v.KmsKeyId))
			}
		})
	}
}

func TestVolumesThatCannotBe(t *testing.T) {
	c := newCloud(t)
	for name, test := range map[string]struct {
		ebs  types.EbsBlockDevice
		code string
	}{
		"too few IOPS":            {types.EbsBlockDevice{Iops: aws.Int32(2999)}, "InvalidParameterValue"},
		"too many IOPS":           {types.EbsBlockDevice{VolumeSize: aws.Int32(1000), Iops: aws.Int32(80001)}, "InvalidParameterValue"},
		"IOPS for the size":       {types.EbsBlockDevice{VolumeSize: aws.Int32(20), Iops: aws.Int32(15000)}, "InvalidParameterValue"},
		"throughput for the IOPS": {types.EbsBlockDevice{Throughput: aws.Int32(1000)}, "InvalidParameterValue"},
		"throughput":              {types.EbsBlockDevice{VolumeSize: aws.Int32(100), Iops: aws.Int32(20000), Throughput: aws.Int32(2001)}, "InvalidParameterValue"},
		"throughput of io2":       {types.EbsBlockDevice{VolumeType: types.VolumeTypeIo2, Iops: aws.Int32(200), Throughput: aws.Int32(125)}, "InvalidParameterCombination"},
		"IOPS of gp2":             {types.EbsBlockDevice{VolumeType: types.VolumeTypeGp2, Iops: aws.Int32(3000)}, "InvalidParameterCombination"},
		"io1 without IOPS":        {types.EbsBlockDevice{VolumeType: types.VolumeTypeIo1}, "MissingParameter"},
		"a key for nothing":       {types.EbsBlockDevice{KmsKeyId: aws.String("alias/cells")}, "InvalidParameterDependency"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.RunInstances(t.Context(), launch(root(test.ebs)))
			wantCode(t, err, test.code)
		})
	}
}

func TestCreditsOfInstances(t *testing.T) {
	c := newCloud(t)
	of := func(instanceType types.InstanceType, credits string) string {
		return c.run(t, func(in *sdk.RunInstancesInput) {
			in.InstanceType = instanceType
			if credits != "" {
				in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String(credits)}
			}
		})[0]
	}
	t3, standard, t2, without := of("t3.nano", ""), of("t3.nano", "standard"), of("t2.micro", ""), of("m5.large", "")
	ask := func(ids ...string) (map[string]string, error) {
		out, err := c.DescribeInstanceCreditSpecifications(t.Context(), &sdk.DescribeInstanceCreditSpecificationsInput{InstanceIds: ids})
		got := map[string]string{}
		if err == nil {
			for _, i := range out.InstanceCreditSpecifications {
				got[*i.InstanceId] = *i.CpuCredits
			}
		}
		return got, err
	}
	got, err := ask(t3, standard, t2)
	wantCode(t, err, "")
	if diff := cmp.Diff(map[string]string{t3: "unlimited", standard: "standard", t2: "standard"}, got); diff != "" {
		t.Errorf("credits (-want +got):\n%s", diff)
	}
	if got, err = ask(); err != nil || len(got) != 1 || got[t3] == "" {
		t.Errorf("of nobody in particular: %v, %v", got, err)
	}
	_, err = ask(without)
	wantCode(t, err, "InvalidParameterValue")
	_, err = ask("i-00000000")
	wantCode(t, err, "InvalidInstanceID.NotFound")
}

func TestProfilesAndTenancy(t *testing.T) {
	c := newCloud(t)
	const account = "arn:aws:iam::123456789012:instance-profile/"
	for name, role := range map[string]string{"below": "web", "empty": ""} {
		if _, err := c.world.IAM.CreateProfile(name, "/some/path/"); err != nil {
			t.Fatal(err)
		}
		if role != "" {
			if err := c.world.IAM.AddRole(name, role); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct{ name, arn, want, code string }{
		{"web", "", account + "web", ""}, {"", account + "web", account + "web", ""}, {"", account + "some/path/below", account + "some/path/below", ""},
		{"", account + "some/path/web", "", "InvalidParameterValue"}, {"", account + "below", "", "InvalidParameterValue"}, {"empty", "", "", "InvalidParameterValue"},
		{"nobodys", "", "", "InvalidParameterValue"}, {"", account + "nobodys", "", "InvalidParameterValue"},
		{"", "arn:aws:iam::210987654321:instance-profile/web", "", "InvalidParameterValue"},
	} {
		out, err := c.RunInstances(t.Context(), launch(func(in *sdk.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{}
			if test.name != "" {
				in.IamInstanceProfile.Name = aws.String(test.name)
			} else {
				in.IamInstanceProfile.Arn = aws.String(test.arn)
			}
			in.Placement = &types.Placement{Tenancy: types.TenancyDedicated}
		}))
		wantCode(t, err, test.code)
		if err != nil {
			continue
		}
		if i := c.one(t, *out.Instances[0].InstanceId); *i.IamInstanceProfile.Arn != test.want || i.Placement.Tenancy != types.TenancyDedicated {
			t.Errorf("profile %s, tenancy %s", *i.IamInstanceProfile.Arn, i.Placement.Tenancy)
		}
	}
}
