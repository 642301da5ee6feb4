package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"kip.elotl.co/internal/cloud"
)

// Only images in this state can be launched, so no others are looked for.
const (
	stateFilter = "state"
	available   = string(types.ImageStateAvailable)
)

// Images implements cloud.Images.
func (c *Client) Images(ctx context.Context, q cloud.ImageQuery) ([]cloud.Image, error) {
	if len(q.IDs)+len(q.Owners)+len(q.ExecutableUsers)+len(q.Filters) == 0 {
		return nil, &cloud.Error{Kind: cloud.KindInvalid, Action: "ec2:DescribeImages", Message: "the query matches every image that there is"}
	}
	if states, given := q.Filters[stateFilter]; given && !slices.Contains(states, available) {
		return nil, &cloud.Error{Kind: cloud.KindInvalid, Action: "ec2:DescribeImages", Subject: stateFilter, Message: fmt.Sprintf(
			"filter state=%s: cells are launched from available images only: leave it out", strings.Join(states, ","))}
	}
	var images []cloud.Image
	pages := ec2.NewDescribeImagesPaginator(c.ec2, c.imageInput(q))
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeImages", err, q.IDs...)
		}
		for _, i := range page.Images {
			if image, ok := imageOf(i); ok {
				images = append(images, image)
			}
		}
	}
	return images, nil
}

// imageInput asks for pages unless IDs are given, with which EC2 refuses
// pages. An image that is given by its ID may be deprecated.
func (c *Client) imageInput(q cloud.ImageQuery) *ec2.DescribeImagesInput {
	in := &ec2.DescribeImagesInput{ImageIds: q.IDs, Owners: q.Owners, ExecutableUsers: q.ExecutableUsers}
	if len(q.IDs) == 0 {
		in.MaxResults = aws.Int32(c.pageSize)
	} else {
		in.IncludeDeprecated = aws.Bool(true)
	}
	for _, name := range slices.Sorted(maps.Keys(q.Filters)) {
		if name != stateFilter {
			in.Filters = append(in.Filters, types.Filter{Name: aws.String(name), Values: q.Filters[name]})
		}
	}
	in.Filters = append(in.Filters, types.Filter{Name: aws.String(stateFilter), Values: []string{available}})
	return in
}

// imageOf leaves out images for machines that no cell can be.
func imageOf(i types.Image) (cloud.Image, bool) {
	architecture, ok := architectureOf(string(i.Architecture))
	if !ok {
		return cloud.Image{}, false
	}
	out := cloud.Image{
		ID:           aws.ToString(i.ImageId),
		Name:         aws.ToString(i.Name),
		Architecture: architecture,
		RootDevice:   aws.ToString(i.RootDeviceName),
		Paravirtual:  i.VirtualizationType == types.VirtualizationTypeParavirtual,
		BootMode:     string(i.BootMode),
		ENA:          aws.ToBool(i.EnaSupport),
	}
	// A date that cannot be read is the oldest.
	if created, err := time.Parse(time.RFC3339, aws.ToString(i.CreationDate)); err == nil {
		out.Created = created
	}
	for _, d := range i.BlockDeviceMappings {
		if aws.ToString(d.DeviceName) == out.RootDevice && d.Ebs != nil {
			out.VolumeGiB = aws.ToInt32(d.Ebs.VolumeSize)
		}
	}
	return out, true
}

func architectureOf(name string) (cloud.Architecture, bool) {
	switch name {
	case "x86_64":
		return cloud.AMD64, true
	case "arm64":
		return cloud.ARM64, true
	}
	return "", false
}
