package aws

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/internal/cloud"
)

func TestLaunch(t *testing.T) {
	e := newEmulator(t)
	got := e.launch(t, "token-1")
	if got.ID == "" || !got.PrivateIP.IsValid() || !got.PodIP.IsValid() || got.PrivateIP == got.PodIP || got.PublicIP.IsValid() || got.LaunchTime.IsZero() {
		t.Errorf("launched %+v", got)
	}
	want := cloud.Instance{State: cloud.StatePending, ClientToken: "token-1", InstanceType: "t3.nano", ImageID: x86Image, SubnetID: subnetA, Zone: "us-east-1a",
		Market: cloud.OnDemand, Tags: request("").Tags, StateReason: got.StateReason}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(cloud.Instance{}, "ID", "PrivateIP", "PodIP", "PublicIP", "LaunchTime")); diff != "" {
		t.Errorf("launched (-want +got):\n%s", diff)
	}
	running := e.waitFor(t, got.ID, cloud.StateRunning)
	if running.PrivateIP != got.PrivateIP || running.PodIP != got.PodIP {
		t.Errorf("running with %s and %s, launched with %s and %s", running.PrivateIP, running.PodIP, got.PrivateIP, got.PodIP)
	}
	if calls := e.calls("RunInstances"); len(calls) != 1 {
		t.Errorf("%d launch calls", len(calls))
	}
}

// What EC2 was told is seen in the world behind it.
func TestLaunchShapesTheInstance(t *testing.T) {
	e := newEmulator(t)
	got := e.launch(t, "token-1")
	made, ok := e.world.Instance(got.ID)
	if !ok {
		t.Fatal("the world does not know it")
	}
	if string(made.UserData) != "#cloud-config\n" || made.ClientToken != "token-1" || made.OnShutdown != "terminate" {
		t.Errorf("user data %q, token %q, on shutdown %q", made.UserData, made.ClientToken, made.OnShutdown)
	}
	if !made.Metadata.TokensRequired || made.Metadata.HopLimit != 1 || made.Metadata.Disabled {
		t.Errorf("metadata options %+v", made.Metadata)
	}
	out, err := e.ec2.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{})
	if err != nil || len(out.Volumes) != 1 {
		t.Fatalf("%d volumes, %v", len(out.Volumes), err)
	}
	v := out.Volumes[0]
	if *v.Size != 9 || v.VolumeType != types.VolumeTypeGp3 || !*v.Attachments[0].DeleteOnTermination || *v.Attachments[0].Device != "/dev/xvda" {
		t.Errorf("volume of %d GiB, %s, %+v", *v.Size, v.VolumeType, v.Attachments[0])
	}
	interfaces, err := e.ec2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{})
	if err != nil || len(interfaces.NetworkInterfaces) != 1 {
		t.Fatalf("%d interfaces, %v", len(interfaces.NetworkInterfaces), err)
	}
	n := interfaces.NetworkInterfaces[0]
	if *n.Groups[0].GroupId != group || n.Association != nil || !*n.Attachment.DeleteOnTermination {
		t.Errorf("interface %+v", n)
	}
	for what, tags := range map[string]map[string]string{"volume": tagsOf(v.Tags), "interface": tagsOf(n.TagSet)} {
		if diff := cmp.Diff(request("").Tags, tags); diff != "" {
			t.Errorf("tags of the %s (-want +got):\n%s", what, diff)
		}
	}
}

func TestLaunchLeavesOutWhatIsNotAskedFor(t *testing.T) {
	e := newEmulator(t)
	public := true
	for token, req := range map[string]cloud.LaunchRequest{
		"bare":   {InstanceType: "t3.nano", ImageID: x86Image, SubnetID: subnetA},
		"public": {InstanceType: "t3.nano", ImageID: x86Image, SubnetID: subnetA, AssociatePublicIP: &public, RootDevice: "/dev/xvda"},
	} {
		req.ClientToken = token
		got, err := e.Launch(t.Context(), req)
		if err != nil {
			t.Errorf("%s: %v", token, err)
			continue
		}
		made, _ := e.world.Instance(got.ID)
		if made.PublicIP.IsValid() != (token == "public") {
			t.Errorf("%s: public address %v", token, made.PublicIP)
		}
	}
	for _, call := range e.calls("RunInstances") {
		for name := range call.Params {
			if strings.HasPrefix(name, "TagSpecification") || strings.HasPrefix(name, "UserData") || strings.HasSuffix(name, "VolumeSize") {
				t.Errorf("a call with %s", name)
			}
		}
	}
}

func TestLaunchIsIdempotent(t *testing.T) {
	e := newEmulator(t)
	first := e.launch(t, "token-1")
	for range 20 { // tags come out of a map
		if again := e.launch(t, "token-1"); again.ID != first.ID {
			t.Fatalf("launched %s and %s", first.ID, again.ID)
		}
	}
	if other := e.launch(t, "token-2"); other.ID == first.ID {
		t.Error("another token gave the same instance")
	}
	changed := request("token-1")
	changed.UserData = []byte("#cloud-config\nruncmd: [date]\n")
	_, err := e.Launch(t.Context(), changed)
	wantKind(t, err, cloud.KindTokenReused, "ec2:RunInstances", "IdempotentParameterMismatch")
	found, err := e.FindByToken(t.Context(), "token-1")
	if err != nil || found.ID != first.ID {
		t.Errorf("found %q, %v; want %s", found.ID, err, first.ID)
	}
}

func TestLaunchSurvivesALostReply(t *testing.T) {
	e := newEmulator(t)
	e.plan(t, faults.Plan{LostReplies: []faults.Loss{{Action: "RunInstances", Count: 2}}})
	got := e.launch(t, "token-1")
	if got.ID == "" || len(e.world.All()) != 1 || len(e.calls("RunInstances")) != 3 {
		t.Errorf("launched %q with %d calls; there are %d instances", got.ID, len(e.calls("RunInstances")), len(e.world.All()))
	}
	e.plan(t, faults.Plan{LostReplies: []faults.Loss{{Action: "RunInstances"}}})
	_, err := e.Launch(t.Context(), request("token-2"))
	wantKind(t, err, cloud.KindTransient, "ec2:RunInstances")
	if calls := len(e.calls("RunInstances")); calls != 3+attempts {
		t.Errorf("%d calls", calls)
	}
	found, err := e.FindByToken(t.Context(), "token-2")
	if err != nil || found.State == cloud.StateTerminated {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestLaunchRefused(t *testing.T) {
	for name, c := range map[string]struct {
		plan    faults.Plan
		edit    func(*cloud.LaunchRequest)
		kind    cloud.Kind
		code    string
		subject string
	}{
		"dry":             {plan: faults.Plan{Capacity: []faults.Dry{{InstanceType: "t3.*"}}}, kind: cloud.KindCapacity, code: "InsufficientInstanceCapacity"},
		"quota":           {plan: faults.Plan{VCPULimits: map[string]int{"on-demand": 1}}, kind: cloud.KindQuota, code: "VcpuLimitExceeded"},
		"unknown image":   {edit: func(r *cloud.LaunchRequest) { r.ImageID = "ami-0123456789abcdef0" }, kind: cloud.KindNotFound, code: "InvalidAMIID.NotFound", subject: "ami-0123456789abcdef0"},
		"malformed image": {edit: func(r *cloud.LaunchRequest) { r.ImageID = "my-image" }, kind: cloud.KindInvalid, code: "InvalidAMIID.Malformed", subject: "my-image"},
		"unknown subnet":  {edit: func(r *cloud.LaunchRequest) { r.SubnetID = "subnet-0123456789abcdef0" }, kind: cloud.KindNotFound, code: "InvalidSubnetID.NotFound", subject: "subnet-0123456789abcdef0"},
		"unknown group": {edit: func(r *cloud.LaunchRequest) { r.SecurityGroups = []string{group, "sg-0123456789abcdef0"} },
			kind: cloud.KindNotFound, code: "InvalidGroup.NotFound", subject: "sg-0123456789abcdef0"},
		"unknown profile": {edit: func(r *cloud.LaunchRequest) { r.InstanceProfile = "nobodys" },
			kind: cloud.KindInvalid, code: "InvalidParameterValue", subject: "nobodys"},
		"unknown profile by ARN": {edit: func(r *cloud.LaunchRequest) {
			r.InstanceProfile = "arn:aws:iam::123456789012:instance-profile/a/nobodys"
		},
			kind: cloud.KindInvalid, code: "InvalidParameterValue", subject: "arn:aws:iam::123456789012:instance-profile/a/nobodys"},
		"unknown type":         {edit: func(r *cloud.LaunchRequest) { r.InstanceType = "t9.nano" }, kind: cloud.KindInvalid, code: "InvalidParameterValue", subject: "t9.nano"},
		"another architecture": {edit: func(r *cloud.LaunchRequest) { r.InstanceType = "t4g.nano" }, kind: cloud.KindInvalid, code: "InvalidParameterValue"},
		"volume too small":     {edit: func(r *cloud.LaunchRequest) { r.Volume.GiB = 1 }, kind: cloud.KindInvalid, code: "InvalidBlockDeviceMapping"},
		"user data too large":  {edit: func(r *cloud.LaunchRequest) { r.UserData = make([]byte, cloud.MaxUserData+1) }, kind: cloud.KindInvalid, code: "InvalidParameterValue"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEmulator(t)
			e.plan(t, c.plan)
			req := request("token")
			if c.edit != nil {
				c.edit(&req)
			}
			_, err := e.Launch(t.Context(), req)
			wantKind(t, err, c.kind)
			var refusal *cloud.Error
			if !errors.As(err, &refusal) || refusal.Code != c.code || refusal.Subject != c.subject || refusal.Action != "ec2:RunInstances" {
				t.Errorf("%+v, want code %s about %q", refusal, c.code, c.subject)
			}
			if calls := len(e.calls("RunInstances")); calls != 1 {
				t.Errorf("%d calls: what is refused was sent again", calls)
			}
		})
	}
}

func TestSubnetFull(t *testing.T) {
	e := newEmulator(t)
	var err error
	for i := 0; err == nil && i < 300; i++ {
		_, err = e.Launch(t.Context(), request("fill-"+strconv.Itoa(i)))
	}
	wantKind(t, err, cloud.KindSubnetFull, "InsufficientFreeAddressesInSubnet")
}

func TestManyDescribesAreFewCalls(t *testing.T) {
	e := newEmulator(t)
	ids := e.launchMany(t, 100)
	parallel(len(ids), func(i int) {
		instance, err := e.Instance(t.Context(), ids[i])
		if err != nil || instance.ID != ids[i] {
			t.Errorf("asked for %s, got %q, %v", ids[i], instance.ID, err)
		}
	})
	if calls := len(e.calls("DescribeInstances")); calls > 3 {
		t.Errorf("%d calls for 100 instances", calls)
	}
}

func TestOneUnknownInstanceAmongOthers(t *testing.T) {
	e := newEmulator(t)
	ids := append(e.launchMany(t, 3), "i-0123456789abcdef0")
	parallel(len(ids), func(i int) {
		_, err := e.Instance(t.Context(), ids[i])
		if i < 3 && err != nil {
			t.Errorf("%s: %v", ids[i], err)
		}
		if i == 3 {
			wantKind(t, err, cloud.KindNotFound, "ec2:DescribeInstances", ids[i])
		}
	})
	if calls := len(e.calls("DescribeInstances")); calls > 2 {
		t.Errorf("%d calls", calls)
	}
}

// A pattern in place of an ID must not give another instance, nor reach EC2.
func TestMalformedInstanceID(t *testing.T) {
	e := newEmulator(t)
	e.launch(t, "token")
	for _, id := range []string{"", "*", "i-*", "i-0123?", "I-0123", "i-0123456789abcdef0,i-1"} {
		_, err := e.Instance(t.Context(), id)
		wantKind(t, err, cloud.KindInvalid, "InvalidInstanceID.Malformed")
		wantKind(t, e.Terminate(t.Context(), id), cloud.KindInvalid, "InvalidInstanceID.Malformed")
	}
	if calls := len(e.journal.Since(0, "")); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestDescribeFails(t *testing.T) {
	e := newEmulator(t)
	e.plan(t, faults.Plan{Errors: []faults.Refusal{{Action: "DescribeInstances", Code: "UnauthorizedOperation"}}})
	_, err := e.Instance(t.Context(), "i-0123456789abcdef0")
	wantKind(t, err, cloud.KindUnauthorized, "ec2:DescribeInstances")
	_, err = e.FindByToken(t.Context(), "token")
	wantKind(t, err, cloud.KindUnauthorized)
	_, err = e.FindByTags(t.Context(), map[string]string{"a": "b"})
	wantKind(t, err, cloud.KindUnauthorized)
}

func TestFindByToken(t *testing.T) {
	e := newEmulator(t)
	e.launch(t, "token-1")
	_, err := e.FindByToken(t.Context(), "token-2")
	wantKind(t, err, cloud.KindNotFound, "token-2")
	_, err = e.FindByToken(t.Context(), "token-*")
	wantKind(t, err, cloud.KindNotFound)
}

func TestFindByTags(t *testing.T) {
	e := newEmulator(t)
	e.pageSize = 5
	ids := e.launchMany(t, 12)
	other := request("other")
	other.Tags = map[string]string{"kip.elotl.co/cluster": "c10"}
	if _, err := e.Launch(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := e.Terminate(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	e.waitFor(t, ids[0], cloud.StateTerminated)
	for name, c := range map[string]struct {
		tags map[string]string
		want []string
	}{
		"terminated too":  {map[string]string{"kip.elotl.co/cluster": "c1"}, ids},
		"all must match":  {map[string]string{"kip.elotl.co/cluster": "c1", "a": "2"}, nil},
		"two that match":  {map[string]string{"a": "1", "b": "2"}, ids},
		"not by pattern":  {map[string]string{"kip.elotl.co/cluster": "c1*"}, nil},
		"unknown cluster": {map[string]string{"kip.elotl.co/cluster": "c2"}, nil},
	} {
		found, err := e.FindByTags(t.Context(), c.tags)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, i := range found {
			got = append(got, i.ID)
		}
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	_, err := e.FindByTags(t.Context(), nil)
	wantKind(t, err, cloud.KindInvalid, "no tags")
}

func TestCallerThatStopsWaiting(t *testing.T) {
	e := newEmulator(t)
	id := e.launch(t, "token").ID
	e.plan(t, faults.Plan{Delays: []faults.Delay{{Action: "DescribeInstances", Delay: faults.Duration(200 * time.Millisecond), Count: 1}}})
	brief, cancel := context.WithTimeout(t.Context(), batchWindow+20*time.Millisecond)
	defer cancel()
	parallel(2, func(i int) {
		if i == 0 {
			_, err := e.Instance(brief, id)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the brief caller: %v", err)
			}
			return
		}
		if _, err := e.Instance(t.Context(), id); err != nil {
			t.Errorf("the patient caller: %v", err)
		}
	})
}
