package bootimage

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

func TestQuery(t *testing.T) {
	got, err := Query(v1beta1.BootImageSpec{
		Owners: " 099720109477  self self", ExecutableUsers: "all", ImageIDs: "ami-01234567 ami-0123456789abcdef0",
		Filters: "name=ubuntu/images/hvm-ssd/ubuntu-*-amd64-server-*,a=b  tag:team=x\tarchitecture=x86_64",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := cloud.ImageQuery{
		Owners: []string{"099720109477", "self"}, ExecutableUsers: []string{"all"}, IDs: []string{"ami-01234567", "ami-0123456789abcdef0"},
		Filters: map[string][]string{
			"name": {"ubuntu/images/hvm-ssd/ubuntu-*-amd64-server-*", "a=b"}, "tag:team": {"x"}, "architecture": {"x86_64"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestQueryRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spec v1beta1.BootImageSpec
		want string
	}{
		"owner":         {v1beta1.BootImageSpec{Owners: "self canonical"}, `owners: "canonical" is not an account ID of 12 digits, self, amazon or aws-marketplace`},
		"user":          {v1beta1.BootImageSpec{ExecutableUsers: "me"}, `executableUsers: "me" is not`},
		"image":         {v1beta1.BootImageSpec{ImageIDs: "ami-1"}, `imageIDs: "ami-1" is not an image ID`},
		"no value":      {v1beta1.BootImageSpec{Filters: "name="}, `filters: "name=" is not name=value[,value]`},
		"no name":       {v1beta1.BootImageSpec{Filters: "=x"}, `filters: "=x" is not`},
		"blank":         {v1beta1.BootImageSpec{Filters: "name=Deep Learning"}, `filters: "Learning" is not name=value[,value]; ? stands for a blank`},
		"twice":         {v1beta1.BootImageSpec{Filters: "name=a name=b"}, `filters: "name" is there twice`},
		"empty value":   {v1beta1.BootImageSpec{Filters: "name=a,,b"}, `filters: "name" has a value of 0 characters`},
		"long value":    {v1beta1.BootImageSpec{Filters: "name=" + strings.Repeat("x", 256)}, `has a value of 256 characters`},
		"many values":   {v1beta1.BootImageSpec{Filters: "name=" + strings.Repeat("x,", 200) + "x"}, `has 201 values`},
		"comma in name": {v1beta1.BootImageSpec{Filters: "a,b=c"}, `filters: "a,b=c" is not`},
	} {
		_, err := Query(c.spec)
		var field *FieldError
		if !errors.As(err, &field) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	got := Describe(v1beta1.BootImageSpec{Owners: "self  amazon", Filters: "name=a*", SSMParameters: "/a"})
	if want := "owners self amazon; filters name=a*; ssmParameters /a"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzQuery: what is taken can be written and read again.
func FuzzQuery(f *testing.F) {
	f.Add("self", "name=a,b tag:x=y")
	f.Add("099720109477", "a==b,= c=,")
	f.Fuzz(func(t *testing.T, owners, filters string) {
		q, err := Query(v1beta1.BootImageSpec{Owners: owners, Filters: filters})
		if err != nil {
			return
		}
		var words []string
		for name, values := range q.Filters {
			words = append(words, name+"="+strings.Join(values, ","))
		}
		again, err := Query(v1beta1.BootImageSpec{Owners: strings.Join(q.Owners, " "), Filters: strings.Join(words, " ")})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(q, again); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	})
}
