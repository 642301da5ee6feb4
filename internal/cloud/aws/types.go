package aws

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/singleflight"

	"kip.elotl.co/internal/cloud"
)

const (
	// typeLifetime is how long a type is remembered: zones come to offer it
	// every few weeks. missingLifetime is the same for "there is no such type".
	typeLifetime    = time.Hour
	missingLifetime = time.Minute
)

// InstanceType implements cloud.InstanceTypes.
func (c *Client) InstanceType(ctx context.Context, name string) (cloud.InstanceType, error) {
	return c.types.get(ctx, name)
}

func (c *Client) describeType(ctx context.Context, name string) (cloud.InstanceType, error) {
	in := &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{types.InstanceType(name)}}
	out, err := c.ec2.DescribeInstanceTypes(ctx, in)
	if err != nil {
		return cloud.InstanceType{}, sorted("DescribeInstanceTypes", err, name)
	}
	if len(out.InstanceTypes) == 0 {
		return cloud.InstanceType{}, cloud.NotFound("ec2:DescribeInstanceTypes", name)
	}
	described := typeOf(out.InstanceTypes[0])
	described.Zones, err = c.zonesOf(ctx, name)
	return described, err
}

func (c *Client) zonesOf(ctx context.Context, name string) ([]string, error) {
	var zones []string
	pages := ec2.NewDescribeInstanceTypeOfferingsPaginator(c.ec2, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone,
		Filters:      []types.Filter{exactly("instance-type", name)},
		MaxResults:   aws.Int32(c.pageSize),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, sorted("DescribeInstanceTypeOfferings", err)
		}
		for _, o := range page.InstanceTypeOfferings {
			zones = append(zones, aws.ToString(o.Location))
		}
	}
	slices.Sort(zones)
	return zones, nil
}

func typeOf(t types.InstanceTypeInfo) cloud.InstanceType {
	out := cloud.InstanceType{Name: string(t.InstanceType)}
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
	}
	return out
}

// typeCache remembers types, and asks for each only once at a time.
type typeCache struct {
	ask    func(ctx context.Context, name string) (cloud.InstanceType, error)
	now    func() time.Time
	flight singleflight.Group

	mu    sync.Mutex
	known map[string]knownType
}

type knownType struct {
	answer[cloud.InstanceType]
	until time.Time
}

func newTypeCache(ask func(context.Context, string) (cloud.InstanceType, error)) *typeCache {
	return &typeCache{ask: ask, now: time.Now, known: map[string]knownType{}}
}

// get remembers types and that there is none; it asks again after any other
// error. A caller whose ctx ends leaves the request to the others.
func (t *typeCache) get(ctx context.Context, name string) (cloud.InstanceType, error) {
	if known, ok := t.recall(name); ok {
		return clone(known.value), known.err
	}
	asked := t.flight.DoChan(name, func() (any, error) {
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedTimeout)
		defer cancel()
		value, err := t.ask(shared, name)
		t.remember(name, value, err)
		return value, err
	})
	select {
	case result := <-asked:
		value, _ := result.Val.(cloud.InstanceType)
		return clone(value), result.Err
	case <-ctx.Done():
		return cloud.InstanceType{}, stoppedWaiting(ctx, name)
	}
}

func (t *typeCache) recall(name string) (knownType, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[name]
	return known, ok && t.now().Before(known.until)
}

func (t *typeCache) remember(name string, value cloud.InstanceType, err error) {
	lifetime := typeLifetime
	switch {
	case cloud.IsNotFound(err):
		lifetime = missingLifetime
	case err != nil:
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.known, func(_ string, k knownType) bool { return !t.now().Before(k.until) })
	t.known[name] = knownType{answer: answer[cloud.InstanceType]{value, err}, until: t.now().Add(lifetime)}
}

// clone keeps what is remembered out of callers' hands.
func clone(t cloud.InstanceType) cloud.InstanceType {
	t.Architectures, t.Zones = slices.Clone(t.Architectures), slices.Clone(t.Zones)
	return t
}
