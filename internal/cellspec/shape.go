package cellspec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/api/v1beta1"
)

// part is something of a class that shapes each of its cells.
type part struct {
	// name stands for it in a Shape, field is where a class says it.
	name, field string
	value       any
}

// partsOf are what a class with a cloud-init document gives a cell, but for the
// offering, the image and the certificate, which are the attempt's own.
func partsOf(spec *v1beta1.CellSpec, class *v1beta1.CellClass, document string) []part {
	is := &class.Spec
	groups := slices.Sorted(slices.Values(class.Status.SecurityGroups))
	var profile, size, off string
	if spec.InstanceProfile == "" {
		profile = is.DefaultIAMPermissions
	}
	if spec.VolumeSize == nil {
		size = sizeText(is.DefaultVolumeSize)
	}
	if is.PowerOffAfter != nil {
		off = is.PowerOffAfter.Duration.String()
	}
	return []part{
		{"agent", "spec.itzo", is.Itzo},
		{"config", "spec.cellConfig", is.CellConfig},
		{"groups", "spec.extraSecurityGroups", groups},
		{"init", "spec.cloudInit", document},
		{"network", "spec.privateIPOnly", PrivateIPOnly(spec, class)},
		{"off", "spec.powerOffAfter", off},
		{"parameters", "spec.useCloudParameterStore", []any{is.UseCloudParameterStore, is.AWS.ParameterStore}},
		{"profile", "spec.defaultIAMPermissions", profile},
		{"tags", "spec.aws.tags", is.AWS.Tags},
		{"tenancy", "spec.aws.tenancy", is.AWS.Tenancy},
		{"volume", "spec.aws.rootVolume", []any{is.AWS.RootVolume, size}},
	}
}

func sizeText(size *resource.Quantity) string {
	if size == nil {
		return ""
	}
	return fmt.Sprint(size.Value())
}

// digest is of eight hexadecimal digits.
func (p part) digest() string {
	value, err := json.Marshal(p.value)
	if err != nil {
		panic(p.field + " cannot be encoded: " + err.Error())
	}
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:4])
}

// Shape has a digest of each part of the class that shapes a cell: name:digest,
// parted by blanks, of at most 256 characters, so that a tag can hold it.
func Shape(spec *v1beta1.CellSpec, class *v1beta1.CellClass, document string) string {
	parts := partsOf(spec, class, document)
	digests := make([]string, len(parts))
	for i, p := range parts {
		digests[i] = p.name + ":" + p.digest()
	}
	return strings.Join(digests, " ")
}

// Drift says in what the class, which is Ready, would make the cell of an
// attempt otherwise now, by the fields of the class. What the attempt does not
// tell is taken to be as it was.
func Drift(spec *v1beta1.CellSpec, attempt *v1beta1.LaunchAttempt, class *v1beta1.CellClass, document string) []string {
	var changed []string
	if attempt.ImageID != "" && Image(class, attempt.ImageID) == nil {
		changed = append(changed, fmt.Sprintf("spec.bootImageSpec (no longer image %s)", attempt.ImageID))
	}
	if attempt.SubnetID != "" && !slices.Contains(class.Spec.AWS.Subnets, attempt.SubnetID) {
		changed = append(changed, fmt.Sprintf("spec.aws.subnets (no longer %s)", attempt.SubnetID))
	}
	was := map[string]string{}
	for _, digest := range strings.Fields(attempt.Shape) {
		name, value, _ := strings.Cut(digest, ":")
		was[name] = value
	}
	for _, p := range partsOf(spec, class, document) {
		if before, known := was[p.name]; known && before != p.digest() {
			changed = append(changed, p.field)
		}
	}
	return changed
}
