package aws

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"kip.elotl.co/internal/cloud"
)

// Terminate implements cloud.Instances.
func (c *Client) Terminate(ctx context.Context, id string) error {
	if err := checkID("TerminateInstances", id); err != nil {
		return err
	}
	_, err := c.ends.get(ctx, id)
	return err
}

// terminateAll terminates what it can. EC2 refuses the whole of a request for
// one instance in it: those that it names are taken out, and where it names
// none the request is cut in two.
func (c *Client) terminateAll(ctx context.Context, ids []string) map[string]answer[struct{}] {
	return together(ids, func(ids []string) error {
		_, err := c.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids})
		return sorted("TerminateInstances", err, ids...)
	})
}

// resourceID is the form of the ID of anything that can have tags.
var resourceID = regexp.MustCompile(`^[a-z]+-[0-9a-f]+$`)

// Tag implements cloud.Instances.
func (c *Client) Tag(ctx context.Context, id string, tags map[string]string) error {
	switch {
	case !resourceID.MatchString(id):
		return &cloud.Error{Kind: cloud.KindInvalid, Code: "InvalidID", Action: "ec2:CreateTags",
			Message: "an ID has the form i-0123456789abcdef0", Subject: id}
	case len(tags) == 0:
		return &cloud.Error{Kind: cloud.KindInvalid, Action: "ec2:CreateTags", Message: "no tags to set", Subject: id}
	}
	_, err := c.tags.get(ctx, taggingKey(id, tags))
	return err
}

// taggingKey is the key of a batch: what is to be tagged, and the tags in order.
func taggingKey(id string, tags map[string]string) string {
	text, _ := json.Marshal(tags) // a map of strings can always be written
	return id + " " + string(text)
}

// tagAll makes one call for each set of tags.
func (c *Client) tagAll(ctx context.Context, keys []string) map[string]answer[struct{}] {
	byTags := map[string][]string{}
	for _, key := range keys {
		id, tags, _ := strings.Cut(key, " ")
		byTags[tags] = append(byTags[tags], id)
	}
	answers := map[string]answer[struct{}]{}
	for text, ids := range byTags {
		tags := map[string]string{}
		if err := json.Unmarshal([]byte(text), &tags); err != nil {
			continue // no answer is an error
		}
		for id, a := range together(ids, func(ids []string) error {
			_, err := c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: ids, Tags: tagList(tags)})
			return sorted("CreateTags", err, ids...)
		}) {
			answers[id+" "+text] = a
		}
	}
	return answers
}

// together makes a call for several at once, and finds out which of them make
// it fail.
func together(ids []string, call func(ids []string) error) map[string]answer[struct{}] {
	answers := map[string]answer[struct{}]{}
	pending := [][]string{ids}
	for len(pending) > 0 {
		ids, pending = pending[0], pending[1:]
		guilty, rest := blame(call(ids), ids)
		for _, id := range ids {
			if !slices.ContainsFunc(rest, func(part []string) bool { return slices.Contains(part, id) }) {
				answers[id] = answer[struct{}]{err: guilty(id)}
			}
		}
		pending = append(pending, rest...)
	}
	return answers
}

// blame says what an answer to a request for several instances means for each
// of them, and which of them are to be asked for again, in what parts.
func blame(err error, ids []string) (guilty func(id string) error, rest [][]string) {
	all := func(string) error { return err }
	var refusal *cloud.Error
	if !errors.As(err, &refusal) || len(ids) == 1 {
		return all, nil
	}
	named := namedIn(refusal.Message, ids)
	switch {
	case len(named) == len(ids):
		return aboutItself(refusal), nil
	case len(named) > 0:
		innocent := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(named, id) })
		return aboutItself(refusal), [][]string{innocent}
	case refusal.Kind == cloud.KindNotFound, refusal.Kind == cloud.KindInvalid:
		half := len(ids) / 2
		return all, [][]string{ids[:half], ids[half:]}
	}
	return all, nil
}

// aboutItself tells each of several instances what was said of all of them.
func aboutItself(refusal *cloud.Error) func(id string) error {
	return func(id string) error {
		own := *refusal
		own.Subject = id
		return &own
	}
}
