package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/cloud/aws"
	"kip.elotl.co/internal/pricetable"
)

// regionOf is the region of a class's subnets, empty where it has none: zones,
// also local ones such as us-west-2-lax-1a, begin with their region.
func regionOf(class *v1beta1.CellClass) string {
	region := regexp.MustCompile(`^[a-z]+(-[a-z]+)+-[0-9]+`)
	for _, subnet := range class.Status.Subnets {
		if found := region.FindString(subnet.Zone); found != "" {
			return found
		}
	}
	return ""
}

// loadMarket asks AWS what there is in a region; what AWS_REGION says counts
// where that is empty.
func loadMarket(ctx context.Context, pairs []asked, c *cluster, notes io.Writer) (pricetable.Market, error) {
	region := regionOf(pairs[0].class)
	client, err := aws.New(ctx, aws.Options{Region: region, Version: version, Limits: aws.DefaultLimits()})
	if err != nil {
		return pricetable.Market{}, err
	}
	if err := client.CheckCredentials(ctx); err != nil {
		return pricetable.Market{}, fmt.Errorf("asking AWS for types and prices: %w (with the local environment of \"make up\": . .dev/aws.env)", err)
	}
	offers, err := catalogue.New(catalogue.Options{Source: client, Region: client.Region(), Clock: clock.RealClock{}, Log: logr.Discard()})
	if err != nil {
		return pricetable.Market{}, err
	}
	for _, r := range c.memory {
		offers.Memory.Report(r.instanceType, r.bytes)
	}
	offers.SetOverrides(c.overrides)
	for _, a := range pairs {
		offers.IndexFor(a.class.Spec.AWS.Tenancy) // so that its prices are loaded
	}
	missing, err := offers.Load(ctx)
	if err != nil {
		return pricetable.Market{}, fmt.Errorf("%w%s", err, remedy(err))
	}
	if err := context.Cause(ctx); errors.Is(err, context.Canceled) {
		return pricetable.Market{}, fmt.Errorf("asking AWS: %w", err)
	}
	for _, m := range missing {
		fmt.Fprintf(notes, "note: built-in prices stand in (source Table or Estimate): %v%s\n", m, remedy(m))
	}
	return marketFrom(offers), nil
}

// remedy is what might help against an error of the cloud.
func remedy(err error) string {
	var refused *cloud.Error
	switch {
	case !errors.As(err, &refused):
		return ""
	case refused.Kind == cloud.KindUnauthorized:
		return fmt.Sprintf(" (are these the right AWS credentials, AWS_PROFILE or AWS_ACCESS_KEY_ID, and may they call %s?)", refused.Action)
	case refused.Code == "":
		return " (is AWS_ENDPOINT_URL right, if it is set, and the proxy?)"
	}
	return ""
}
