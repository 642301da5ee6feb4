package query

import (
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/awserr"
)

func parse(t *testing.T, body string) Params {
	t.Helper()
	v, err := url.ParseQuery(body)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(v)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func code(err error) string {
	var e *awserr.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestReadingNestedLists(t *testing.T) {
	p := parse(t, "Filter.2.Name=b&Filter.2.Value.10=z&Filter.2.Value.2=y&Filter.1.Name=a&Filter.1.Value.1=x&Id.7=q")
	got := map[string][]string{}
	var order []string
	for _, f := range p.Structs("Filter") {
		name := f.Required("Name")
		order = append(order, name)
		got[name] = f.Strings("Value")
	}
	if diff := cmp.Diff([]string{"a", "b"}, order); diff != "" {
		t.Errorf("filters are not in the order of their numbers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string][]string{"a": {"x"}, "b": {"y", "z"}}, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"q"}, p.Strings("Id")); diff != "" {
		t.Errorf("a list with gaps (-want +got):\n%s", diff)
	}
	if err := p.Finish(); err != nil {
		t.Errorf("Finish after reading everything: %v", err)
	}
}

func TestAbsentIsNotAnError(t *testing.T) {
	p := parse(t, "")
	member, ok := p.Struct("Placement")
	if ok || member.String("Zone") != "" || member.Int("N") != nil || member.Bool("B") != nil || member.Structs("L") != nil {
		t.Error("an absent structure has members")
	}
	if err := p.Finish(); err != nil {
		t.Error(err)
	}
}

func TestBadInput(t *testing.T) {
	read := func(p Params) {
		p.Int("Int")
		p.Bool("Bool")
		p.OneOf("Enum", "one", "two")
		p.Strings("List")
		p.Structs("Structs")
		p.String("Value")
		p.Struct("Struct")
	}
	tests := []struct {
		name, body, want string
	}{
		{"not an integer", "Int=five", "InvalidParameterValue"},
		{"integer out of range", "Int=99999999999", "InvalidParameterValue"},
		{"not a bool", "Bool=yes", "InvalidParameterValue"},
		{"not in the enumeration", "Enum=three", "InvalidParameterValue"},
		{"structure for a value", "Value.1=x", "InvalidParameterValue"},
		{"value for a structure", "Struct=x", "InvalidParameterValue"},
		{"value for a list", "List=x", "InvalidParameterValue"},
		{"list index zero", "List.0=x", "MalformedQueryString"},
		{"list index with leading zero", "List.01=x", "MalformedQueryString"},
		{"list index not a number", "List.a=x", "MalformedQueryString"},
		{"value in a list of structures", "Structs.1=x", "InvalidParameterValue"},
		{"never read", "Surprise.1.Name=x", "UnknownParameter"},
		{"all right", "Int=5&Bool=TRUE&Enum=two&List.1=x&Value=", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := parse(t, tt.body)
			read(p)
			if got := code(p.Finish()); got != tt.want {
				t.Errorf("code %q, want %q (%v)", got, tt.want, p.Finish())
			}
		})
	}
}

func TestRequired(t *testing.T) {
	for _, body := range []string{"", "Name="} {
		p := parse(t, body)
		p.Required("Name")
		if got := code(p.Finish()); got != "MissingParameter" {
			t.Errorf("body %q: code %q", body, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]url.Values{
		"twice":               {"A": {"1", "2"}},
		"empty part":          {"A..B": {"1"}},
		"empty name":          {"": {"1"}},
		"value and structure": {"A": {"1"}, "A.B": {"2"}},
		"too deep":            {"a.b.c.d.e.f.g.h.i.j.k.l.m": {"1"}},
	}
	for name, values := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(values); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Action=RunInstances&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v")
	f.Add("Filter.1.Name=tag%3Ax&Filter.1.Value.1=*")
	f.Add("A.1=x&A.1.B=y")
	f.Add("A.18446744073709551616=x&A.-1=y&A.+1=z")
	f.Fuzz(func(t *testing.T, body string) {
		values, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		p, err := Parse(values)
		if err != nil {
			return
		}
		for name := range values {
			p.String(name)
			p.Int(name)
			p.Bool(name)
		}
		for _, s := range p.Structs("Filter") {
			s.String("Name")
			s.Strings("Value")
		}
		for _, s := range p.Structs("TagSpecification") {
			for _, tag := range s.Structs("Tag") {
				tag.Required("Key")
			}
		}
		p.Strings("A")
		if p.Err() != nil && p.Finish() == nil {
			t.Error("Finish forgot an error")
		}
	})
}
