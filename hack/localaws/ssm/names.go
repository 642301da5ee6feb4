package ssm

import (
	"regexp"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
)

// CodeInvalid is the code of input that is refused for its form.
const CodeInvalid = "ValidationException"

func invalid(format string, args ...any) error { return awserr.New(CodeInvalid, format, args...) }

var nameCharacters = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)

// checkName refuses what cannot be the name of a new parameter.
func (s *Store) checkName(name string) error {
	if name == "" {
		return invalid("1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null")
	}
	first := strings.ToLower(strings.TrimPrefix(name, "/"))
	switch {
	case !nameCharacters.MatchString(name) || strings.Contains(name, "//") || strings.HasSuffix(name, "/"):
		return invalid("Parameter name: can't contain other characters than a-z, A-Z, 0-9, period, hyphen, underscore and, between levels, forward slash: %s", name)
	case strings.HasPrefix(name, reservedPrefix):
		return awserr.New("AccessDeniedException", "No access to reserved parameter name: %s.", name)
	case strings.HasPrefix(first, "aws"), strings.HasPrefix(first, "ssm"):
		return invalid(`Parameter name: can't be prefixed with "aws" or "ssm" (case-insensitive).`)
	case strings.Contains(name, "/") && !strings.HasPrefix(name, "/"):
		return invalid("Parameter name must be a fully qualified name.")
	case len(s.arn(name)) > maxNameBytes:
		return invalid("Parameter name is too long: with the rest of its ARN it has %d characters, at most %d are allowed.", len(s.arn(name)), maxNameBytes)
	case strings.Count(name, "/") > maxLevels:
		return awserr.New("HierarchyLevelLimitExceededException", "Hierarchy level must be less than or equal to %d: %s", maxLevels, name)
	}
	return nil
}

// split takes the version off a name such as /a/b:3, or an ARN such as
// arn:aws:ssm:us-east-1:123456789012:parameter/a/b:3. There are no labels here.
// The ARN of a parameter of another account or region is left as it is, and is
// the name of none.
func (s *Store) split(name string) (bare, selector string) {
	for _, account := range []string{s.Account, ""} {
		if path, own := strings.CutPrefix(name, "arn:aws:ssm:"+s.Region+":"+account+":parameter/"); own {
			bare, selector, _ = strings.Cut("/"+path, ":")
			if _, ok := s.find(bare); !ok { // a name without levels has no slash
				if _, ok := s.find(bare[1:]); ok {
					bare = bare[1:]
				}
			}
			return bare, selector
		}
	}
	if strings.HasPrefix(name, "arn:") {
		return name, ""
	}
	bare, selector, _ = strings.Cut(name, ":")
	return bare, selector
}

// checkAsked refuses names that nothing can have.
func (s *Store) checkAsked(names []string) error {
	if len(names) == 0 || len(names) > namesPerCall {
		return invalid("1 validation error detected: Value '%v' at 'names' failed to satisfy constraint: Member must have length less than or equal to %d, and greater than or equal to 1", names, namesPerCall)
	}
	for _, name := range names {
		bare, _ := s.split(name)
		if !strings.HasPrefix(bare, "arn:") && !nameCharacters.MatchString(bare) {
			return invalid("Invalid parameter name. Please use correct syntax for referencing a version/label <name>:<version/label>")
		}
	}
	return nil
}

// below says whether a name is under a path, directly unless recursive.
func below(name, path string, recursive bool) bool {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(path, "/")+"/")
	return ok && rest != "" && (recursive || !strings.Contains(rest, "/"))
}
