package ssm

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/iam"
)

type tag struct{ Key, Value string }

type putInput struct {
	Name, Value, Type, KeyId, Tier, DataType, Description, AllowedPattern, Policies string
	Overwrite                                                                       bool
	Tags                                                                            []tag
}

type putOutput struct {
	Tier    string
	Version int64
}

func (s *Store) put(caller iam.Caller, in putInput) (any, error) {
	if err := s.checkName(in.Name); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if err := caller.Authorize("ssm:PutParameter", s.arn(in.Name), s.tagsOf(in.Name)); err != nil {
		return nil, err
	}
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if len(tags) > 0 {
		if err := caller.Authorize("ssm:AddTagsToResource", s.arn(in.Name), s.tagsOf(in.Name)); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have, exists := s.parameters[in.Name]
	next, err := s.next(in, have, exists, tags)
	if err != nil {
		return nil, err
	}
	number := int64(1)
	if exists {
		number = have.Latest().Number + 1
	}
	next.Versions = append(slices.Clone(have.Versions), Version{number, in.Value, s.Clock.Now().UTC().Truncate(time.Millisecond), caller.ARN()})
	next.Versions = next.Versions[max(0, len(next.Versions)-versionsKept):]
	s.parameters[in.Name] = next
	return putOutput{next.Tier, number}, s.save()
}

// check refuses what is wrong whatever there is already.
func (in putInput) check() error {
	for _, enum := range []struct {
		member, value string
		allowed       []string
	}{
		{"type", in.Type, []string{"", typeSecure, typeStringList, typeString}},
		{"tier", in.Tier, []string{"", tierStandard, tierAdvanced, tierIntelligent}},
	} {
		if !slices.Contains(enum.allowed, enum.value) {
			return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: %v", enum.value, enum.member, enum.allowed[1:])
		}
	}
	switch {
	case in.Value == "":
		return invalid("1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	case in.DataType != "" && in.DataType != dataText:
		return invalid("The following data type is not supported: %s (Data type names are all lowercase.)", in.DataType)
	case in.Policies != "":
		return awserr.New("InvalidPolicyTypeException", "Parameter policies are not known to this emulator.")
	case in.Overwrite && len(in.Tags) > 0:
		return invalid("Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. " +
			"To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.")
	case len(in.Description) > maxDescription:
		return invalid("1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to %d", maxDescription)
	}
	return in.checkPattern()
}

func (in putInput) checkPattern() error {
	if in.AllowedPattern == "" {
		return nil
	}
	pattern, err := regexp.Compile("^(?:" + in.AllowedPattern + ")$")
	if err != nil || len(in.AllowedPattern) > maxPatternBytes {
		return awserr.New("InvalidAllowedPatternException", "The request does not meet the regular expression requirement: %s", in.AllowedPattern)
	}
	if !pattern.MatchString(in.Value) {
		return awserr.New("ParameterPatternMismatchException", "Parameter value, cannot be validated against allowedPattern: %s", in.AllowedPattern)
	}
	return nil
}

// next is the parameter as it is to be, but for its new version. The caller
// holds s.mu.
func (s *Store) next(in putInput, have Parameter, exists bool, tags map[string]string) (Parameter, error) {
	if err := in.fits(have, exists); err != nil {
		return have, err
	}
	next := have
	if !exists {
		next = Parameter{Name: in.Name, Type: in.Type, DataType: dataText, Tags: tags, Tier: tierStandard}
	}
	switch {
	case next.Type != typeSecure && in.KeyId != "":
		return next, invalid("KeyId is required for SecureString type parameter only.")
	case next.Type == typeSecure:
		next.KeyID = cmp.Or(in.KeyId, have.KeyID, defaultKey)
	}
	next.Description, next.Pattern = cmp.Or(in.Description, have.Description), in.AllowedPattern
	var err error
	if next.Tier, err = tierOf(in, next.Tier); err != nil {
		return next, err
	}
	if !exists && next.Tier == tierStandard && s.standard() >= standardMost {
		return next, awserr.New("ParameterLimitExceeded", "Maximum number of standard tier parameters %d exceeded. Delete some, or use the advanced tier.", standardMost)
	}
	return next, nil
}

// fits refuses what does not go with what is there already.
func (in putInput) fits(have Parameter, exists bool) error {
	switch {
	case exists && !in.Overwrite:
		return awserr.New("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	case exists && in.Type != "" && in.Type != have.Type:
		return awserr.New("HierarchyTypeMismatchException", "Parameter Store does not support changing a parameter type in a hierarchy. "+
			"For example, you can't change a parameter from a String type to a SecureString type. You must create a new, unique parameter.")
	case !exists && in.Type == "":
		return invalid("A parameter type is required when you create a parameter.")
	}
	return nil
}

func (s *Store) standard() int {
	n := 0
	for _, p := range s.parameters {
		if p.Tier == tierStandard {
			n++
		}
	}
	return n
}

// tierOf is the tier for a value, by what is asked for and the present tier,
// from which there is no way back.
func tierOf(in putInput, present string) (string, error) {
	tier := in.Tier
	switch {
	case tier == tierStandard && present == tierAdvanced:
		return "", invalid("This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the standard-parameter tier. " +
			"If necessary, you can delete the advanced parameter and recreate it as a standard parameter.")
	case tier == "" || tier == tierIntelligent && present == tierAdvanced:
		tier = present
	case tier == tierIntelligent:
		tier = tierStandard
		if len(in.Value) > standardBytes {
			tier = tierAdvanced
		}
	}
	if tier == tierStandard && len(in.Value) > standardBytes {
		return "", invalid("Standard tier parameters support a maximum parameter value of %d characters. "+
			"To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier.", standardBytes)
	}
	if len(in.Value) > advancedBytes {
		return "", invalid("Advanced tier parameters support a maximum parameter value of %d characters.", advancedBytes)
	}
	return tier, nil
}

type deleteInput struct{ Name string }

func (s *Store) delete(caller iam.Caller, in deleteInput) (any, error) {
	if err := s.checkAsked([]string{in.Name}); err != nil {
		return nil, err
	}
	if err := caller.Authorize("ssm:DeleteParameter", s.arn(in.Name), s.tagsOf(in.Name)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.parameters[in.Name]; !ok {
		return nil, notFound(in.Name)
	}
	delete(s.parameters, in.Name)
	return nil, s.save()
}

func notFound(name string) error {
	return awserr.New("ParameterNotFound", "Parameter %s not found.", name)
}

type deleteManyInput struct{ Names []string }

type deleteManyOutput struct{ DeletedParameters, InvalidParameters []string }

func (s *Store) deleteMany(caller iam.Caller, in deleteManyInput) (any, error) {
	if err := s.checkAsked(in.Names); err != nil {
		return nil, err
	}
	for _, name := range in.Names {
		if err := caller.Authorize("ssm:DeleteParameters", s.arn(name), s.tagsOf(name)); err != nil {
			return nil, err
		}
	}
	out := deleteManyOutput{[]string{}, []string{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	left := maps.Clone(s.parameters)
	for _, name := range in.Names {
		if _, ok := left[name]; !ok {
			out.InvalidParameters = append(out.InvalidParameters, name)
			continue
		}
		delete(left, name)
		out.DeletedParameters = append(out.DeletedParameters, name)
	}
	s.parameters = left
	return out, s.save()
}
