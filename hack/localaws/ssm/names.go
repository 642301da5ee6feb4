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

// splitSelector takes the version off a name such as /a/b:3. There are no
// labels here.
func splitSelector(name string) (bare, selector string) {
	bare, selector, _ = strings.Cut(name, ":")
	return bare, selector
}

// checkAsked refuses names that nothing can have.
func checkAsked(names []string) error {
	if len(names) == 0 || len(names) > namesPerCall {
		return invalid("1 validation error detected: Value '%v' at 'names' failed to satisfy constraint: Member must have length less than or equal to %d, and greater than or equal to 1", names, namesPerCall)
	}
	for _, name := range names {
		bare, _ := splitSelector(name)
		if !nameCharacters.MatchString(bare) {
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
