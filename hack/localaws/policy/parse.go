package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// maxSize is far above what IAM takes: 10,240 characters of inline policies
// for a role.
const maxSize = 64 << 10

// Parse reads a policy document. It refuses what is no policy and what this
// package does not know, naming it.
func Parse(document []byte) (Policy, error) {
	if len(document) > maxSize {
		return Policy{}, fmt.Errorf("%d bytes are more than the %d of a policy", len(document), maxSize)
	}
	top, err := members(document)
	if err != nil {
		return Policy{}, err
	}
	p := Policy{Version: Version2008}
	for _, name := range slices.Sorted(maps.Keys(top)) {
		switch name {
		case "Version":
			err = text(top[name], (*string)(&p.Version))
		case "Id":
			err = text(top[name], new(string))
		case "Statement":
			p.Statements, err = statements(top[name])
		default:
			err = errors.New("is not known")
		}
		if err != nil {
			return Policy{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if p.Version != Version2012 && p.Version != Version2008 {
		return Policy{}, fmt.Errorf("Version: %q is neither %s nor %s", p.Version, Version2012, Version2008)
	}
	if len(p.Statements) == 0 {
		return Policy{}, errors.New("Statement: there is none")
	}
	return p, p.checkVariables()
}

// members are those of one JSON object, none of them twice.
func members(document []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("it is not a JSON object: %.40q", document)
	}
	out := map[string]json.RawMessage{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
		name, _ := key.(string) // the keys of objects are strings
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%s: is there twice", name)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("%s: it is not JSON: %w", name, err)
		}
		out[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows after the object")
	}
	return out, nil
}

func text(raw json.RawMessage, into *string) error {
	if err := json.Unmarshal(raw, into); err != nil || string(raw) == "null" {
		return fmt.Errorf("want a string, not %.40s", raw)
	}
	return nil
}

// texts reads one string or a list of strings.
func texts(raw json.RawMessage) ([]string, error) {
	var one string
	if text(raw, &one) == nil {
		return []string{one}, nil
	}
	var list []*string
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		return nil, fmt.Errorf("want a string or a list of strings, not %.40s", raw)
	}
	var out []string
	for _, s := range list {
		if s == nil {
			return nil, fmt.Errorf("want strings, not %.40s", raw)
		}
		out = append(out, *s)
	}
	return out, nil
}

// statements reads one statement or a list of them.
func statements(raw json.RawMessage) ([]Statement, error) {
	list := []json.RawMessage{raw}
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
	}
	var out []Statement
	for i, raw := range list {
		s, err := statement(raw)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", i, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func statement(raw json.RawMessage) (Statement, error) {
	fields, err := members(raw)
	if err != nil {
		return Statement{}, err
	}
	var s Statement
	var effect string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		switch name {
		case "Sid":
			err = text(value, &s.Sid)
		case "Effect":
			err = text(value, &effect)
		case "Action", "NotAction":
			s.NotAction = name == "NotAction"
			s.Actions, err = patterns(s.Actions, value, actionPattern, "an action such as ssm:GetParameter")
		case "Resource", "NotResource":
			s.NotResource = name == "NotResource"
			s.Resources, err = patterns(s.Resources, value, resourcePattern, "an ARN or *")
		case "Condition":
			s.Conditions, err = conditions(value)
		default:
			err = errors.New("is not known")
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	s.Allow = effect == "Allow"
	switch {
	case effect != "Allow" && effect != "Deny":
		return s, fmt.Errorf("member Effect: %q is neither Allow nor Deny", effect)
	case s.Actions == nil:
		return s, errors.New("either Action or NotAction is required")
	case s.Resources == nil:
		return s, errors.New("either Resource or NotResource is required")
	}
	return s, nil
}

// The forms of actions and resources, with wildcards, of which there is none in
// the name of a service.
var (
	actionPattern   = regexp.MustCompile(`^(\*|[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+)$`)
	resourcePattern = regexp.MustCompile(`^(\*|arn:[a-z*?-]+:[a-z0-9-]+:[^:]*:[^:]*:.+)$`)
)

// patterns reads the patterns of a member that must not be there together with
// its opposite, which already has been read.
func patterns(before []string, raw json.RawMessage, form *regexp.Regexp, what string) ([]string, error) {
	if before != nil {
		return nil, errors.New("cannot be there together with its opposite")
	}
	list, err := texts(raw)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if !form.MatchString(s) {
			return nil, fmt.Errorf("%q is not %s", s, what)
		}
	}
	return list, nil
}

func conditions(raw json.RawMessage) ([]Condition, error) {
	operators, err := members(raw)
	if err != nil {
		return nil, err
	}
	var out []Condition
	for _, name := range slices.Sorted(maps.Keys(operators)) {
		base, ifExists := strings.CutSuffix(name, "IfExists")
		if !slices.Contains([]string{"StringEquals", "StringNotEquals", "StringLike", "StringNotLike"}, base) {
			return nil, fmt.Errorf("%s: the operator is not known", name)
		}
		keys, err := members(operators[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			values, err := texts(keys[key])
			if err == nil && !knownKey(key) {
				err = errors.New("the condition key is not known")
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, key, err)
			}
			out = append(out, Condition{Operator: base, IfExists: ifExists, Key: key, Values: values})
		}
	}
	return out, nil
}

// knownKey: those that a Request can have a value for.
func knownKey(key string) bool {
	prefix, tag, tagged := strings.Cut(KeyName(key), "/")
	switch prefix {
	case "aws:userid", "ec2:createaction", "iam:passedtoservice", "iam:awsservicename":
		return !tagged
	case "aws:resourcetag", "aws:requesttag", "ssm:resourcetag":
		return tag != ""
	}
	return false
}

// checkVariables finds variables that nothing has a value for.
func (p Policy) checkVariables() error {
	if p.Version != Version2012 {
		return nil
	}
	for i, s := range p.Statements {
		texts := slices.Clone(s.Resources)
		for _, c := range s.Conditions {
			texts = append(texts, c.Values...)
		}
		for _, t := range texts {
			for {
				_, name, after, found := variable(t)
				if !found {
					break
				}
				if !isCharacter(name) && !knownKey(name) {
					return fmt.Errorf("Statement: %d: the variable ${%s} is not known", i, name)
				}
				t = after
			}
			if strings.Contains(t, "${") {
				return fmt.Errorf("Statement: %d: a variable is not closed in %q", i, t)
			}
		}
	}
	return nil
}
