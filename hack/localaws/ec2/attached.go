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

// describeNetworkInterfaces lists the interfaces that launches made; there are
// no others.
func (s *Server) describeNetworkInterfaces(_ context.Context, c *Call) (response, error) {
	found, next, err := list(c, s.attachedInstances(), listing[instance]{
		ids: "NetworkInterfaceId", least: 5, idsOrMax: true,
		id:      func(i instance) string { return i.InterfaceID },
		tags:    func(i instance) map[string]string { return i.InterfaceTags },
		missing: func(ids []string) error { return world.NotFound("InvalidNetworkInterfaceID", "networkInterface", ids) },
		fields: fields[instance]{
			"network-interface-id":         one(func(i instance) string { return i.InterfaceID }),
			"attachment.instance-id":       one(func(i instance) string { return i.ID }),
			"subnet-id":                    one(func(i instance) string { return i.SubnetID }),
			"vpc-id":                       one(func(i instance) string { return i.VPCID }),
			"availability-zone":            one(func(i instance) string { return i.Zone }),
			"status":                       always[instance]("in-use"),
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
		x.Zone, x.Tags, x.Attachment.InstanceID = i.Zone, tagSet(i.InterfaceTags), i.ID
		out.Interfaces = append(out.Interfaces, x)
	}
	return out, nil
}

type describeVolumesResponse struct {
	header
	Volumes   []volumeXML `xml:"volumeSet>item"`
	NextToken string      `xml:"nextToken,omitempty"`
}

type volumeXML struct {
	ID          string            `xml:"volumeId"`
	SizeGiB     int               `xml:"size"`
	SnapshotID  string            `xml:"snapshotId"`
	Zone        string            `xml:"availabilityZone"`
	Status      string            `xml:"status"`
	CreateTime  string            `xml:"createTime"`
	Attachments []volumeAttachXML `xml:"attachmentSet>item"`
	Type        string            `xml:"volumeType"`
	IOPS        int               `xml:"iops,omitempty"`
	Throughput  int               `xml:"throughput,omitempty"`
	Encrypted   bool              `xml:"encrypted"`
	KMSKeyID    string            `xml:"kmsKeyId,omitempty"`
	MultiAttach bool              `xml:"multiAttachEnabled"`
	Tags        []tagXML          `xml:"tagSet>item"`
}

type volumeAttachXML struct {
	VolumeID            string `xml:"volumeId"`
	InstanceID          string `xml:"instanceId"`
	Device              string `xml:"device"`
	Status              string `xml:"status"`
	AttachTime          string `xml:"attachTime"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

type attachedVol struct {
	world.Volume
	instance *world.Instance
}

// describeVolumes lists the volumes that launches made. They go with their
// instances: a volume that was to stay is not kept.
func (s *Server) describeVolumes(_ context.Context, c *Call) (response, error) {
	var volumes []attachedVol
	for _, i := range s.attachedInstances() {
		for _, v := range i.Volumes {
			volumes = append(volumes, attachedVol{v, i})
		}
	}
	found, next, err := list(c, volumes, listing[attachedVol]{
		ids: "VolumeId", least: 5,
		id:      func(v attachedVol) string { return v.ID },
		tags:    func(v attachedVol) map[string]string { return v.Tags },
		missing: func(ids []string) error { return world.NotFound("InvalidVolume", "volume", ids) },
		fields: fields[attachedVol]{
			"volume-id":              one(func(v attachedVol) string { return v.ID }),
			"attachment.instance-id": one(func(v attachedVol) string { return v.instance.ID }),
			"attachment.device":      one(func(v attachedVol) string { return v.Device }),
			"availability-zone":      one(func(v attachedVol) string { return v.instance.Zone }),
			"volume-type":            one(func(v attachedVol) string { return v.Type }),
			"size":                   one(func(v attachedVol) string { return itoa(v.SizeGiB) }),
			"encrypted":              one(func(v attachedVol) string { return btoa(v.Encrypted) }),
			"status":                 always[attachedVol]("in-use"),
		},
	})
	if err != nil {
		return nil, err
	}
	out := &describeVolumesResponse{NextToken: next}
	for _, v := range found {
		since := timestamp(v.instance.LaunchTime)
		out.Volumes = append(out.Volumes, volumeXML{
			ID: v.ID, SizeGiB: v.SizeGiB, SnapshotID: v.SnapshotID, Zone: v.instance.Zone, Status: "in-use", CreateTime: since,
			Type: v.Type, IOPS: v.IOPS, Throughput: v.Throughput, Encrypted: v.Encrypted, KMSKeyID: v.KMSKeyARN, Tags: tagSet(v.Tags),
			Attachments: []volumeAttachXML{{v.ID, v.instance.ID, v.Device, "attached", since, v.DeleteOnTermination}},
		})
	}
	return out, nil
}
