package imds

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/iam"
)

// versions are what the service lists at its root; all show the same tree.
func versions() []string {
	return []string{"1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2020-10-27", "2021-03-23", "latest"}
}

func isVersion(v string) bool { return slices.Contains(versions(), v) }

// tree is what an instance can read, by path below the version.
func tree(spec boot.Spec) map[string]string {
	t := map[string]string{
		"dynamic/instance-identity/document":    identity(spec),
		"meta-data/ami-id":                      spec.ImageID,
		"meta-data/ami-launch-index":            "0",
		"meta-data/instance-id":                 spec.InstanceID,
		"meta-data/instance-type":               spec.InstanceType,
		"meta-data/mac":                         spec.MAC,
		"meta-data/placement/availability-zone": spec.Zone,
		"meta-data/placement/region":            spec.Region,
		"meta-data/services/domain":             "amazonaws.com",
		"meta-data/services/partition":          "aws",
	}
	if len(spec.PrivateIPs) > 0 {
		name := Hostname(spec)
		t["meta-data/hostname"] = name
		t["meta-data/local-hostname"] = name
		t["meta-data/local-ipv4"] = spec.PrivateIPs[0].String()
		addInterface(t, spec, name)
	}
	if spec.InstanceProfileARN != "" {
		t["meta-data/iam/info"] = document(map[string]string{"Code": "Success", "InstanceProfileArn": spec.InstanceProfileARN})
	}
	addNotices(t, spec)
	if len(spec.UserData) > 0 {
		t["user-data"] = string(spec.UserData)
	}
	return t
}

// addIdentity is what an instance has from its profile's role.
func addIdentity(t map[string]string, spec boot.Spec, identity iam.Identity) {
	credentials := identity.Document()
	t["meta-data/iam/info"] = document(map[string]string{
		"Code": "Success", "LastUpdated": credentials["LastUpdated"], "InstanceProfileArn": spec.InstanceProfileARN, "InstanceProfileId": identity.ProfileID,
	})
	t["meta-data/iam/security-credentials/"+identity.Role] = document(credentials)
}

func addInterface(t map[string]string, spec boot.Spec, name string) {
	ips := make([]string, 0, len(spec.PrivateIPs))
	for _, ip := range spec.PrivateIPs {
		ips = append(ips, ip.String())
	}
	base := "meta-data/network/interfaces/macs/" + spec.MAC + "/"
	t[base+"device-number"] = "0"
	t[base+"local-hostname"] = name
	t[base+"local-ipv4s"] = strings.Join(ips, "\n")
	t[base+"mac"] = spec.MAC
	if spec.SubnetCIDR.IsValid() {
		t[base+"subnet-ipv4-cidr-block"] = spec.SubnetCIDR.String()
	}
}

// Hostname is the private DNS name that EC2 gives an instance by default:
// ip-10-0-0-1.REGION.compute.internal, or .ec2.internal in us-east-1. It is
// empty for an instance without addresses.
func Hostname(spec boot.Spec) string {
	if len(spec.PrivateIPs) == 0 {
		return ""
	}
	domain := spec.Region + ".compute.internal"
	if spec.Region == "us-east-1" {
		domain = "ec2.internal"
	}
	return "ip-" + strings.ReplaceAll(spec.PrivateIPs[0].String(), ".", "-") + "." + domain
}

// identity is the instance identity document, unsigned.
func identity(spec boot.Spec) string {
	doc := map[string]any{
		"accountId":               account(spec.InstanceProfileARN),
		"architecture":            spec.Architecture,
		"availabilityZone":        spec.Zone,
		"billingProducts":         nil,
		"devpayProductCodes":      nil,
		"imageId":                 spec.ImageID,
		"instanceId":              spec.InstanceID,
		"instanceType":            spec.InstanceType,
		"kernelId":                nil,
		"marketplaceProductCodes": nil,
		"ramdiskId":               nil,
		"region":                  spec.Region,
		"version":                 "2017-09-30",
	}
	if len(spec.PrivateIPs) > 0 {
		doc["privateIp"] = spec.PrivateIPs[0].String()
	}
	return document(doc)
}

// account is the account ID in arn:aws:iam::ID:…, else the emulated account's.
func account(arn string) string {
	if fields := strings.SplitN(arn, ":", 6); len(fields) == 6 && fields[4] != "" {
		return fields[4]
	}
	return catalog.Account
}

func document(v any) string {
	out, _ := json.MarshalIndent(v, "", "  ") // maps of strings and nil always marshal
	return string(out)
}

// lookup is the value at a path, or the listing of a directory: its entries
// in order, one a line, those that have entries of their own with a slash.
func lookup(t map[string]string, path string) (string, bool) {
	if value, ok := t[path]; ok {
		return value, true
	}
	prefix := path + "/"
	if path == "" {
		prefix = ""
	}
	entries := map[string]bool{}
	for key := range t {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		name, _, isDir := strings.Cut(rest, "/")
		if isDir {
			name += "/"
		}
		entries[name] = true
	}
	if len(entries) == 0 {
		return "", false
	}
	return strings.Join(slices.Sorted(maps.Keys(entries)), "\n"), true
}
