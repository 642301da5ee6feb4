package aws

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"kip.elotl.co/internal/cloud"
)

// answerOf is an error as EC2 sends it (docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html#api-error-response).
func answerOf(code, message string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>` + code + `</Code><Message>` + message + `</Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>`
}

// replying is an endpoint that gives every call the same answer; calls counts.
func replying(t *testing.T, status int, body string) (c *Client, calls *atomic.Int32) {
	t.Helper()
	calls = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return newClient(t, server.URL, Options{Region: "us-east-1", Limits: Unlimited(), maxBackoff: time.Millisecond}), calls
}

// answering is an endpoint that gives every call of an action the same answer.
func answering(t *testing.T, answers map[string]string) (c *Client, calls *atomic.Int32) {
	t.Helper()
	calls = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
		_, _ = io.WriteString(w, answers[r.PostFormValue("Action")])
	}))
	t.Cleanup(server.Close)
	return newClient(t, server.URL, Options{Region: "us-east-1", Limits: Unlimited(), maxBackoff: time.Millisecond}), calls
}

const encoded = " Encoded authorization failure message: 4OFPj6ooszgFyrAeYE5q"

// The messages are EC2's own.
func TestErrorsOfALaunch(t *testing.T) {
	const again, once = attempts, 1
	for _, c := range []struct {
		status        int
		code, message string
		calls         int32
		want          cloud.Error
	}{
		{500, "InsufficientInstanceCapacity", "We currently do not have sufficient t3.nano capacity in the Availability Zone you requested (us-east-1a).", once,
			cloud.Error{Kind: cloud.KindCapacity}},
		{500, "InsufficientHostCapacity", "Insufficient capacity on matching host", once, cloud.Error{Kind: cloud.KindCapacity}},
		{500, "InsufficientReservedInstanceCapacity", "x", once, cloud.Error{Kind: cloud.KindCapacity}},
		{400, "Unsupported", "Your requested instance type (t3.nano) is not supported in your requested Availability Zone (us-east-1e).", once, cloud.Error{Kind: cloud.KindCapacity}},
		{400, "Unsupported", "The requested configuration is currently not supported. Please check the documentation for supported configurations.", once, cloud.Error{Kind: cloud.KindConfiguration}},
		{400, "SpotMaxPriceTooLow", "Your Spot request price of 0.1 is lower than the minimum required Spot request fulfillment price of 0.2.", once, cloud.Error{Kind: cloud.KindPrice}},
		{500, "InsufficientVolumeCapacity", "There is not enough capacity to fulfill your EBS volume provision request.", once, cloud.Error{Kind: cloud.KindVolume}},
		{400, "VolumeTypeNotAvailableInZone", "The specified zone does not support this volume type.", once, cloud.Error{Kind: cloud.KindVolume}},
		{400, "VolumeLimitExceeded", "x", once, cloud.Error{Kind: cloud.KindLimit}},
		{400, "MaxIOPSLimitExceeded", "x", once, cloud.Error{Kind: cloud.KindLimit}},
		{400, "VolumeIOPSLimit", "x", once, cloud.Error{Kind: cloud.KindInvalid}},
		{400, "UnknownVolumeType", "x", once, cloud.Error{Kind: cloud.KindInvalid}},
		{400, "EncryptedVolumesNotSupported", "x", once, cloud.Error{Kind: cloud.KindInvalid}},
		{400, "UnsupportedTenancy", "x", once, cloud.Error{Kind: cloud.KindInvalid}},
		{400, "VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of 32 allows", once, cloud.Error{Kind: cloud.KindQuota}},
		{400, "MaxSpotInstanceCountExceeded", "Max spot instance count exceeded", once, cloud.Error{Kind: cloud.KindQuota}},
		{400, "InstanceLimitExceeded", "x", once, cloud.Error{Kind: cloud.KindQuota}},
		{400, "InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '" + subnetA + "' to satisfy the requested number of instances.", once,
			cloud.Error{Kind: cloud.KindSubnetFull}},
		{403, "AuthFailure.ServiceLinkedRoleCreationNotPermitted", "The provided credentials do not have permission to create the service-linked role for EC2 Spot Instances.", once,
			cloud.Error{Kind: cloud.KindUnauthorized}},
		{403, "UnauthorizedOperation", "You are not authorized to perform this operation." + encoded, once,
			cloud.Error{Kind: cloud.KindUnauthorized, Message: "You are not authorized to perform this operation."}},
		{403, "UnauthorizedOperation", "You are not authorized to perform this operation. User: arn:aws:sts::1:assumed-role/kip/s is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/r because no identity-based policy allows the iam:PassRole action." + encoded, once,
			cloud.Error{Kind: cloud.KindUnauthorized, Action: "iam:PassRole", Message: "You are not authorized to perform this operation. User: arn:aws:sts::1:assumed-role/kip/s is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/r because no identity-based policy allows the iam:PassRole action."}},
		{401, "AuthFailure", "AWS was not able to validate the provided access credentials", once, cloud.Error{Kind: cloud.KindUnauthorized}},
		{400, "RequestExpired", "Request has expired.", once, cloud.Error{Kind: cloud.KindUnauthorized}},
		{401, "OptInRequired", "In order to use this AWS Marketplace product you need to accept terms and subscribe.", once, cloud.Error{Kind: cloud.KindUnauthorized}},
		{400, "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).", once, cloud.Error{Kind: cloud.KindTokenReused}},
		{400, "InvalidAMIID.NotFound", "The image id '[" + x86Image + "]' does not exist", once, cloud.Error{Kind: cloud.KindNotFound, Subject: x86Image}},
		{400, "InvalidAMIID.Malformed", "Invalid id: \"" + x86Image + "\" (expecting \"ami-...\")", once, cloud.Error{Kind: cloud.KindInvalid, Subject: x86Image}},
		{400, "InvalidSubnetID.NotFound", "The subnet ID '" + subnetA + "' does not exist", once, cloud.Error{Kind: cloud.KindNotFound, Subject: subnetA}},
		{400, "InvalidSecurityGroupID.NotFound", "The security group '" + group + "' does not exist in VPC 'vpc-1'", once, cloud.Error{Kind: cloud.KindNotFound, Subject: group}},
		{400, "InvalidGroup.NotFound", "The security group 'sg-elsewhere' does not exist", once, cloud.Error{Kind: cloud.KindNotFound}},
		{400, "InvalidParameterValue", "Invalid value 't3.nano' for InstanceType.", once, cloud.Error{Kind: cloud.KindInvalid, Subject: "t3.nano"}},
		{400, "InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet", once, cloud.Error{Kind: cloud.KindConfiguration}},
		{400, "MissingParameter", "The request must contain the parameter ImageId", once, cloud.Error{Kind: cloud.KindInvalid}},
		{400, "UnsupportedOperation", "x", once, cloud.Error{Kind: cloud.KindConfiguration}},
		{503, "RequestLimitExceeded", "Request limit exceeded.", again, cloud.Error{Kind: cloud.KindThrottled}},
		{400, "Throttling", "Rate exceeded", again, cloud.Error{Kind: cloud.KindThrottled}},
		{500, "InternalError", "An internal error has occurred", again, cloud.Error{Kind: cloud.KindTransient}},
		{503, "Unavailable", "The service is unavailable. Please try again shortly.", again, cloud.Error{Kind: cloud.KindTransient}},
		{500, "InvalidSomething", "a server error whatever its name", again, cloud.Error{Kind: cloud.KindTransient}},
		{400, "NobodyKnowsThis", "x", once, cloud.Error{Kind: cloud.KindTransient}},
	} {
		t.Run(c.code, func(t *testing.T) {
			client, calls := replying(t, c.status, answerOf(c.code, c.message))
			_, err := client.Launch(t.Context(), request("token"))
			var got *cloud.Error
			if !errors.As(err, &got) {
				t.Fatalf("error %v", err)
			}
			c.want.Code = c.code
			if c.want.Message == "" {
				c.want.Message = c.message
			}
			if c.want.Action == "" {
				c.want.Action = "ec2:RunInstances"
			}
			if got.Err == nil {
				t.Error("no underlying error")
			}
			if got := (cloud.Error{Kind: got.Kind, Code: got.Code, Message: got.Message, Action: got.Action, Subject: got.Subject}); got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
			if calls.Load() != c.calls {
				t.Errorf("%d calls, want %d", calls.Load(), c.calls)
			}
		})
	}
}

func TestErrorsThatAreNotEC2s(t *testing.T) {
	t.Run("no connection", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		c := newClient(t, "http://"+listener.Addr().String(), Options{Region: "us-east-1", maxBackoff: time.Millisecond})
		_, err = c.Launch(t.Context(), request("token"))
		wantKind(t, err, cloud.KindTransient, "ec2:RunInstances", "connection refused")
	})
	t.Run("no XML", func(t *testing.T) {
		c, _ := replying(t, 200, "<html>")
		_, err := c.Launch(t.Context(), request("token"))
		wantKind(t, err, cloud.KindTransient, "ec2:RunInstances")
	})
	t.Run("a proxy's page", func(t *testing.T) {
		c, _ := replying(t, 502, "<html>Bad gateway</html>")
		_, err := c.Launch(t.Context(), request("token"))
		wantKind(t, err, cloud.KindTransient, "502")
	})
	t.Run("no instance in the answer", func(t *testing.T) {
		c, _ := replying(t, 200, `<RunInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><instancesSet/></RunInstancesResponse>`)
		_, err := c.Launch(t.Context(), request("token"))
		wantKind(t, err, cloud.KindTransient, "does not hold one instance")
	})
	t.Run("no patience", func(t *testing.T) {
		c, _ := replying(t, 503, answerOf("Unavailable", "x"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Launch(ctx, request("token"))
		wantKind(t, err, cloud.KindTransient)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v is not context.Canceled", err)
		}
	})
	t.Run("no credentials", func(t *testing.T) {
		quietEnvironment(t)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		c, err := New(t.Context(), Options{Region: "us-east-1", EndpointURL: "http://127.0.0.1:1", maxBackoff: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Launch(t.Context(), request("token"))
		wantKind(t, err, cloud.KindTransient, "credentials")
	})
}

// Every code that the SDK takes for throttling must be one for us.
func TestThrottlingIsTheSDKs(t *testing.T) {
	for code := range retry.DefaultThrottleErrorCodes {
		if strings.HasPrefix(code, "Provisioned") || code == "LimitExceededException" || code == "TransactionInProgressException" {
			continue // other services'
		}
		if kind := kindOf(&smithy.GenericAPIError{Code: code}); kind != cloud.KindThrottled {
			t.Errorf("%s is of kind %d", code, kind)
		}
	}
}

func TestNamedIn(t *testing.T) {
	ids := []string{"sg-1", "", "sg-11", "subnet-2"}
	for message, want := range map[string]string{
		"The security group 'sg-11' does not exist":     "sg-11",
		"The subnet IDs 'subnet-2, sg-1' do not exist.": "sg-1 subnet-2",
		"sg-1.":                         "sg-1",
		"arn:aws:ec2:::subnet/subnet-2": "subnet-2",
		"sg-111 and xsg-1":              "",
		"":                              "",
	} {
		if got := strings.Join(namedIn(message, ids), " "); got != want {
			t.Errorf("%q names %q, want %q", message, got, want)
		}
	}
}

// TestGroupOfAnotherVPC: where EC2 names the subnet too, it is the group that
// is wrong.
func TestGroupOfAnotherVPC(t *testing.T) {
	req := request("token")
	req.SecurityGroups = []string{group, extra}
	refused := &smithy.GenericAPIError{Code: "InvalidParameter", Message: "Security group " + extra + " and subnet " + subnetA + " belong to different networks."}
	err := sorted("RunInstances", refused, launchSubjects(req)...)
	wantKind(t, err, cloud.KindInvalid)
	if got := subject(err); got != extra {
		t.Errorf("the error is about %q, want %q", got, extra)
	}
}
