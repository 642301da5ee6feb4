package ec2

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/world"
)

var instanceID = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// checkInstanceIDs refuses ids of the wrong form, before any is looked up.
func checkInstanceIDs(ids []string) error {
	for _, id := range ids {
		if !instanceID.MatchString(id) {
			return awserr.New("InvalidInstanceID.Malformed", "Invalid id: %q", id)
		}
	}
	return nil
}

// pick finds the instances named, all visible ones when none is, in the order
// of launch.
func (s *Server) pick(ids []string) ([]*world.Instance, error) {
	if err := checkInstanceIDs(ids); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return s.World.Instances(), nil
	}
	var out []*world.Instance
	for _, id := range ids {
		i, ok := s.World.Instance(id)
		if !ok {
			return nil, world.UnknownInstances(s.World, ids)
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b *world.Instance) int { return cmp.Compare(a.Seq, b.Seq) })
	return slices.CompactFunc(out, func(a, b *world.Instance) bool { return a.ID == b.ID }), nil
}

// launchOrder is the paging key of instances.
func launchOrder(i *world.Instance) string { return fmt.Sprintf("%012d", i.Seq) }

type terminateResponse struct {
	header
	Instances []stateChangeXML `xml:"instancesSet>item"`
}

type stateChangeXML struct {
	ID       string   `xml:"instanceId"`
	Current  stateXML `xml:"currentState"`
	Previous stateXML `xml:"previousState"`
}

func (s *Server) terminateInstances(_ context.Context, c *Call) (response, error) {
	ids := c.Params.Strings("InstanceId")
	c.Params.Bool("Force")
	c.Params.Bool("SkipOsShutdown")
	if err := c.finish(); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, awserr.New("MissingParameter", "The request must contain the parameter InstanceId")
	}
	if err := checkInstanceIDs(ids); err != nil {
		return nil, err
	}
	changes, err := s.World.Terminate(ids)
	if err != nil {
		return nil, err
	}
	out := &terminateResponse{}
	for _, ch := range changes {
		out.Instances = append(out.Instances, stateChangeXML{ID: ch.ID, Current: stateXML(ch.After), Previous: stateXML(ch.Before)})
	}
	return out, nil
}

type describeInstancesResponse struct {
	header
	Reservations []reservationXML `xml:"reservationSet>item"`
	NextToken    string           `xml:"nextToken,omitempty"`
}

func (s *Server) describeInstances(_ context.Context, c *Call) (response, error) {
	ids := c.Params.Strings("InstanceId")
	tags := func(i instance) map[string]string { return i.Tags }
	found, next, err := s.selectInstances(c, ids, s.instanceFields(), tags)
	if err != nil {
		return nil, err
	}
	return &describeInstancesResponse{Reservations: s.byReservation(found), NextToken: next}, nil
}

// selectInstances does what the two calls that list instances have in common:
// ids, filters (those by tag only with tags) and pages.
func (s *Server) selectInstances(c *Call, ids []string, known fields[instance], tags func(instance) map[string]string, also ...func(instance) bool) ([]instance, string, error) {
	pages, err := readPaging(c.Params, 5, 1000, 0)
	if err != nil {
		return nil, "", err
	}
	if len(ids) > 0 && pages.size > 0 {
		return nil, "", awserr.New("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	}
	test, err := selects(readFilters(c.Params), known, tags)
	if err != nil {
		return nil, "", err
	}
	c.Params.Bool("IncludeManagedResources")
	if err := c.finish(); err != nil {
		return nil, "", err
	}
	instances, err := s.pick(ids)
	if err != nil {
		return nil, "", err
	}
	for _, t := range also {
		instances = keep(instances, t)
	}
	found, next := page(keep(instances, test), pages, launchOrder)
	return found, next, nil
}

// byReservation groups instances as they were launched, in the order of the
// first of each group.
func (s *Server) byReservation(instances []*world.Instance) []reservationXML {
	var order []string
	groups := map[string][]*world.Instance{}
	for _, i := range instances {
		if groups[i.ReservationID] == nil {
			order = append(order, i.ReservationID)
		}
		groups[i.ReservationID] = append(groups[i.ReservationID], i)
	}
	var out []reservationXML
	for _, id := range order {
		out = append(out, s.reservation(id, groups[id]))
	}
	return out
}

type instance = *world.Instance

// instanceFields are DescribeInstances' filters.
func (s *Server) instanceFields() fields[instance] {
	return fields[instance]{
		"instance-id":                  one(func(i instance) string { return i.ID }),
		"instance-state-name":          one(func(i instance) string { return i.State.Name }),
		"instance-state-code":          one(func(i instance) string { return itoa(i.State.Code) }),
		"state-reason-code":            one(func(i instance) string { return i.StateReason.Code }),
		"client-token":                 one(func(i instance) string { return i.ClientToken }),
		"reservation-id":               one(func(i instance) string { return i.ReservationID }),
		"image-id":                     one(func(i instance) string { return i.ImageID }),
		"instance-type":                one(func(i instance) string { return i.InstanceType }),
		"architecture":                 one(func(i instance) string { return i.Architecture }),
		"availability-zone":            one(func(i instance) string { return i.Zone }),
		"iam-instance-profile.arn":     one(func(i instance) string { return i.ProfileARN }),
		"launch-time":                  one(func(i instance) string { return timestamp(i.LaunchTime) }),
		"spot-instance-request-id":     one(func(i instance) string { return i.SpotRequestID }),
		"metadata-options.http-tokens": one(func(i instance) string { return metadataOptions(i).Tokens }),
		"owner-id":                     always[instance](s.World.Catalog.Account),
		"virtualization-type":          one(func(i instance) string { image, _ := s.World.Catalog.Image(i.ImageID); return image.Virtualization }),
		"root-device-type":             always[instance]("ebs"),
		"tenancy":                      one(func(i instance) string { return i.Tenancy }),
		"instance-lifecycle": func(i instance) []string {
			return keep([]string{i.Market}, func(m string) bool { return m == world.Spot })
		},
		"subnet-id":                   attached(func(i instance) []string { return []string{i.SubnetID} }),
		"vpc-id":                      attached(func(i instance) []string { return []string{i.VPCID} }),
		"private-ip-address":          attached(func(i instance) []string { return []string{i.PrivateIP().String()} }),
		"private-dns-name":            attached(func(i instance) []string { return []string{s.privateDNS(i.PrivateIP())} }),
		"ip-address":                  attached(publicAddress),
		"instance.group-id":           attached(func(i instance) []string { return i.Groups }),
		"network-interface.subnet-id": attached(func(i instance) []string { return []string{i.SubnetID} }),
		"network-interface.addresses.private-ip-address": attached(privateAddresses),
	}
}

// attached makes a field that terminated instances have no value for.
func attached(values func(instance) []string) func(instance) []string {
	return func(i instance) []string {
		if i.State == world.Terminated {
			return nil
		}
		return values(i)
	}
}

func publicAddress(i instance) []string {
	if !i.PublicIP.IsValid() {
		return nil
	}
	return []string{i.PublicIP.String()}
}

func privateAddresses(i instance) []string {
	var out []string
	for _, a := range i.PrivateIPs {
		out = append(out, a.String())
	}
	return out
}
