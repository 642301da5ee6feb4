package ec2_test

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

// userData asks for an instance's user data; nil when it has none.
func (c *cloud) userData(t *testing.T, id string) *string {
	t.Helper()
	out, err := c.DescribeInstanceAttribute(t.Context(), &sdk.DescribeInstanceAttributeInput{InstanceId: aws.String(id), Attribute: types.InstanceAttributeNameUserData})
	if err != nil {
		t.Fatal(err)
	}
	if out.UserData == nil {
		t.Fatal("no userData element")
	}
	return out.UserData.Value
}

func TestUserDataComesBackAsItWas(t *testing.T) {
	c := newCloud(t)
	for name, raw := range map[string]string{"text": "#cloud-config\n", "binary": "\x1f\x8b\x00\xff", "largest": strings.Repeat("x", 16384)} {
		id := c.run(t, func(in *sdk.RunInstancesInput) {
			in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte(raw)))
		})[0]
		if got := c.userData(t, id); got == nil || *got != base64.StdEncoding.EncodeToString([]byte(raw)) {
			t.Errorf("%s: it is another", name)
		}
	}
	if got := c.userData(t, c.run(t)[0]); got != nil {
		t.Errorf("an instance without has %q", *got)
	}
	for id, code := range map[string]string{"i-00000000": "InvalidInstanceID.NotFound", "i-1": "InvalidInstanceID.Malformed"} {
		_, err := c.DescribeInstanceAttribute(t.Context(), &sdk.DescribeInstanceAttributeInput{InstanceId: aws.String(id), Attribute: types.InstanceAttributeNameUserData})
		wantCode(t, err, code)
	}
}

// Every call is in the journal with what it asked and how it was answered,
// under the id that its caller was told.
func TestJournalHasTheAnswers(t *testing.T) {
	c := newCloud(t)
	id := c.run(t)[0]
	_, err := c.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{InstanceIds: []string{"i-00000000"}})
	wantCode(t, err, "InvalidInstanceID.NotFound")
	c.terminate(t, id)
	type line struct {
		Action, Code, Param string
		Created             []string
	}
	var got []line
	for _, e := range c.journal.Since(0, "") {
		got = append(got, line{e.Action, e.Code, e.Params["InstanceId.1"], e.Created})
		if !strings.Contains(err.Error(), e.RequestID) != (e.Code == "") || e.Took < 0 || e.Time.IsZero() {
			t.Errorf("entry %+v of %v", e, err)
		}
	}
	want := []line{{"RunInstances", "", "", []string{id}}, {"DescribeInstances", "InvalidInstanceID.NotFound", "i-00000000", nil}, {"TerminateInstances", "", id, nil}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// wellFormed reads an answer to its end and gives the name of its element.
func wellFormed(t *testing.T, body string) string {
	t.Helper()
	d, root := xml.NewDecoder(strings.NewReader(body)), ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		if start, ok := token.(xml.StartElement); ok && root == "" {
			root = start.Name.Local
		}
	}
}

// Whatever the parameters, the answer is XML: the action's or an error with a
// code that is not the emulator's own fault.
func FuzzCall(f *testing.F) {
	f.Add("RunInstances", "ImageId=ami-0c0ffee0000000002&InstanceType=t3.nano&MinCount=1&MaxCount=1&DryRun=true")
	f.Add("RunInstances", "ImageId=%00&MinCount=2147483647&MaxCount=2147483647&InstanceType=t3.nano")
	f.Add("DescribeInstances", "Filter.1.Name=tag%3A%3C&Filter.1.Value.1=%5C&MaxResults=5&NextToken=YWZ0ZXI6")
	f.Add("CreateTags", "ResourceId.1=vpc-000000c0ffee0001&Tag.1.Key=%ff%01&Tag.1.Value=]]>")
	f.Add("DescribeVpcs", "VpcId.1=%0b<&Filter=x")
	f.Fuzz(func(t *testing.T, action, rest string) {
		if strings.Contains(rest, "Count") && !strings.Contains(rest, "DryRun=true") && action == "RunInstances" {
			rest += "&DryRun=true"
		}
		c := newCloud(t)
		status, body := post(t, c.url, signed, "Action="+url.QueryEscape(action)+"&Version=2016-11-15&"+rest)
		switch root := wellFormed(t, body); {
		case status == 200 && root != action+"Response", status != 200 && root != "Response", strings.Contains(body, "InternalError"):
			t.Errorf("%d %s", status, body)
		}
	})
}

// Whatever text a tag has, the SDK reads what was written, but for characters
// that XML cannot have.
func FuzzTagsInXML(f *testing.F) {
	for _, value := range []string{"1 & <2>", "]]>", "a\r\nb\t ", "é\U0001F600", "\x00\x1f\ufffe", "\xff", ""} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len([]rune(value)) > 256 {
			return
		}
		c := newCloud(t)
		id := c.run(t, tagged(types.ResourceTypeInstance, "k", value))[0]
		want := strings.Map(func(r rune) rune {
			if r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r != 0xfffe && r != 0xffff {
				return r
			}
			return '\ufffd'
		}, strings.ToValidUTF8(value, "\ufffd"))
		got := tagMap(c.one(t, id).Tags)["k"]
		if strings.ToValidUTF8(value, "") == value && got != want {
			t.Errorf("wrote %q, read %q", value, got)
		}
	})
}
