// Package bootimage reads how a class chooses machine images, which is written
// as in the first Kip's provider.yaml: blanks part several of a kind, and
// filters are name=value[,value].
package bootimage

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

// What EC2 takes in one query, and the longest that a filter's value may be
// (docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html).
const (
	maxValues      = 200
	maxValueLength = 255
)

// FieldError says what is wrong with a field, named below BootImageSpec, and
// what would be right.
type FieldError struct{ Field, Problem string }

// Error gives both.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Query is what to ask the cloud for. ssmParameters are not in it: they give
// more IDs. The error is a *FieldError.
func Query(spec v1beta1.BootImageSpec) (cloud.ImageQuery, error) {
	q := cloud.ImageQuery{
		IDs: words(spec.ImageIDs), Owners: words(spec.Owners), ExecutableUsers: words(spec.ExecutableUsers),
	}
	for _, list := range []struct {
		field  string
		values []string
		form   *regexp.Regexp
		wanted string
	}{
		{"imageIDs", q.IDs, regexp.MustCompile(`^ami-[0-9a-f]{8,17}$`), "an image ID such as ami-0123456789abcdef0"},
		{"owners", q.Owners, regexp.MustCompile(`^([0-9]{12}|self|amazon|aws-marketplace)$`), "an account ID of 12 digits, self, amazon or aws-marketplace"},
		{"executableUsers", q.ExecutableUsers, regexp.MustCompile(`^([0-9]{12}|self|all)$`), "an account ID of 12 digits, self or all"},
	} {
		for _, value := range list.values {
			if !list.form.MatchString(value) {
				return cloud.ImageQuery{}, &FieldError{list.field, fmt.Sprintf("%q is not %s", value, list.wanted)}
			}
		}
	}
	filters, err := filtersOf(spec.Filters)
	if err != nil {
		return cloud.ImageQuery{}, err
	}
	q.Filters = filters
	return q, nil
}

// SSMParameters are the names or ARNs of the parameters that hold image IDs.
func SSMParameters(spec v1beta1.BootImageSpec) []string { return words(spec.SSMParameters) }

// words parts a list, of which each member counts once.
func words(list string) []string {
	var out []string
	for _, word := range strings.Fields(list) {
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}

func filtersOf(text string) (map[string][]string, error) {
	var out map[string][]string
	for _, word := range strings.Fields(text) {
		name, list, found := strings.Cut(word, "=")
		if !found || name == "" || list == "" || strings.Contains(name, ",") {
			return nil, wrongFilter("%q is not name=value[,value]; ? stands for a blank in a value", word)
		}
		if out == nil {
			out = map[string][]string{}
		}
		if _, twice := out[name]; twice {
			return nil, wrongFilter("%q is there twice: give all of its values at once, %s=a,b", name, name)
		}
		values := strings.Split(list, ",")
		if len(values) > maxValues {
			return nil, wrongFilter("%q has %d values, EC2 takes %d", name, len(values), maxValues)
		}
		for _, value := range values {
			if value == "" || len(value) > maxValueLength {
				return nil, wrongFilter("%q has a value of %d characters: from 1 to %d will do", name, len(value), maxValueLength)
			}
		}
		out[name] = values
	}
	return out, nil
}

func wrongFilter(format string, args ...any) error {
	return &FieldError{"filters", fmt.Sprintf(format, args...)}
}

// Describe writes the spec as a person would say it.
func Describe(spec v1beta1.BootImageSpec) string {
	var parts []string
	for _, part := range []struct{ name, list string }{
		{"imageIDs", spec.ImageIDs}, {"owners", spec.Owners}, {"executableUsers", spec.ExecutableUsers},
		{"filters", spec.Filters}, {"ssmParameters", spec.SSMParameters},
	} {
		if list := words(part.list); len(list) > 0 {
			parts = append(parts, part.name+" "+strings.Join(list, " "))
		}
	}
	return strings.Join(parts, "; ")
}
