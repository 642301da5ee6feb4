package aws

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"kip.elotl.co/internal/cloud"
)

// kindOfCode sorts EC2's error codes
// (docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html).
// What it does not hold is sorted by the end and the beginning of the code.
func kindOfCode(code string) (kind cloud.Kind, known bool) {
	switch code {
	case "BandwidthLimitExceeded", "EC2ThrottledException", "PriorRequestNotComplete", "RequestLimitExceeded",
		"RequestThrottled", "RequestThrottledException", "SlowDown", "ThrottledException", "Throttling",
		"ThrottlingException", "TooManyRequestsException":
		return cloud.KindThrottled, true
	case "InsufficientAddressCapacity", "InsufficientCapacity", "InsufficientHostCapacity",
		"InsufficientInstanceCapacity", "InsufficientReservedInstanceCapacity", "ReservationCapacityExceeded",
		"UnfulfillableCapacity":
		return cloud.KindCapacity, true
	case "SpotMaxPriceTooLow":
		return cloud.KindPrice, true
	case "InsufficientVolumeCapacity", "VolumeTypeNotAvailableInZone":
		return cloud.KindVolume, true
	case "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "VcpuLimitExceeded":
		return cloud.KindQuota, true
	case "AddressLimitExceeded", "MaxIOPSLimitExceeded", "NetworkInterfaceLimitExceeded", "PendingVerification", "ResourceLimitExceeded",
		"RouteLimitExceeded", "VolumeLimitExceeded":
		return cloud.KindLimit, true
	case "RouteAlreadyExists":
		return cloud.KindConflict, true
	case "InsufficientFreeAddressesInSubnet":
		return cloud.KindSubnetFull, true
	case "AccessDenied", "AccessDeniedException", "AuthFailure", "Blocked", "ExpiredToken", "ExpiredTokenException",
		"IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId", "MissingAuthenticationToken",
		"OptInRequired", "RequestExpired", "SignatureDoesNotMatch", "UnauthorizedOperation",
		"UnrecognizedClientException":
		return cloud.KindUnauthorized, true
	case "IdempotentInstanceTerminated", "IdempotentParameterMismatch":
		return cloud.KindTokenReused, true
	case "InvalidInstanceType", "NoSuchEntity", "NoSuchEntityException", "ParameterNotFound":
		return cloud.KindNotFound, true
	case "EncryptedVolumesNotSupported", "OperationNotPermitted", "PrivateIpAddressLimitExceeded", "SecurityGroupsPerInterfaceLimitExceeded",
		"TagLimitExceeded", "TagPolicyViolation", "UnknownParameter", "UnknownVolumeType", "Unsupported",
		"UnsupportedOperation", "UnsupportedTenancy", "ValidationError", "ValidationException", "VolumeIOPSLimit", "VPCIdNotSpecified":
		return cloud.KindInvalid, true
	}
	return cloud.KindTransient, false
}

// unreadable is the SDK's code for an answer without one, such as a proxy's.
const unreadable = "UnknownError"

// sorted makes a *cloud.Error of what the SDK gave for an action. Where it is
// about something that does not exist or is wrong, Subject is the first of
// subjects, the IDs in the request, that EC2 names. The text is the same each
// time the same thing goes wrong.
func sorted(action string, err error, subjects ...string) error {
	return sortedOf("ec2", action, err, subjects...)
}

// sortedOf is sorted for another service, by its prefix in IAM's actions.
func sortedOf(service, action string, err error, subjects ...string) error {
	if err == nil {
		return nil
	}
	out := &cloud.Error{Kind: kindOf(err), Action: service + ":" + action, Message: causeOf(err), Err: err}
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() == unreadable {
		return out
	}
	out.Code, out.Message = api.ErrorCode(), stable(api.ErrorMessage())
	if action == launchAction {
		out.Kind = kindOfRefusedLaunch(out)
	}
	switch out.Kind {
	case cloud.KindUnauthorized:
		out.Action, out.Message = refused(out.Action, out.Message)
	case cloud.KindNotFound, cloud.KindInvalid, cloud.KindNoRole:
		if named := namedIn(out.Message, subjects); len(named) > 0 {
			out.Subject = named[0]
		}
	}
	return out
}

// kindOf sorts an error of the SDK. What is no answer of EC2's, such as a
// broken connection, is transient, and so is what nobody knows.
func kindOf(err error) cloud.Kind {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return cloud.KindTransient
	}
	code := api.ErrorCode()
	kind, known := kindOfCode(code)
	switch {
	case known:
		return kind
	case strings.HasSuffix(code, ".NotFound"):
		return cloud.KindNotFound
	case strings.HasPrefix(code, "AuthFailure."): // such as .ServiceLinkedRoleCreationNotPermitted, of an account's first Spot instance
		return cloud.KindUnauthorized
	case status(err) >= http.StatusInternalServerError:
		return cloud.KindTransient
	case strings.HasPrefix(code, "Invalid"), strings.HasPrefix(code, "Missing"), strings.HasPrefix(code, "Malformed"), strings.HasSuffix(code, ".Malformed"):
		return cloud.KindInvalid
	}
	return cloud.KindTransient
}

// launchAction is the action that launches instances.
const launchAction = "RunInstances"

// zoneLacksType is in the message by which EC2 says that a zone has no instances
// of a type at all. The same code also stands for a configuration that the type
// does not take anywhere: "The requested configuration is currently not
// supported. Please check the documentation for supported configurations."
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch.html).
const zoneLacksType = "is not supported in your requested Availability Zone"

// profileLacksRole is in the message by which EC2 refuses an instance profile
// that is empty; the code stands for every other wrong value too.
const profileLacksRole = "has no associated IAM Roles"

// kindOfRefusedLaunch tells what a type does not take from what no type does.
func kindOfRefusedLaunch(refusal *cloud.Error) cloud.Kind {
	switch refusal.Code {
	case "Unsupported":
		if strings.Contains(refusal.Message, zoneLacksType) {
			return cloud.KindCapacity
		}
		return cloud.KindConfiguration
	case "InvalidParameterCombination", "UnsupportedOperation":
		return cloud.KindConfiguration
	case "InvalidParameterValue":
		if strings.Contains(refusal.Message, profileLacksRole) {
			return cloud.KindNoRole
		}
	}
	return refusal.Kind
}

// stoppedWaiting is the error for a caller whose ctx ended before the answer to
// a shared request came.
func stoppedWaiting(ctx context.Context, subject string) error {
	return &cloud.Error{Kind: cloud.KindTransient, Subject: subject, Message: "the caller stopped waiting: " + causeOf(ctx.Err()), Err: ctx.Err()}
}

func status(err error) int {
	var response *awshttp.ResponseError
	if !errors.As(err, &response) {
		return 0
	}
	return response.HTTPStatusCode()
}

// refusedAction finds the action in "… is not authorized to perform:
// ec2:CreateTags on resource: …": a launch may lack another permission than
// that to launch.
var refusedAction = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)`)

// refused gives the action that is not allowed, and the message without the
// encoded part that only a further call could read.
func refused(action, message string) (string, string) {
	if found := refusedAction.FindStringSubmatch(message); found != nil {
		action = found[1]
	}
	message, _, _ = strings.Cut(message, " Encoded authorization failure message:")
	return action, message
}

// namedIn gives those of ids that a message names, in the order of ids.
func namedIn(message string, ids []string) []string {
	words := strings.FieldsFunc(message, func(r rune) bool { return strings.ContainsRune(" '\"[](),;:/", r) })
	var named []string
	for _, id := range ids {
		arn := strings.HasPrefix(id, "arn:") && strings.Contains(message, id)
		if id != "" && (arn || slices.Contains(words, id) || slices.Contains(words, id+".")) {
			named = append(named, id)
		}
	}
	return named
}
