package ec2

import (
	"context"
	"regexp"
	"slices"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/catalog"
)

type describeImagesResponse struct {
	header
	Images    []imageXML `xml:"imagesSet>item"`
	NextToken string     `xml:"nextToken,omitempty"`
}

type imageXML struct {
	ID             string           `xml:"imageId"`
	Location       string           `xml:"imageLocation"`
	State          string           `xml:"imageState"`
	OwnerID        string           `xml:"imageOwnerId"`
	OwnerAlias     string           `xml:"imageOwnerAlias,omitempty"`
	CreationDate   string           `xml:"creationDate"`
	Public         bool             `xml:"isPublic"`
	Architecture   string           `xml:"architecture"`
	ImageType      string           `xml:"imageType"`
	Name           string           `xml:"name"`
	Description    string           `xml:"description"`
	RootDeviceType string           `xml:"rootDeviceType"`
	RootDeviceName string           `xml:"rootDeviceName"`
	Devices        []imageDeviceXML `xml:"blockDeviceMapping>item"`
	Virtualization string           `xml:"virtualizationType"`
	Hypervisor     string           `xml:"hypervisor"`
	ENASupport     bool             `xml:"enaSupport"`
	BootMode       string           `xml:"bootMode,omitempty"`
	Platform       string           `xml:"platformDetails"`
	UsageOperation string           `xml:"usageOperation"`
	Tags           []tagXML         `xml:"tagSet>item"`
}

type imageDeviceXML struct {
	Name string `xml:"deviceName"`
	EBS  struct {
		SnapshotID          string `xml:"snapshotId"`
		SizeGiB             int    `xml:"volumeSize"`
		Type                string `xml:"volumeType"`
		DeleteOnTermination bool   `xml:"deleteOnTermination"`
		Encrypted           bool   `xml:"encrypted"`
	} `xml:"ebs"`
}

var imageID = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)

func (s *Server) describeImages(_ context.Context, c *Call) (response, error) {
	p := c.Params
	ids, owners, users := p.Strings("ImageId"), p.Strings("Owner"), p.Strings("ExecutableBy")
	p.Bool("IncludeDeprecated")
	p.Bool("IncludeDisabled")
	pages, err := readPaging(p, 1, 1000, 0)
	if err != nil {
		return nil, err
	}
	test, err := selects(readFilters(p), imageFields(), s.imageTags)
	if err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	if len(ids) > 0 && p.Int("MaxResults") != nil {
		return nil, awserr.New("InvalidParameterCombination", "The parameter imagesSet cannot be used with the parameter maxResults")
	}
	if err := s.checkImageIDs(ids); err != nil {
		return nil, err
	}
	images := keep(s.World.Catalog.Images, func(i catalog.Image) bool {
		return (len(ids) == 0 || slices.Contains(ids, i.ID)) && s.ownedBy(i, owners) && s.executableBy(i, users) && test(i)
	})
	found, next := page(images, pages, func(i catalog.Image) string { return i.ID })
	out := &describeImagesResponse{NextToken: next}
	for _, i := range found {
		out.Images = append(out.Images, s.image(i))
	}
	return out, nil
}

func (s *Server) checkImageIDs(ids []string) error {
	for _, id := range ids {
		if !imageID.MatchString(id) {
			return awserr.New("InvalidAMIID.Malformed", "Invalid id: %q (expecting \"ami-...\")", id)
		}
	}
	for _, id := range ids {
		if _, ok := s.World.Catalog.Image(id); !ok {
			return awserr.New("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
		}
	}
	return nil
}

// ownedBy says whether one of owners owns the image: self, an account id, or
// an alias of AWS's.
func (s *Server) ownedBy(i catalog.Image, owners []string) bool {
	return len(owners) == 0 || slices.ContainsFunc(owners, func(o string) bool {
		return o == i.Owner || o == "self" && i.Owner == s.World.Catalog.Account || o == i.OwnerAlias && o != ""
	})
}

// executableBy says whether one of users was given the image to launch: all
// for public ones, self or the account's id for those shared with it
// explicitly, of which there are none but its own.
func (s *Server) executableBy(i catalog.Image, users []string) bool {
	account := s.World.Catalog.Account
	return len(users) == 0 || slices.ContainsFunc(users, func(u string) bool {
		return u == "all" && i.Public || (u == "self" || u == account) && i.Owner == account
	})
}

func (s *Server) imageTags(i catalog.Image) map[string]string { return s.World.TagsOf(i.ID) }

func imageFields() fields[catalog.Image] {
	type image = catalog.Image
	return fields[image]{
		"image-id":                         one(func(i image) string { return i.ID }),
		"name":                             one(func(i image) string { return i.Name }),
		"description":                      one(func(i image) string { return i.Description }),
		"architecture":                     one(func(i image) string { return i.Architecture }),
		"state":                            one(func(i image) string { return i.State }),
		"owner-id":                         one(func(i image) string { return i.Owner }),
		"owner-alias":                      one(func(i image) string { return i.OwnerAlias }),
		"is-public":                        one(func(i image) string { return btoa(i.Public) }),
		"creation-date":                    one(func(i image) string { return timestamp(i.CreationDate) }),
		"root-device-name":                 one(func(i image) string { return i.RootDevice }),
		"root-device-type":                 always[image]("ebs"),
		"virtualization-type":              one(func(i image) string { return i.Virtualization }),
		"hypervisor":                       always[image]("xen"),
		"boot-mode":                        one(func(i image) string { return i.BootMode }),
		"image-type":                       always[image]("machine"),
		"ena-support":                      one(func(i image) string { return btoa(i.ENA) }),
		"platform-details":                 always[image]("Linux/UNIX"),
		"block-device-mapping.snapshot-id": one(func(i image) string { return i.SnapshotID }),
		"block-device-mapping.volume-size": one(func(i image) string { return itoa(i.SnapshotGiB) }),
	}
}

func (s *Server) image(i catalog.Image) imageXML {
	x := imageXML{
		ID: i.ID, Location: i.Owner + "/" + i.Name, State: i.State, OwnerID: i.Owner, OwnerAlias: i.OwnerAlias,
		CreationDate: timestamp(i.CreationDate), Public: i.Public, Architecture: i.Architecture, ImageType: "machine",
		Name: i.Name, Description: i.Description, RootDeviceType: "ebs", RootDeviceName: i.RootDevice,
		Virtualization: i.Virtualization, Hypervisor: "xen", ENASupport: i.ENA, BootMode: i.BootMode,
		Platform: "Linux/UNIX", UsageOperation: "RunInstances", Tags: tagSet(s.imageTags(i)),
	}
	d := imageDeviceXML{Name: i.RootDevice}
	d.EBS.SnapshotID, d.EBS.SizeGiB, d.EBS.Type, d.EBS.DeleteOnTermination = i.SnapshotID, i.SnapshotGiB, "gp3", true
	x.Devices = []imageDeviceXML{d}
	return x
}
