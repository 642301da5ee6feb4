package ec2_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/throttle"
)

func (c *cloud) ssm(creds aws.CredentialsProvider) *ssm.Client {
	return ssm.New(ssm.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(c.url), Credentials: creds, Retryer: aws.NopRetryer{}, HTTPClient: plainBody{awshttp.NewBuildableClient()},
	})
}

// put makes a parameter, changed by edits.
func put(ctx context.Context, client *ssm.Client, name, value string, edits ...func(*ssm.PutParameterInput)) (*ssm.PutParameterOutput, error) {
	in := &ssm.PutParameterInput{Name: aws.String(name), Value: aws.String(value), Type: types.ParameterTypeString}
	for _, e := range edits {
		e(in)
	}
	return client.PutParameter(ctx, in)
}

func secure(in *ssm.PutParameterInput)    { in.Type = types.ParameterTypeSecureString }
func overwrite(in *ssm.PutParameterInput) { in.Overwrite = aws.Bool(true) }

func tier(t types.ParameterTier) func(*ssm.PutParameterInput) {
	return func(in *ssm.PutParameterInput) { in.Tier = t }
}

func carrying(key, value string) func(*ssm.PutParameterInput) {
	return func(in *ssm.PutParameterInput) {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
}

func get(ctx context.Context, client *ssm.Client, name string) (string, error) {
	out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", err
	}
	return *out.Parameter.Value, nil
}

func TestParameter(t *testing.T) {
	c := newCloud(t)
	client := c.ssm(operator())
	for n, value := range []string{"one", "two"} {
		out, err := put(t.Context(), client, "/kip/a", value, secure, overwrite)
		if err != nil || out.Version != int64(n+1) || out.Tier != types.ParameterTierStandard {
			t.Errorf("%+v, %v", out, err)
		}
	}
	c.crash()
	c = openCloud(t, c.dir, &boottest.Backend{})
	client = c.ssm(operator())
	const arn = "arn:aws:ssm:us-east-1:123456789012:parameter/kip/a"
	for name, want := range map[string]string{arn: "two", arn + ":1": "one", "/kip/a": "two", "/kip/a:1": "one", "/kip/a:2": "two"} {
		if got, err := get(t.Context(), client, name); got != want || err != nil {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	out, err := client.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/kip/a")})
	if err != nil {
		t.Fatal(err)
	}
	if p := out.Parameter; strings.Contains(*p.Value, "two") || *p.ARN != "arn:aws:ssm:us-east-1:123456789012:parameter/kip/a" || p.LastModifiedDate == nil || *p.DataType != "text" {
		t.Errorf("not decrypted: %+v", p)
	}
	_, err = get(t.Context(), client, "/kip/a:3")
	wantCode(t, err, "ParameterVersionNotFound")
	_, err = get(t.Context(), client, "arn:aws:ssm:us-east-1:210987654321:parameter/kip/a")
	wantCode(t, err, "ParameterNotFound")
	_, err = get(t.Context(), client, "/kip/b")
	var missing *types.ParameterNotFound
	if !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	if got, err := get(t.Context(), client, "/aws/service/debian/release/13/latest/amd64"); got != "ami-0deb1a00000000002" || err != nil {
		t.Errorf("public: %q, %v", got, err)
	}
}

func TestPutParameterRefuses(t *testing.T) {
	c := newCloud(t)
	client := c.ssm(operator())
	if _, err := put(t.Context(), client, "/kip/is", "x", tier(types.ParameterTierAdvanced)); err != nil {
		t.Fatal(err)
	}
	levels := strings.Repeat("/l", 16)
	for name, test := range map[string]struct {
		name, value string
		edit        func(*ssm.PutParameterInput)
		code        string
	}{
		"exists":         {"/kip/is", "y", nil, "ParameterAlreadyExists"},
		"another type":   {"/kip/is", "y", func(in *ssm.PutParameterInput) { secure(in); overwrite(in) }, "HierarchyTypeMismatchException"},
		"downgrade":      {"/kip/is", "y", func(in *ssm.PutParameterInput) { tier(types.ParameterTierStandard)(in); overwrite(in) }, "ValidationException"},
		"tags":           {"/kip/is", "y", func(in *ssm.PutParameterInput) { carrying("a", "b")(in); overwrite(in) }, "ValidationException"},
		"no type":        {"/kip/new", "y", func(in *ssm.PutParameterInput) { in.Type = "" }, "ValidationException"},
		"unknown type":   {"/kip/new", "y", func(in *ssm.PutParameterInput) { in.Type = "Blob" }, "ValidationException"},
		"key":            {"/kip/new", "y", func(in *ssm.PutParameterInput) { in.KeyId = aws.String("alias/mine") }, "ValidationException"},
		"pattern":        {"/kip/new", "y", func(in *ssm.PutParameterInput) { in.AllowedPattern = aws.String("[0-9]+") }, "ParameterPatternMismatchException"},
		"data type":      {"/kip/new", "y", func(in *ssm.PutParameterInput) { in.DataType = aws.String("number") }, "ValidationException"},
		"empty":          {"/kip/new", "", nil, "ValidationException"},
		"standard":       {"/kip/new", strings.Repeat("x", 4097), nil, "ValidationException"},
		"advanced":       {"/kip/new", strings.Repeat("x", 8193), tier(types.ParameterTierAdvanced), "ValidationException"},
		"intelligent":    {"/kip/new", strings.Repeat("x", 8193), tier(types.ParameterTierIntelligentTiering), "ValidationException"},
		"bytes":          {"/kip/new", strings.Repeat("é", 2049), nil, "ValidationException"},
		"not whole":      {"kip/new", "y", nil, "ValidationException"},
		"aws":            {"/awsome", "y", nil, "ValidationException"},
		"reserved":       {"/aws/x", "y", nil, "AccessDeniedException"},
		"SSM":            {"SSMx", "y", nil, "ValidationException"},
		"character":      {"/kip/ne w", "y", nil, "ValidationException"},
		"end":            {"/kip/new/", "y", nil, "ValidationException"},
		"levels":         {levels, "y", nil, "HierarchyLevelLimitExceededException"},
		"long":           {"/" + strings.Repeat("n", 1000), "y", nil, "ValidationException"},
		"tag twice":      {"/kip/new", "y", func(in *ssm.PutParameterInput) { carrying("a", "b")(in); carrying("a", "c")(in) }, "ValidationException"},
		"tag of aws":     {"/kip/new", "y", carrying("aws:x", "b"), "ValidationException"},
		"unknown policy": {"/kip/new", "y", func(in *ssm.PutParameterInput) { in.Policies = aws.String("[]") }, "InvalidPolicyTypeException"},
	} {
		t.Run(name, func(t *testing.T) {
			edit := test.edit
			if edit == nil {
				edit = func(*ssm.PutParameterInput) {}
			}
			_, err := put(t.Context(), client, test.name, test.value, edit)
			wantCode(t, err, test.code)
		})
	}
	out, err := client.DescribeParameters(t.Context(), &ssm.DescribeParametersInput{})
	if err != nil || len(out.Parameters) != 1 || out.Parameters[0].Version != 1 {
		t.Errorf("what is refused changed something: %+v, %v", out, err)
	}
	// At the limits.
	for name, tiers := range map[string][2]types.ParameterTier{
		strings.Repeat("x", 4096): {types.ParameterTierIntelligentTiering, types.ParameterTierStandard},
		strings.Repeat("y", 4097): {types.ParameterTierIntelligentTiering, types.ParameterTierAdvanced},
		strings.Repeat("z", 8192): {types.ParameterTierAdvanced, types.ParameterTierAdvanced},
	} {
		if out, err := put(t.Context(), client, "/kip/"+name[:1], name, tier(tiers[0])); err != nil || out.Tier != tiers[1] {
			t.Errorf("%d bytes, %s: %+v, %v", len(name), tiers[0], out, err)
		}
	}
}

func TestParametersByPathAndDeletion(t *testing.T) {
	c := newCloud(t)
	client := c.ssm(operator())
	var direct []string
	for i := range 12 {
		name := fmt.Sprintf("/kip/cells/n%02d", i)
		direct = append(direct, name)
		for _, n := range []string{name, name + "/config"} {
			if _, err := put(t.Context(), client, n, "v"); err != nil {
				t.Fatal(err)
			}
		}
	}
	list := func(path string, recursive bool) (names []string) {
		pages := ssm.NewGetParametersByPathPaginator(client, &ssm.GetParametersByPathInput{Path: aws.String(path), Recursive: aws.Bool(recursive)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Parameters) > 10 {
				t.Errorf("a page of %d", len(page.Parameters))
			}
			for _, p := range page.Parameters {
				names = append(names, *p.Name)
			}
		}
		return names
	}
	if diff := cmp.Diff(direct, list("/kip/cells", false)); diff != "" {
		t.Errorf("one level (-want +got):\n%s", diff)
	}
	if got := list("/kip/", true); len(got) != 24 || !slices.IsSorted(got) {
		t.Errorf("all levels: %v", got)
	}
	if got := list("/ki", true); len(got) != 0 {
		t.Errorf("a path is not a prefix: %v", got)
	}
	_, err := client.GetParametersByPath(t.Context(), &ssm.GetParametersByPathInput{Path: aws.String("/kip"), MaxResults: aws.Int32(11)})
	wantCode(t, err, "ValidationException")
	many, err := client.GetParameters(t.Context(), &ssm.GetParametersInput{Names: append(slices.Clone(direct[:3]), "/no")})
	if err != nil || len(many.Parameters) != 3 || !slices.Equal(many.InvalidParameters, []string{"/no"}) {
		t.Errorf("%+v, %v", many, err)
	}
	_, err = client.DeleteParameters(t.Context(), &ssm.DeleteParametersInput{Names: direct[:11]})
	wantCode(t, err, "ValidationException")
	gone, err := client.DeleteParameters(t.Context(), &ssm.DeleteParametersInput{Names: append(slices.Clone(direct[:9]), "/no")})
	if err != nil || !slices.Equal(gone.DeletedParameters, direct[:9]) || !slices.Equal(gone.InvalidParameters, []string{"/no"}) {
		t.Errorf("%+v, %v", gone, err)
	}
	_, err = client.DeleteParameter(t.Context(), &ssm.DeleteParameterInput{Name: aws.String(direct[0])})
	wantCode(t, err, "ParameterNotFound")
	_, err = client.DeleteParameter(t.Context(), &ssm.DeleteParameterInput{Name: aws.String(direct[9])})
	wantCode(t, err, "")
	if got := list("/kip/cells", false); !slices.Equal(got, direct[10:]) {
		t.Errorf("left: %v", got)
	}
}

func TestDescribeParametersAndTags(t *testing.T) {
	c := newCloud(t)
	client := c.ssm(operator())
	for name, edits := range map[string][]func(*ssm.PutParameterInput){
		"/kip/a":   {secure, carrying("KipControllerID", "one")},
		"/kip/b":   {secure, carrying("KipControllerID", "two"), func(in *ssm.PutParameterInput) { in.KeyId = aws.String("alias/mine") }},
		"/kip/c/d": {tier(types.ParameterTierAdvanced)},
		"other":    nil,
	} {
		if _, err := put(t.Context(), client, name, "v", edits...); err != nil {
			t.Fatal(err)
		}
	}
	describe := func(key, option string, values ...string) ([]string, error) {
		filter := types.ParameterStringFilter{Key: aws.String(key), Values: values}
		if option != "" {
			filter.Option = aws.String(option)
		}
		var names []string
		out, err := client.DescribeParameters(t.Context(), &ssm.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{filter}})
		if err == nil {
			for _, p := range out.Parameters {
				names = append(names, *p.Name)
			}
		}
		return names, err
	}
	for _, test := range []struct {
		key, option, value string
		want               []string
		code               string
	}{
		{"Name", "BeginsWith", "/kip", []string{"/kip/a", "/kip/b", "/kip/c/d"}, ""},
		{"Name", "", "other", []string{"other"}, ""},
		{"Path", "", "/kip", []string{"/kip/a", "/kip/b"}, ""},
		{"Path", "Recursive", "/", []string{"/kip/a", "/kip/b", "/kip/c/d"}, ""},
		{"Type", "", "SecureString", []string{"/kip/a", "/kip/b"}, ""},
		{"KeyId", "", "alias/mine", []string{"/kip/b"}, ""},
		{"Tier", "", "Advanced", []string{"/kip/c/d"}, ""},
		{"tag:KipControllerID", "", "two", []string{"/kip/b"}, ""},
		{"Colour", "", "red", nil, "InvalidFilterKey"},
		{"Type", "BeginsWith", "S", nil, "InvalidFilterOption"},
	} {
		got, err := describe(test.key, test.option, test.value)
		wantCode(t, err, test.code)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s %s %s: %v, want %v", test.key, test.option, test.value, got, test.want)
		}
	}
	id, kind := aws.String("/kip/a"), types.ResourceTypeForTaggingParameter
	_, err := client.AddTagsToResource(t.Context(), &ssm.AddTagsToResourceInput{ResourceId: id, ResourceType: kind, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	wantCode(t, err, "")
	_, err = client.RemoveTagsFromResource(t.Context(), &ssm.RemoveTagsFromResourceInput{ResourceId: id, ResourceType: kind, TagKeys: []string{"KipControllerID"}})
	wantCode(t, err, "")
	tags, err := client.ListTagsForResource(t.Context(), &ssm.ListTagsForResourceInput{ResourceId: id, ResourceType: kind})
	if err != nil || len(tags.TagList) != 1 || *tags.TagList[0].Key != "k" {
		t.Errorf("%+v, %v", tags, err)
	}
	_, err = client.ListTagsForResource(t.Context(), &ssm.ListTagsForResourceInput{ResourceId: aws.String("/no"), ResourceType: kind})
	wantCode(t, err, "InvalidResourceId")
}

// TestCellsReadTheirOwnParameterOnly: what the shipped policy is for.
func TestCellsReadTheirOwnParameterOnly(t *testing.T) {
	c := newCloud(t)
	roleID := c.roleWith(t, "cells", cellsPolicy(t))
	a, creds := c.withProfile(t, "cells")
	b, _ := c.withProfile(t, "cells")
	name := func(id string) string { return "/kip/cells/" + id + "/config" }
	client, cell := c.ssm(operator()), c.ssm(creds)
	_, err := get(t.Context(), cell, name(a))
	wantCode(t, err, "AccessDeniedException") // as long as nobody has tagged it
	for _, id := range []string{a, b} {
		if _, err := put(t.Context(), client, name(id), "of "+id, secure, carrying("AWSUserID", roleID+":"+id)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := get(t.Context(), cell, name(a)); got != "of "+a || err != nil {
		t.Errorf("its own: %q, %v", got, err)
	}
	denied := map[string]error{}
	_, denied["another's"] = get(t.Context(), cell, name(b))
	_, denied["both"] = cell.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{name(a), name(b)}})
	for _, path := range []string{"/", "/kip", "/kip/cells", "/kip/cells/", "/kip/cells/" + a} {
		_, denied["by path "+path] = cell.GetParametersByPath(t.Context(), &ssm.GetParametersByPathInput{Path: aws.String(path), Recursive: aws.Bool(true)})
	}
	_, denied["list"] = cell.DescribeParameters(t.Context(), &ssm.DescribeParametersInput{})
	_, denied["overwrite"] = put(t.Context(), cell, name(a), "x", secure, overwrite)
	_, denied["tag"] = cell.AddTagsToResource(t.Context(), &ssm.AddTagsToResourceInput{
		ResourceId: aws.String(name(b)), ResourceType: types.ResourceTypeForTaggingParameter, Tags: []types.Tag{{Key: aws.String("AWSUserID"), Value: aws.String(roleID + ":" + a)}},
	})
	for what, err := range denied {
		t.Run(what, func(t *testing.T) {
			wantCode(t, err, "AccessDeniedException")
			var api smithy.APIError
			if errors.As(err, &api) && !strings.HasPrefix(api.ErrorMessage(), "User: arn:aws:sts::123456789012:assumed-role/cells/"+a+" is not authorized to perform: ssm:") {
				t.Errorf("message %q", api.ErrorMessage())
			}
		})
	}
}

// A parameter that is encrypted with a key of the account's own can be read by
// those alone who may use the key.
func TestOwnKey(t *testing.T) {
	c := newCloud(t)
	const read = `{"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}`
	c.roleWith(t, "without", `{"Version": "2012-10-17", "Statement": [`+read+`]}`)
	c.roleWith(t, "with", `{"Version": "2012-10-17", "Statement": [`+read+`, {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:us-east-1:123456789012:alias/mine"}]}`)
	if _, err := put(t.Context(), c.ssm(operator()), "/kip/a", "v", secure, func(in *ssm.PutParameterInput) { in.KeyId = aws.String("alias/mine") }); err != nil {
		t.Fatal(err)
	}
	for role, code := range map[string]string{"without": "AccessDeniedException", "with": ""} {
		_, creds := c.withProfile(t, role)
		_, err := get(t.Context(), c.ssm(creds), "/kip/a")
		wantCode(t, err, code)
	}
}

// Calls of the Parameter Store go the way of all others: through limits and
// faults, into the journal, which has no value.
func TestParametersAreLimitedSpoiltAndRecorded(t *testing.T) {
	c := newCloud(t)
	client := c.ssm(operator())
	if err := c.faults.Replace(faults.Plan{Errors: []faults.Refusal{{Action: "PutParameter", Code: "InternalServerError", Count: 1}}}); err != nil {
		t.Fatal(err)
	}
	_, err := put(t.Context(), client, "/kip/a", "very secret", secure)
	wantCode(t, err, "InternalServerError")
	if err := c.limits.Set(throttle.Settings{Scale: 1, Limits: map[string]throttle.Limits{"ssm:PutParameter": {Requests: throttle.Limit{Burst: 3, PerSecond: 0.001}}}}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err = put(t.Context(), client, "/kip/a", "very secret", secure, overwrite)
		wantCode(t, err, "")
	}
	_, err = put(t.Context(), client, "/kip/a", "very secret", secure, overwrite)
	wantCode(t, err, "ThrottlingException")
	_, err = get(t.Context(), client, "/kip/a")
	wantCode(t, err, "")
	calls := c.journal.Since(0, "PutParameter")
	if len(calls) != 5 || calls[4].Code != "ThrottlingException" || calls[4].Fault != "limited" {
		t.Errorf("journal %+v", calls)
	}
	for _, call := range calls {
		if call.Params["Name"] != "/kip/a" || call.Params["Value.Size"] != "11" || strings.Contains(fmt.Sprint(call), "very secret") {
			t.Errorf("journal %+v", call)
		}
	}
}
