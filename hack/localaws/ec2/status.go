package ec2

import (
	"context"
	"encoding/base64"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/world"
)

type describeStatusResponse struct {
	header
	Statuses  []statusXML `xml:"instanceStatusSet>item"`
	NextToken string      `xml:"nextToken,omitempty"`
}

type statusXML struct {
	ID       string     `xml:"instanceId"`
	Zone     string     `xml:"availabilityZone"`
	ZoneID   string     `xml:"availabilityZoneId"`
	Events   []eventXML `xml:"eventsSet>item"`
	State    stateXML   `xml:"instanceState"`
	System   summaryXML `xml:"systemStatus"`
	Instance summaryXML `xml:"instanceStatus"`
}

type summaryXML struct {
	Status  string          `xml:"status"`
	Details []reachableItem `xml:"details>item"`
}

type reachableItem struct {
	Name   string `xml:"name"`
	Status string `xml:"status"`
}

// maxStatusIDs is how many instances a call can name.
const maxStatusIDs = 100

func (s *Server) describeInstanceStatus(_ context.Context, c *Call) (response, error) {
	ids := c.Params.Strings("InstanceId")
	all := isTrue(c.Params.Bool("IncludeAllInstances"))
	if len(ids) > maxStatusIDs {
		return nil, awserr.New("InvalidParameterValue", "At most %d instance IDs can be specified, not %d", maxStatusIDs, len(ids))
	}
	shown := func(i instance) bool { return all || i.State == world.Running }
	found, next, err := s.selectInstances(c, ids, s.statusFields(), nil, shown)
	if err != nil {
		return nil, err
	}
	out := &describeStatusResponse{NextToken: next}
	for _, i := range found {
		p := s.placement(i)
		out.Statuses = append(out.Statuses, statusXML{ID: i.ID, Zone: p.Zone, ZoneID: p.ZoneID, Events: scheduled(i), State: stateXML(i.State), System: systemStatus(i), Instance: instanceStatus(i)})
	}
	return out, nil
}

// statusFields are DescribeInstanceStatus' filters. It has none for tags.
func (s *Server) statusFields() fields[instance] {
	return fields[instance]{
		"availability-zone":            one(func(i instance) string { return i.Zone }),
		"availability-zone-id":         one(func(i instance) string { return s.placement(i).ZoneID }),
		"instance-state-code":          one(func(i instance) string { return itoa(i.State.Code) }),
		"instance-state-name":          one(func(i instance) string { return i.State.Name }),
		"instance-status.status":       one(func(i instance) string { return instanceStatus(i).Status }),
		"instance-status.reachability": func(i instance) []string { return reachable(instanceStatus(i)) },
		"system-status.status":         one(func(i instance) string { return systemStatus(i).Status }),
		"system-status.reachability":   func(i instance) []string { return reachable(systemStatus(i)) },
	}
}

type attributeResponse struct {
	header
	ID                    string           `xml:"instanceId"`
	UserData              *textValue       `xml:"userData"`
	InstanceType          *textValue       `xml:"instanceType"`
	OnShutdown            *textValue       `xml:"instanceInitiatedShutdownBehavior"`
	RootDeviceName        *textValue       `xml:"rootDeviceName"`
	DisableAPITermination *boolValue       `xml:"disableApiTermination"`
	SourceDestCheck       *boolValue       `xml:"sourceDestCheck"`
	EBSOptimized          *boolValue       `xml:"ebsOptimized"`
	ENASupport            *boolValue       `xml:"enaSupport"`
	Groups                []groupXML       `xml:"groupSet>item"`
	Devices               []instanceDevice `xml:"blockDeviceMapping>item"`
}

// textValue is left without a value where EC2 leaves it so: no user data.
type textValue struct {
	Value *string `xml:"value"`
}

type boolValue struct {
	Value bool `xml:"value"`
}

func text(s string) *textValue {
	if s == "" {
		return &textValue{}
	}
	return &textValue{&s}
}

func (s *Server) describeInstanceAttribute(_ context.Context, c *Call) (response, error) {
	id, attribute := c.Params.Required("InstanceId"), c.Params.Required("Attribute")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, err := s.pick([]string{id})
	if err != nil {
		return nil, err
	}
	i := found[0]
	out := &attributeResponse{ID: i.ID}
	switch attribute {
	case "userData":
		out.UserData = text(base64.StdEncoding.EncodeToString(i.UserData))
	case "instanceType":
		out.InstanceType = text(i.InstanceType)
	case "instanceInitiatedShutdownBehavior":
		out.OnShutdown = text(i.OnShutdown)
	case "rootDeviceName":
		out.RootDeviceName = text(i.RootDevice)
	case "disableApiTermination":
		out.DisableAPITermination = &boolValue{i.DisableAPITermination}
	case "sourceDestCheck":
		out.SourceDestCheck = &boolValue{i.SourceDestCheckOn}
	case "ebsOptimized":
		out.EBSOptimized = &boolValue{i.EBSOptimized}
	case "enaSupport":
		image, _ := s.World.Catalog.Image(i.ImageID)
		out.ENASupport = &boolValue{image.ENA}
	case "groupSet":
		out.Groups = s.groups(i.Groups)
	case "blockDeviceMapping":
		for _, v := range i.Volumes {
			out.Devices = append(out.Devices, attachedVolume(i, v))
		}
	default:
		return nil, awserr.New("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", attribute)
	}
	return out, nil
}

type consoleResponse struct {
	header
	ID        string `xml:"instanceId"`
	Timestamp string `xml:"timestamp"`
	Output    string `xml:"output,omitempty"`
}

func (s *Server) getConsoleOutput(_ context.Context, c *Call) (response, error) {
	id := c.Params.Required("InstanceId")
	c.Params.Bool("Latest")
	if err := c.finish(); err != nil {
		return nil, err
	}
	if _, err := s.pick([]string{id}); err != nil {
		return nil, err
	}
	return &consoleResponse{ID: id, Timestamp: timestamp(s.Clock.Now()), Output: base64.StdEncoding.EncodeToString(s.World.Console(id))}, nil
}
