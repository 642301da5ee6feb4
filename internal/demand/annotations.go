package demand

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"kip.elotl.co/api/v1beta1"
)

// annotation is one that a pod may have.
type annotation struct {
	name string
	// read takes the value into the Cell's spec; its error says what would be right.
	read func(r *reader, value string) error
	// allowed are the namespaces that may ask for it; nil: all may.
	allowed func(*v1beta1.PodPrivileges) v1beta1.NamespaceNames
	field   string // of podPrivileges
}

func known() []annotation {
	return []annotation{
		{name: v1beta1.AnnotationInstanceType, read: (*reader).instanceType},
		{name: v1beta1.AnnotationLaunchType, read: (*reader).launchType},
		{name: v1beta1.AnnotationPrivateIPOnly, read: boolean(func(s *v1beta1.CellSpec, b *bool) { s.PrivateIPOnly = b })},
		{name: v1beta1.AnnotationSecurityGroups, read: (*reader).securityGroups, field: "securityGroups",
			allowed: func(p *v1beta1.PodPrivileges) v1beta1.NamespaceNames { return p.SecurityGroups }},
		{name: v1beta1.AnnotationInstanceProfile, read: (*reader).instanceProfile, field: "instanceProfiles",
			allowed: func(p *v1beta1.PodPrivileges) v1beta1.NamespaceNames { return p.InstanceProfiles }},
		{name: v1beta1.AnnotationHealthyTimeout, read: (*reader).healthyTimeout},
		{name: v1beta1.AnnotationCloudRoute, read: (*reader).routes, field: "routes",
			allowed: func(p *v1beta1.PodPrivileges) v1beta1.NamespaceNames { return p.Routes }},
		{name: v1beta1.AnnotationVolumeSize, read: (*reader).volumeSize},
		{name: v1beta1.AnnotationImageOverlayRootfs, read: boolean(func(s *v1beta1.CellSpec, b *bool) { s.ImageOverlayRootfs = b })},
		{name: v1beta1.AnnotationTaskRole, read: fargate},
		{name: v1beta1.AnnotationTaskExecutionRole, read: fargate},
	}
}

// annotations reads those that are Kip's. One that is not known is refused: a
// slip of the pen would cost money.
func (r *reader) annotations() {
	all := known()
	for _, name := range slices.Sorted(maps.Keys(r.pod.Annotations)) {
		if !strings.HasPrefix(name, v1beta1.AnnotationPrefix) {
			continue
		}
		if !slices.ContainsFunc(all, func(a annotation) bool { return a.name == name }) {
			r.refuse(v1beta1.ReasonInvalidAnnotation, "annotation %s: %q: there is no such annotation; there are %s", name, r.pod.Annotations[name], names(all))
		}
	}
	for _, a := range all {
		value, set := r.pod.Annotations[a.name]
		if !set {
			continue
		}
		if err := a.read(r, value); err != nil {
			r.refuse(v1beta1.ReasonInvalidAnnotation, "annotation %s: %q: %v", a.name, value, err)
			continue
		}
		if a.allowed != nil && !r.privileged(a) {
			r.refuse(v1beta1.ReasonNotPrivileged, "annotation %s: %q: namespace %q may not ask for it: %s in spec.podPrivileges.%s",
				a.name, value, r.pod.Namespace, r.whoDoesNotList(), a.field)
		}
	}
}

func names(all []annotation) string {
	var out []string
	for _, a := range all {
		out = append(out, strings.TrimPrefix(a.name, v1beta1.AnnotationPrefix))
	}
	return strings.Join(out, ", ")
}

func (r *reader) privileged(a annotation) bool {
	if r.class == nil {
		return false
	}
	namespaces := a.allowed(&r.class.Spec.PodPrivileges)
	return slices.Contains(namespaces, "*") || slices.Contains(namespaces, r.pod.Namespace)
}

func (r *reader) whoDoesNotList() string {
	if r.class == nil {
		return "there is no CellClass that lists it"
	}
	return fmt.Sprintf("CellClass %q does not list it", r.class.Name)
}

func (r *reader) instanceType(value string) error {
	if !regexp.MustCompile(`^([a-z0-9][a-z0-9-]*\.[a-z0-9-]+|[a-z0-9.*-]*\*[a-z0-9.*-]*)$`).MatchString(value) || len(value) > 64 {
		return errors.New("must be the name of an instance type, such as m5.large, or a pattern, such as c5*")
	}
	r.spec.InstanceType = value
	return nil
}

func (r *reader) launchType(value string) error {
	switch value {
	case "on-demand":
		r.spec.LaunchType = v1beta1.LaunchOnDemand
	case "spot":
		r.spec.LaunchType = v1beta1.LaunchSpot
	case "spot-preferred":
		r.spec.LaunchType = v1beta1.LaunchSpotPreferred
	default:
		return errors.New("must be on-demand, spot or spot-preferred")
	}
	return nil
}

func boolean(set func(*v1beta1.CellSpec, *bool)) func(*reader, string) error {
	return func(r *reader, value string) error {
		b, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New("must be true or false")
		}
		set(&r.spec, &b)
		return nil
	}
}

// maxGroups is how many groups an interface is put into at most, unless the
// account has another quota.
const maxGroups = 5

func (r *reader) securityGroups(value string) error {
	group := regexp.MustCompile(`^sg-[0-9a-f]{8,17}$`)
	var groups []string
	for id := range strings.SplitSeq(value, ",") {
		id = strings.TrimSpace(id)
		if !group.MatchString(id) {
			return fmt.Errorf("%q is not the ID of a security group, such as sg-0123456789abcdef0", id)
		}
		if !slices.Contains(groups, id) {
			groups = append(groups, id)
		}
	}
	if len(groups) > maxGroups {
		return fmt.Errorf("%d groups are more than the %d that an interface can have", len(groups), maxGroups)
	}
	r.spec.SecurityGroups = groups
	return nil
}

// maxProfile is the longest ARN that a Cell's spec can hold.
const maxProfile = 2048

func (r *reader) instanceProfile(value string) error {
	if !regexp.MustCompile(`^(arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/[\w+=,.@/-]+|[\w+=,.@-]{1,128})$`).MatchString(value) || len(value) > maxProfile {
		return errors.New("must be the name of an instance profile, or its ARN, such as arn:aws:iam::123456789012:instance-profile/web")
	}
	r.spec.InstanceProfile = value
	return nil
}

func (r *reader) healthyTimeout(value string) error {
	seconds, err := strconv.ParseInt(value, 10, 32)
	if err != nil || seconds < 0 {
		return errors.New("must be a whole number of seconds, 0 for never")
	}
	timeout := int32(seconds)
	r.spec.HealthyTimeoutSeconds = &timeout
	return nil
}

// maxRoutes is how many routes a Cell's spec can hold.
const maxRoutes = 16

func (r *reader) routes(value string) error {
	var routes []string
	for text := range strings.FieldsSeq(value) {
		cidr, err := netip.ParsePrefix(text)
		switch {
		case err != nil, cidr.Addr().Is4In6():
			return fmt.Errorf("%q is not a CIDR, such as 10.20.0.0/16", text)
		case cidr != cidr.Masked():
			return fmt.Errorf("%q has host bits set; the network is %s", text, cidr.Masked())
		}
		if !slices.Contains(routes, cidr.String()) {
			routes = append(routes, cidr.String())
		}
	}
	if len(routes) == 0 || len(routes) > maxRoutes {
		return fmt.Errorf("must be 1 to %d CIDRs with white space between", maxRoutes)
	}
	r.spec.Routes = routes
	return nil
}

// How small and large a volume can be.
const (
	minVolume = "1Gi"
	maxVolume = "16Ti"
)

func (r *reader) volumeSize(value string) error {
	size, err := resource.ParseQuantity(value)
	if err != nil || size.Cmp(resource.MustParse(minVolume)) < 0 || size.Cmp(resource.MustParse(maxVolume)) > 0 {
		return fmt.Errorf("must be a quantity between %s and %s, such as 20Gi", minVolume, maxVolume)
	}
	r.spec.VolumeSize = &size
	return nil
}

func fargate(*reader, string) error {
	return fmt.Errorf("is for pods on Fargate, where Kip puts none; give the cell a role with %s", v1beta1.AnnotationInstanceProfile)
}
