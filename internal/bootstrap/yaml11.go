package bootstrap

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// cloud-init reads YAML 1.1 (yaml.org/type), where more plain scalars are
// something else than strings than in the YAML 1.2 of our library; what it has
// no value for makes it drop the whole document. The forms are PyYAML's.

var (
	bool11  = regexp.MustCompile(`^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$`)
	null11  = regexp.MustCompile(`^(?:~|null|Null|NULL|)$`)
	int11   = regexp.MustCompile(`^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	float11 = regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?` +
		`|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	time11 = regexp.MustCompile(`^(?:\d{4}-\d\d-\d\d|(\d{4})-(\d\d?)-(\d\d?)(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.\d*)?` +
		`(?:[ \t]*(?:Z|[-+](\d\d?)(?::(\d\d))?))?)$`)
	// noDigits are numbers that cannot be read for want of digits.
	noDigits = regexp.MustCompile(`^[-+]?0[bx]_+$`)
)

// longestNumber is how many digits Python reads (docs.python.org/3/library/stdtypes.html#int-max-str-digits).
const longestNumber = 4300

// tag11 is the short tag that a node has for cloud-init.
func tag11(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Style != 0 {
		return n.ShortTag()
	}
	for _, form := range []struct {
		matches *regexp.Regexp
		tag     string
	}{{bool11, "!!bool"}, {null11, "!!null"}, {int11, "!!int"}, {float11, "!!float"}, {time11, "!!timestamp"}} {
		if form.matches.MatchString(n.Value) {
			return form.tag
		}
	}
	switch n.Value {
	case "=":
		return "!!value"
	case "<<":
		return "!!merge"
	}
	return "!!str"
}

// checkScalars finds the first node that cloud-init has no value for.
func (d *document) checkScalars() error { return check11(d.mapping(), false) }

func check11(n *yaml.Node, isKey bool) error {
	problem, remedy := problem11(n, isKey)
	if problem != "" {
		return &DocumentError{Line: n.Line, Column: n.Column, Problem: problem, Remedy: remedy}
	}
	for i, child := range n.Content {
		if err := check11(child, n.Kind == yaml.MappingNode && i%2 == 0); err != nil {
			return err
		}
	}
	return nil
}

func problem11(n *yaml.Node, isKey bool) (problem, remedy string) {
	const quote = "cloud-init, which reads YAML 1.1, would drop the whole document; quote it where it is a string"
	tag := tag11(n)
	switch {
	case n.Kind == yaml.AliasNode: // its anchor's node is looked at
	case !known11(n, tag):
		return "cloud-init knows no tag " + tag + " here", "leave the tag out"
	case isKey: // = and << are keys
	case tag == "!!value":
		return "a plain = is a value", quote
	case tag == "!!merge":
		return "a plain << stands where no key does", quote
	}
	if n.Style == 0 && tag == "!!int" && (noDigits.MatchString(n.Value) || len(n.Value) > longestNumber) {
		return "a number cannot be read", quote
	}
	if n.Style == 0 && tag == "!!timestamp" && !validTime(n.Value) {
		return "a date is none of the calendar's", quote
	}
	return "", ""
}

// known11 says whether the tag is one that cloud-init has values for.
func known11(n *yaml.Node, tag string) bool {
	switch n.Kind {
	case yaml.MappingNode:
		return tag == "!!map" || tag == "!!set"
	case yaml.SequenceNode:
		return tag == "!!seq"
	}
	return slices.Contains([]string{"!!str", "!!bool", "!!null", "!!int", "!!float", "!!binary", "!!timestamp", "!!merge", "!!value"}, tag)
}

// validTime says whether what has the form of a date is one.
func validTime(text string) bool {
	part := time11.FindStringSubmatch(text)
	if part[1] == "" {
		_, err := time.Parse(time.DateOnly, text)
		return err == nil && !strings.HasPrefix(text, "0000")
	}
	number := func(i int) int { n, _ := strconv.Atoi(part[i]); return n } // digits, or nothing
	at := time.Date(number(1), time.Month(number(2)), number(3), number(4), number(5), number(6), 0, time.UTC)
	return number(1) > 0 && at.Month() == time.Month(number(2)) && at.Day() == number(3) &&
		number(4) < 24 && number(5) < 60 && number(6) < 60 && number(7)*60+number(8) < 24*60
}
