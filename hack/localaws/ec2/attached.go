package ec2

import (
	"context"

	"kip.elotl.co/hack/localaws/world"
)

type describeInterfacesResponse struct {
	header
	Interfaces []interfaceXML `xml:"networkInterfaceSet>item"`
	NextToken  string         `xml:"nextToken,omitempty"`
}

// attachedInstances are the instances that still have something attached.
func (s *Server) attachedInstances() []*world.Instance {
	return keep(s.World.Instances(), func(i *world.Instance) bool { return i.State != world.Terminated })
}

// What an instance has is in use, what it has left behind is not.
const (
	inUse     = "in-use"
	available = "available"
)

func useOf(i *world.Instance) string {
	if i.State == world.Terminated {
		return available
	}
	return inUse
}

// attachedTo is the instance that has something, "" for none.
func attachedTo(i *world.Instance) string {
	if i.State == world.Terminated {
		return ""
	}
	return i.ID
}

// describeNetworkInterfaces lists the interfaces that launches made; there are
// no others.
func (s *Server) describeNetworkInterfaces(_ context.Context, c *Call) (response, error) {
	left := keep(s.World.Left(), func(i *world.Instance) bool { return i.InterfaceID != "" })
	found, next, err := list(c, append(s.attachedInstances(), left...), listing[instance]{
		ids: "NetworkInterfaceId", least: 5, idsOrMax: true,
		id:      func(i instance) string { return i.InterfaceID },
		tags:    s.interfaceTags,
		missing: func(ids []string) error { return world.NotFound("InvalidNetworkInterfaceID", "networkInterface", ids) },
		fields: fields[instance]{
			"network-interface-id":         one(func(i instance) string { return i.InterfaceID }),
			"attachment.instance-id":       one(attachedTo),
			"subnet-id":                    one(func(i instance) string { return i.SubnetID }),
			"vpc-id":                       one(func(i instance) string { return i.VPCID }),
			"availability-zone":            one(func(i instance) string { return i.Zone }),
			"status":                       one(useOf),
			"mac-address":                  one(func(i instance) string { return i.MAC }),
			"private-ip-address":           one(func(i instance) string { return i.PrivateIP().String() }),
			"addresses.private-ip-address": privateAddresses,
			"group-id":                     func(i instance) []string { return i.Groups },
		},
	})
	if err != nil {
		return nil, err
	}
	out := &describeInterfacesResponse{NextToken: next}
	for _, i := range found {
		x := s.networkInterface(i)
		x.Zone, x.Status, x.Tags = i.Zone, useOf(i), tagSet(s.interfaceTags(i))
		if x.Attachment.InstanceID = attachedTo(i); x.Attachment.InstanceID == "" {
			x.Attachment = nil
		}
		out.Interfaces = append(out.Interfaces, x)
	}
	return out, nil
}

func (s *Server) interfaceTags(i instance) map[string]string {
	if i.State == world.Terminated {
		return s.World.TagsOf(i.InterfaceID)
	}
	return i.InterfaceTags
}

func (s *Server) deleteNetworkInterface(_ context.Context, c *Call) (response, error) {
	id := c.Params.Required("NetworkInterfaceId")
	if err := c.finish(); err != nil {
		return nil, err
	}
	if err := s.World.DeleteInterface(id); err != nil {
		return nil, err
	}
	return &done{Return: true}, nil
}
