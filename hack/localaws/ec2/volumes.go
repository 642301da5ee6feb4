package ec2

import (
	"context"

	"kip.elotl.co/hack/localaws/world"
)

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

// volumeOf is a volume and the instance that has it, or has left it behind.
type volumeOf struct {
	world.Volume
	instance *world.Instance
}

func (s *Server) volumes() []volumeOf {
	var volumes []volumeOf
	for _, i := range append(s.attachedInstances(), s.World.Left()...) {
		for _, v := range i.Volumes {
			if i.State == world.Terminated {
				v.Tags = s.World.TagsOf(v.ID)
			}
			volumes = append(volumes, volumeOf{v, i})
		}
	}
	return volumes
}

// describeVolumes lists the volumes that launches made; there are no others.
func (s *Server) describeVolumes(_ context.Context, c *Call) (response, error) {
	found, next, err := list(c, s.volumes(), listing[volumeOf]{
		ids: "VolumeId", least: 5,
		id:      func(v volumeOf) string { return v.ID },
		tags:    func(v volumeOf) map[string]string { return v.Tags },
		missing: func(ids []string) error { return world.NotFound("InvalidVolume", "volume", ids) },
		fields: fields[volumeOf]{
			"volume-id":              one(func(v volumeOf) string { return v.ID }),
			"attachment.instance-id": one(func(v volumeOf) string { return attachedTo(v.instance) }),
			"attachment.device":      one(func(v volumeOf) string { return v.Device }),
			"availability-zone":      one(func(v volumeOf) string { return v.instance.Zone }),
			"volume-type":            one(func(v volumeOf) string { return v.Type }),
			"size":                   one(func(v volumeOf) string { return itoa(v.SizeGiB) }),
			"encrypted":              one(func(v volumeOf) string { return btoa(v.Encrypted) }),
			"status":                 one(func(v volumeOf) string { return useOf(v.instance) }),
		},
	})
	if err != nil {
		return nil, err
	}
	out := &describeVolumesResponse{NextToken: next}
	for _, v := range found {
		out.Volumes = append(out.Volumes, v.xml())
	}
	return out, nil
}

func (v volumeOf) xml() volumeXML {
	since := timestamp(v.instance.LaunchTime)
	x := volumeXML{
		ID: v.ID, SizeGiB: v.SizeGiB, SnapshotID: v.SnapshotID, Zone: v.instance.Zone, Status: useOf(v.instance), CreateTime: since,
		Type: v.Type, IOPS: v.IOPS, Throughput: v.Throughput, Encrypted: v.Encrypted, KMSKeyID: v.KMSKeyARN, Tags: tagSet(v.Tags),
	}
	if id := attachedTo(v.instance); id != "" {
		x.Attachments = []volumeAttachXML{{v.ID, id, v.Device, "attached", since, v.DeleteOnTermination}}
	}
	return x
}

func (s *Server) deleteVolume(_ context.Context, c *Call) (response, error) {
	id := c.Params.Required("VolumeId")
	if err := c.finish(); err != nil {
		return nil, err
	}
	if err := s.World.DeleteVolume(id); err != nil {
		return nil, err
	}
	return &done{Return: true}, nil
}
