package aws

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"kip.elotl.co/internal/cloud"
)

// typesPageSize is the most that DescribeInstanceTypes gives at once.
const typesPageSize = 100

// InstanceTypes implements cloud.InstanceTypes.
func (c *Client) InstanceTypes(ctx context.Context) ([]cloud.InstanceType, error) {
	var described []cloud.InstanceType
	var zones map[string][]string
	asking, ctx := errgroup.WithContext(ctx)
	asking.Go(func() (err error) {
		described, err = c.describeTypes(ctx)
		return err
	})
	asking.Go(func() (err error) {
		zones, err = c.describeOfferings(ctx)
		return err
	})
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	for i := range described {
		described[i].Zones = zones[described[i].Name]
	}
	return described, nil
}

func (c *Client) describeTypes(ctx context.Context) ([]cloud.InstanceType, error) {
	var described []cloud.InstanceType
	pages := ec2.NewDescribeInstanceTypesPaginator(c.ec2, &ec2.DescribeInstanceTypesInput{
		MaxResults: aws.Int32(min(c.pageSize, typesPageSize)),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeInstanceTypes", err)
		}
		for i := range page.InstanceTypes {
			described = append(described, typeOf(&page.InstanceTypes[i]))
		}
	}
	return described, nil
}

// describeOfferings gives the zones of each type, sorted.
func (c *Client) describeOfferings(ctx context.Context) (map[string][]string, error) {
	zones := map[string][]string{}
	pages := ec2.NewDescribeInstanceTypeOfferingsPaginator(c.ec2, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone,
		MaxResults:   aws.Int32(c.pageSize),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeInstanceTypeOfferings", err)
		}
		for _, o := range page.InstanceTypeOfferings {
			name := string(o.InstanceType)
			zones[name] = append(zones[name], aws.ToString(o.Location))
		}
	}
	for _, z := range zones {
		slices.Sort(z)
	}
	return zones, nil
}

func typeOf(t *types.InstanceTypeInfo) cloud.InstanceType {
	out := cloud.InstanceType{
		Name:        string(t.InstanceType),
		Burstable:   aws.ToBool(t.BurstablePerformanceSupported),
		BareMetal:   aws.ToBool(t.BareMetal),
		HVM:         slices.Contains(t.SupportedVirtualizationTypes, types.VirtualizationTypeHvm),
		Paravirtual: slices.Contains(t.SupportedVirtualizationTypes, types.VirtualizationTypeParavirtual),
		UEFI:        slices.Contains(t.SupportedBootModes, types.BootModeTypeUefi),
		LegacyBIOS:  slices.Contains(t.SupportedBootModes, types.BootModeTypeLegacyBios),
	}
	if t.ProcessorInfo != nil {
		for _, a := range t.ProcessorInfo.SupportedArchitectures {
			if architecture, ok := architectureOf(string(a)); ok {
				out.Architectures = append(out.Architectures, architecture)
			}
		}
	}
	if t.VCpuInfo != nil {
		out.VCPUs = aws.ToInt32(t.VCpuInfo.DefaultVCpus)
	}
	if t.MemoryInfo != nil {
		out.MemoryMiB = aws.ToInt64(t.MemoryInfo.SizeInMiB)
	}
	if t.NetworkInfo != nil {
		out.IPv4PerInterface = aws.ToInt32(t.NetworkInfo.Ipv4AddressesPerInterface)
		out.NeedsENA = t.NetworkInfo.EnaSupport == types.EnaSupportRequired
	}
	out.GPUs, out.Neurons = acceleratorsOf(t)
	out.Markets = marketsOf(t.SupportedUsageClasses)
	return out
}

// acceleratorsOf counts NVIDIA's GPUs and AWS's Neuron devices, which EC2 tells
// as such for new types and as inference accelerators for old ones.
func acceleratorsOf(t *types.InstanceTypeInfo) (gpus, neurons int32) {
	if t.GpuInfo != nil {
		for _, g := range t.GpuInfo.Gpus {
			if aws.ToString(g.Manufacturer) == "NVIDIA" {
				gpus += aws.ToInt32(g.Count)
			}
		}
	}
	if t.NeuronInfo != nil {
		for _, n := range t.NeuronInfo.NeuronDevices {
			neurons += aws.ToInt32(n.Count)
		}
	}
	if neurons == 0 && t.InferenceAcceleratorInfo != nil {
		for _, a := range t.InferenceAcceleratorInfo.Accelerators {
			if aws.ToString(a.Manufacturer) == "AWS" {
				neurons += aws.ToInt32(a.Count)
			}
		}
	}
	return gpus, neurons
}

func marketsOf(classes []types.UsageClassType) []cloud.Market {
	var markets []cloud.Market
	for _, class := range classes {
		switch class {
		case types.UsageClassTypeOnDemand:
			markets = append(markets, cloud.OnDemand)
		case types.UsageClassTypeSpot:
			markets = append(markets, cloud.Spot)
		}
	}
	return markets
}
