package aws

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/cloud"
)

// Each wish is seen in the world behind EC2.
func TestLaunchAsWished(t *testing.T) {
	e := newEmulator(t)
	encrypted := true
	wished := request("wished")
	wished.Market, wished.Tenancy = cloud.Spot, "dedicated"
	wished.InstanceType, wished.CPUCredits = "t3.nano", "unlimited"
	wished.InstanceProfile, wished.PodMetadata = "web", true
	wished.Volume = cloud.Volume{GiB: 20, Type: "gp3", IOPS: 4000, Throughput: 250, Encrypted: &encrypted}
	got, err := e.Launch(t.Context(), wished)
	if err != nil {
		t.Fatal(err)
	}
	made, _ := e.world.Instance(got.ID)
	if got.Market != cloud.Spot || made.Market != "spot" || made.SpotRequestID == "" || made.MaxPrice != "" {
		t.Errorf("bought %s, %+v", got.Market, made)
	}
	if made.CPUCredits != "unlimited" || made.Tenancy != "dedicated" || made.Metadata.HopLimit != 2 {
		t.Errorf("credits %q, tenancy %q, hop limit %d", made.CPUCredits, made.Tenancy, made.Metadata.HopLimit)
	}
	if v := made.Volumes[0]; v.SizeGiB != 20 || v.Type != "gp3" || v.IOPS != 4000 || v.Throughput != 250 || !v.Encrypted || !v.DeleteOnTermination {
		t.Errorf("volume %+v", v)
	}
	wished.Volume.KMSKeyID = "alias/cells"
	if key := runInput(wished).BlockDeviceMappings[0].Ebs.KmsKeyId; key == nil || *key != "alias/cells" {
		t.Errorf("key %v", key)
	}
	wished.Volume.KMSKeyID = ""
	for profile, field := range map[string]string{"web": "Name", "arn:aws:iam::123456789012:instance-profile/web": "Arn"} {
		wished.ClientToken, wished.InstanceProfile = "with-"+field, profile
		if _, err := e.Launch(t.Context(), wished); err != nil {
			t.Errorf("%s: %v", profile, err)
		}
		calls := e.calls("RunInstances")
		if got := calls[len(calls)-1].Params["IamInstanceProfile."+field]; got != profile {
			t.Errorf("%s: asked for %q", profile, got)
		}
	}
}

func TestLaunchFromADryMarket(t *testing.T) {
	e := newEmulator(t)
	e.plan(t, faults.Plan{Capacity: []faults.Dry{{InstanceType: "t3.nano", Market: "spot"}}})
	spot := request("spot")
	spot.Market = cloud.Spot
	_, err := e.Launch(t.Context(), spot)
	wantKind(t, err, cloud.KindCapacity, "InsufficientInstanceCapacity")
	e.launch(t, "on-demand")
	e.plan(t, faults.Plan{VCPULimits: map[string]int{"spot": 1}})
	spot.ClientToken = "again"
	_, err = e.Launch(t.Context(), spot)
	wantKind(t, err, cloud.KindQuota, "MaxSpotInstanceCountExceeded")
}

// TestSpotPriceLimit: a launch that would cost more than the request allows is
// told from a dry market.
func TestSpotPriceLimit(t *testing.T) {
	e := newEmulator(t)
	spot := request("spot")
	spot.Market, spot.SpotMaxPrice = cloud.Spot, "0.0011"
	_, err := e.Launch(t.Context(), spot)
	wantKind(t, err, cloud.KindPrice, "SpotMaxPriceTooLow", "0.0011")
	spot.ClientToken, spot.SpotMaxPrice = "again", "0.0052"
	got, err := e.Launch(t.Context(), spot)
	if err != nil {
		t.Fatal(err)
	}
	if made, _ := e.world.Instance(got.ID); made.MaxPrice != spot.SpotMaxPrice {
		t.Errorf("the limit is %q", made.MaxPrice)
	}
}

// What only some pool lacks is told from what every cell needs.
func TestQuotasAndLimits(t *testing.T) {
	for code, want := range map[string]cloud.Kind{
		"VcpuLimitExceeded": cloud.KindQuota, "MaxSpotInstanceCountExceeded": cloud.KindQuota, "InstanceLimitExceeded": cloud.KindQuota,
		"NetworkInterfaceLimitExceeded": cloud.KindLimit, "VolumeLimitExceeded": cloud.KindLimit, "AddressLimitExceeded": cloud.KindLimit,
		"PendingVerification": cloud.KindLimit, "ResourceLimitExceeded": cloud.KindLimit, "RouteLimitExceeded": cloud.KindLimit,
		"InsufficientFreeAddressesInSubnet": cloud.KindSubnetFull, "SpotMaxPriceTooLow": cloud.KindPrice,
		"PrivateIpAddressLimitExceeded": cloud.KindInvalid,
	} {
		client, calls := replying(t, 400, answerOf(code, "no more"))
		_, err := client.Launch(t.Context(), request("token"))
		wantKind(t, err, want, code)
		if calls.Load() != 1 {
			t.Errorf("%s: asked %d times", code, calls.Load())
		}
	}
}

func TestLaunchNamesTheProfile(t *testing.T) {
	client, _ := replying(t, 400, answerOf("InvalidParameterValue", "Value (web) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"))
	wished := request("token")
	wished.InstanceProfile = "web"
	_, err := client.Launch(t.Context(), wished)
	wantKind(t, err, cloud.KindInvalid)
	if got := subject(err); got != "web" {
		t.Errorf("the error is about %q", got)
	}
}

// The request of a plain cell, as it goes over the wire: a launch that is
// repeated after an update of the operator has to be the same.
func TestTheRequestStaysTheSame(t *testing.T) {
	e := newEmulator(t)
	e.launch(t, "token")
	want := url.Values{
		"BlockDeviceMapping.1.DeviceName": {"/dev/xvda"}, "BlockDeviceMapping.1.Ebs.DeleteOnTermination": {"true"},
		"BlockDeviceMapping.1.Ebs.VolumeSize": {"9"}, "BlockDeviceMapping.1.Ebs.VolumeType": {"gp3"}, "ClientToken": {"token"},
		"ImageId": {x86Image}, "InstanceInitiatedShutdownBehavior": {"terminate"}, "InstanceType": {"t3.nano"}, "MaxCount": {"1"}, "MinCount": {"1"},
		"MetadataOptions.HttpEndpoint": {"enabled"}, "MetadataOptions.HttpPutResponseHopLimit": {"1"}, "MetadataOptions.HttpTokens": {"required"},
		"NetworkInterface.1.DeleteOnTermination": {"true"}, "NetworkInterface.1.DeviceIndex": {"0"},
		"NetworkInterface.1.SecondaryPrivateIpAddressCount": {"1"}, "NetworkInterface.1.SecurityGroupId.1": {group}, "NetworkInterface.1.SubnetId": {subnetA},
	}
	got := map[string]string{}
	for name, value := range e.calls("RunInstances")[0].Params {
		if want.Has(name) || !strings.HasPrefix(name, "Tag") && !strings.HasPrefix(name, "UserData") {
			got[name] = value
		}
	}
	wanted := map[string]string{}
	for name := range want {
		wanted[name] = want.Get(name)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
