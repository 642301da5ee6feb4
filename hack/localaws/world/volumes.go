package world

import (
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
)

// volumeLimits are the sizes EBS allows, in GiB, by volume type.
var volumeLimits = map[string]struct{ least, most int }{
	"gp2": {1, 16384}, "gp3": {1, 65536}, "io1": {4, 16384}, "io2": {4, 65536},
	"st1": {125, 16384}, "sc1": {125, 16384}, "standard": {1, 1024},
}

// resolveVolumes lays the request's device mappings over the image's only one,
// the root device.
func (w *World) resolveVolumes(req LaunchRequest, p *plan) error {
	root := Device{Name: p.image.RootDevice, Type: "gp3", SnapshotID: p.image.SnapshotID}
	devices := []Device{root}
	for _, d := range req.Devices {
		if d.Name == "" {
			return awserr.New("MissingParameter", "The request must contain the parameter BlockDeviceMapping.DeviceName")
		}
		if i := slices.IndexFunc(devices, func(have Device) bool { return have.Name == d.Name }); i > 0 {
			return awserr.New("InvalidBlockDeviceMapping", "The device '%s' is used in more than one block-device mapping", d.Name)
		}
		if d.Name != root.Name {
			devices = append(devices, d)
			continue
		}
		if d.NoDevice {
			return awserr.New("InvalidBlockDeviceMapping", "The root device '%s' cannot be suppressed", d.Name)
		}
		if d.SnapshotID != "" && d.SnapshotID != root.SnapshotID {
			return awserr.New("InvalidBlockDeviceMapping", "snapshotId cannot be modified on root device")
		}
		d.SnapshotID = root.SnapshotID
		devices[0] = d
	}
	for _, d := range devices {
		if d.NoDevice {
			continue
		}
		v, err := volume(d, p, "arn:aws:kms:"+w.Catalog.Region+":"+w.Catalog.Account+":")
		if err != nil {
			return err
		}
		p.volumes = append(p.volumes, v)
	}
	return nil
}

func volume(d Device, p *plan, keys string) (Volume, error) {
	v := Volume{Device: d.Name, Type: d.Type, Encrypted: d.Encrypted, SnapshotID: d.SnapshotID, DeleteOnTermination: true,
		IOPS: d.IOPS, Throughput: d.Throughput}
	if v.Type == "" {
		v.Type = "gp3"
	}
	if d.DeleteOnTermination != nil {
		v.DeleteOnTermination = *d.DeleteOnTermination
	}
	least := 0
	if d.SnapshotID != "" {
		if d.SnapshotID != p.image.SnapshotID {
			return v, awserr.New("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", d.SnapshotID)
		}
		least, v.SizeGiB = p.image.SnapshotGiB, p.image.SnapshotGiB
	}
	if d.SizeGiB != nil {
		v.SizeGiB = *d.SizeGiB
	} else if d.SnapshotID == "" {
		return v, awserr.New("MissingParameter", "The request must contain the parameter size or snapshotId for device '%s'", d.Name)
	}
	if v.SizeGiB < least {
		return v, awserr.New("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", v.SizeGiB, d.SnapshotID, least)
	}
	limits, ok := volumeLimits[v.Type]
	if !ok {
		return v, awserr.New("InvalidParameterValue", "Value (%s) for parameter volumeType is invalid.", v.Type)
	}
	if v.SizeGiB < limits.least || v.SizeGiB > limits.most {
		return v, awserr.New("InvalidParameterValue", "Volume of %dGiB is invalid; %s volumes must be between %dGiB and %dGiB in size", v.SizeGiB, v.Type, limits.least, limits.most)
	}
	if err := perform(&v); err != nil {
		return v, err
	}
	return v, encrypt(&v, d.KMSKeyID, keys)
}

// encrypt gives an encrypted volume its key: the account's own for EBS unless
// another is named, by id, ARN or alias. keys is what ARNs of keys begin with.
func encrypt(v *Volume, key, keys string) error {
	switch {
	case key != "" && !v.Encrypted:
		return awserr.New("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	case !v.Encrypted:
	case key == "":
		v.KMSKeyARN = keys + "key/00000000-0000-4000-8000-0000c0ffee50"
	case strings.HasPrefix(key, "arn:"):
		v.KMSKeyARN = key
	case strings.HasPrefix(key, "alias/"):
		v.KMSKeyARN = keys + key
	default:
		v.KMSKeyARN = keys + "key/" + key
	}
	return nil
}
