package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"kip.elotl.co/internal/itzo"
)

// Where the metadata service has notices
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html).
const (
	actionItem      = "spot/instance-action"
	rebalanceItem   = "events/recommendations/rebalance"
	maintenanceItem = "events/maintenance/scheduled"
)

const (
	// maintenanceTime is how that item spells times.
	maintenanceTime = "2 Jan 2006 15:04:05 MST"
	// maintenanceMost is how many events are told on.
	maintenanceMost = 10
)

// Notices gives what asks version 2 of the metadata service for notices; its
// usual address where endpoint is empty. One question at a time, each for as
// long as its ctx lets it; the session's token is kept.
func Notices(endpoint string) func(context.Context) (itzo.Notices, error) {
	metadata := instanceMetadata(endpoint)
	return func(ctx context.Context) (notices itzo.Notices, err error) {
		if notices.Interruption, err = ask(ctx, metadata, actionItem, readAction); err != nil {
			return notices, err
		}
		if notices.Rebalance, err = ask(ctx, metadata, rebalanceItem, readRebalance); err != nil {
			return notices, err
		}
		notices.Maintenance, err = ask(ctx, metadata, maintenanceItem, readMaintenance)
		return notices, err
	}
}

// ask reads an item; the zero T where there is none.
func ask[T any](ctx context.Context, metadata *imds.Client, path string, read func(text []byte) (T, error)) (T, error) {
	var nothing T
	text, err := item(ctx, metadata, path)
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusNotFound {
		return nothing, nil
	}
	if err != nil || text == "" {
		return nothing, err
	}
	out, err := read([]byte(text))
	if err != nil {
		return nothing, fmt.Errorf("reading the metadata's %s: %w", path, err)
	}
	return out, nil
}

func readAction(text []byte) (*itzo.Interruption, error) {
	var notice itzo.Interruption
	if err := json.Unmarshal(text, &notice); err != nil {
		return nil, err
	}
	if notice.Action == "" || notice.Time.IsZero() {
		return nil, errors.New("action or time is missing")
	}
	return &notice, nil
}

func readRebalance(text []byte) (*time.Time, error) {
	var notice struct {
		NoticeTime time.Time `json:"noticeTime"`
	}
	if err := json.Unmarshal(text, &notice); err != nil {
		return nil, err
	}
	if notice.NoticeTime.IsZero() {
		return nil, errors.New("noticeTime is missing")
	}
	return &notice.NoticeTime, nil
}

// readMaintenance leaves out what is over, or will not be.
func readMaintenance(text []byte) ([]itzo.Maintenance, error) {
	var told []struct{ Code, Description, State, NotBefore, NotAfter string }
	if err := json.Unmarshal(text, &told); err != nil {
		return nil, err
	}
	var events []itzo.Maintenance
	for _, t := range told {
		if t.State != "" && t.State != "active" || len(events) == maintenanceMost {
			continue
		}
		event := itzo.Maintenance{Code: t.Code, Description: t.Description}
		if event.Code == "" {
			return nil, errors.New("an event has no code")
		}
		for _, at := range []struct {
			text string
			into *time.Time
		}{{t.NotBefore, &event.NotBefore}, {t.NotAfter, &event.NotAfter}} {
			if at.text == "" {
				continue
			}
			when, err := time.Parse(maintenanceTime, at.text)
			if err != nil {
				return nil, err
			}
			*at.into = when.UTC()
		}
		events = append(events, event)
	}
	return events, nil
}
