package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"kip.elotl.co/internal/itzo"
)

// Where the metadata service has notices
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html).
const (
	actionItem    = "spot/instance-action"
	rebalanceItem = "events/recommendations/rebalance"
)

// Notices gives what asks version 2 of the metadata service for notices; its
// usual address where endpoint is empty. One question at a time, each for as
// long as its ctx lets it; the session's token is kept.
func Notices(endpoint string) func(context.Context) (itzo.Notices, error) {
	metadata := instanceMetadata(endpoint)
	return func(ctx context.Context) (itzo.Notices, error) {
		var notices itzo.Notices
		action, err := itemIfAny(ctx, metadata, actionItem)
		if err == nil && action != "" {
			notices.Interruption, err = readAction(action)
		}
		if err != nil {
			return itzo.Notices{}, err
		}
		rebalance, err := itemIfAny(ctx, metadata, rebalanceItem)
		if err == nil && rebalance != "" {
			notices.Rebalance, err = readRebalance(rebalance)
		}
		return notices, err
	}
}

// itemIfAny is empty where there is no such item.
func itemIfAny(ctx context.Context, metadata *imds.Client, path string) (string, error) {
	value, err := item(ctx, metadata, path)
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusNotFound {
		return "", nil
	}
	return value, err
}

func readAction(text string) (*itzo.Interruption, error) {
	var notice itzo.Interruption
	if err := json.Unmarshal([]byte(text), &notice); err != nil {
		return nil, fmt.Errorf("reading the metadata's %s: %w", actionItem, err)
	}
	if notice.Action == "" || notice.Time.IsZero() {
		return nil, fmt.Errorf("reading the metadata's %s: action or time is missing", actionItem)
	}
	return &notice, nil
}

func readRebalance(text string) (*time.Time, error) {
	var notice struct {
		NoticeTime time.Time `json:"noticeTime"`
	}
	if err := json.Unmarshal([]byte(text), &notice); err != nil {
		return nil, fmt.Errorf("reading the metadata's %s: %w", rebalanceItem, err)
	}
	if notice.NoticeTime.IsZero() {
		return nil, fmt.Errorf("reading the metadata's %s: noticeTime is missing", rebalanceItem)
	}
	return &notice.NoticeTime, nil
}
