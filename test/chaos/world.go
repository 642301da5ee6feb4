package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/dev"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/test/testenv"
)

// world looks at what is left of experiments, around the operator.
type world struct {
	env *testenv.Env
	ssm *ssm.Client
	// since is the number of the last call to the cloud before them.
	since int64
	// owners are the pods, by the names of their Cells.
	owners map[string]string
}

func newWorld(ctx context.Context, env *testenv.Env) (*world, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(dev.Region), config.WithBaseEndpoint("http://"+env.Endpoints.AWS),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	if err != nil {
		return nil, fmt.Errorf("connecting to the emulator: %w", err)
	}
	since, err := env.LastCall(ctx)
	return &world{env: env, ssm: ssm.NewFromConfig(cfg), since: since, owners: map[string]string{}}, err
}

// launches are the instances that were launched, by pod, in the order of the calls.
func (w *world) launches(ctx context.Context) (map[string][]string, error) {
	entries, err := w.env.Calls(ctx, w.since, "RunInstances")
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for i := range entries {
		owner := w.ownerOf(entries[i])
		out[owner] = append(out[owner], entries[i].Created...)
	}
	return out, nil
}

// ownerOf is the pod, or the Cell without one, for which a launch call was made.
func (w *world) ownerOf(call journal.Entry) string {
	for name, value := range call.Params {
		index, isKey := strings.CutSuffix(name, ".Key")
		if !isKey || value != v1beta1.TagName || !strings.HasPrefix(name, "TagSpecification.1.") {
			continue
		}
		cell := call.Params[index+".Value"]
		if pod, known := w.owners[cell]; known {
			return pod
		}
		return cell
	}
	return ""
}

// left is what there is of Cells, instances, parameters and routes, as texts by pod; what is nobody's has no pod.
func (w *world) left(ctx context.Context) (map[string][]string, error) {
	out := map[string][]string{}
	launched, err := w.launches(ctx)
	if err != nil {
		return nil, err
	}
	owners := map[string]string{}
	for pod, ids := range launched {
		for _, id := range ids {
			owners[id] = pod
		}
	}
	return out, errors.Join(w.cells(ctx, out), w.instances(ctx, owners, out), w.parameters(ctx, owners, out), w.routes(ctx, owners, out))
}

func (w *world) cells(ctx context.Context, out map[string][]string) error {
	var list v1beta1.CellList
	if err := w.env.List(ctx, &list); err != nil {
		return fmt.Errorf("listing Cells: %w", err)
	}
	for i := range list.Items {
		owner := list.Items[i].Name
		if ref := list.Items[i].Spec.PodRef; ref != nil {
			owner = ref.Name
		}
		out[owner] = append(out[owner], "Cell "+list.Items[i].Name)
	}
	return nil
}

func (w *world) instances(ctx context.Context, owners map[string]string, out map[string][]string) error {
	live, err := w.env.LiveInstances(ctx, "")
	for i := range live {
		id := aws.ToString(live[i].InstanceId)
		out[owners[id]] = append(out[owners[id]], fmt.Sprintf("instance %s (%s)", id, live[i].State.Name))
	}
	return err
}

// parameters are /kip/cells/<instance>/<name>.
func (w *world) parameters(ctx context.Context, owners map[string]string, out map[string][]string) error {
	pages := ssm.NewDescribeParametersPaginator(w.ssm, &ssm.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{
		{Key: aws.String("Path"), Option: aws.String("Recursive"), Values: []string{"/kip/cells"}}}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("describing parameters: %w", err)
		}
		for i := range page.Parameters {
			name := aws.ToString(page.Parameters[i].Name)
			instance, _, _ := strings.Cut(strings.TrimPrefix(name, "/kip/cells/"), "/")
			out[owners[instance]] = append(out[owners[instance]], "parameter "+name)
		}
	}
	return nil
}

// routes are those to instances, and those to what was one.
func (w *world) routes(ctx context.Context, owners map[string]string, out map[string][]string) error {
	tables, err := w.env.EC2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{})
	if err != nil {
		return fmt.Errorf("describing route tables: %w", err)
	}
	ours := netip.MustParsePrefix(routesIn)
	for _, table := range tables.RouteTables {
		for i := range table.Routes {
			cidr, err := netip.ParsePrefix(aws.ToString(table.Routes[i].DestinationCidrBlock))
			if err == nil && ours.Contains(cidr.Addr()) {
				owner := owners[aws.ToString(table.Routes[i].InstanceId)]
				out[owner] = append(out[owner], "route "+cidr.String())
			}
		}
	}
	return nil
}
