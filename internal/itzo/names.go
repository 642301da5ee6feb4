package itzo

import (
	"fmt"
	"regexp"
	"strings"
)

// Port is the TCP port that every agent serves.
const Port = 6421

// LegacyServerName is the DNS name that the certificates of all cells share;
// agents of the first Kip know no other.
const LegacyServerName = "MilpaNode"

var (
	labelPattern   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	podNamePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?_[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`)
)

// maxPodName is a namespace (63), an underscore and a pod name (253).
const maxPodName = 63 + 1 + 253

// FormatPodName gives the name of a pod as it stands in PodParameters.PodName
// and in the path of deploy.
func FormatPodName(namespace, name string) string {
	return namespace + "_" + name
}

// CheckName refuses what may not name a unit or a package. Both become
// directory names on the cell, so nothing but a DNS label of at most 63
// characters is allowed.
func CheckName(name string) error {
	if len(name) > 63 || !labelPattern.MatchString(name) {
		return fmt.Errorf("%q is not a DNS label", name)
	}
	return nil
}

// CheckPodName refuses what FormatPodName would not have made.
func CheckPodName(name string) error {
	if len(name) > maxPodName || !podNamePattern.MatchString(name) || strings.Contains(name, "..") {
		return fmt.Errorf("%q is not of the form <namespace>_<name>", name)
	}
	return nil
}
