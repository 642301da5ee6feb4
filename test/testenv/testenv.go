// Package testenv is what tests and measurements hold of a local environment: clients, and looks at the state of the world.
package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/dev"
	"kip.elotl.co/hack/localaws/admin"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/localaws/throttle"
)

// Env is an environment that is up.
type Env struct {
	dev.Environment
	// Client is the cluster's administrator, uncached.
	client.WithWatch
	Kube kubernetes.Interface
	// Config is what Client and Kube are made from.
	Config    *rest.Config
	EC2       *ec2.Client
	Endpoints dev.Endpoints
}

// New describes an environment of a test's own: its state is below .dev/ of the repository. Its subnet is a free one that follows from that
// directory, so that tests in two copies of the repository do not meet, and what a killed test has left is found again.
func New(root, name string, hollow bool) (dev.Environment, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return dev.Environment{}, fmt.Errorf("finding the repository: %w", err)
	}
	return dev.Environment{
		Root: root, Dir: filepath.Join(root, ".dev", name), BinDir: filepath.Join(root, "bin"), Name: name, Hollow: hollow,
	}, nil
}

// Connect makes the clients.
func Connect(ctx context.Context, e dev.Environment) (*Env, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", e.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	cfg.QPS = -1
	env := &Env{Environment: e, Config: cfg}
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	if env.WithWatch, err = client.NewWithWatch(cfg, client.Options{Scheme: scheme}); err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	if env.Kube, err = kubernetes.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	if env.Endpoints, err = e.Endpoints(); err != nil {
		return nil, err
	}
	awsConfig, err := config.LoadDefaultConfig(ctx, config.WithRegion(dev.Region), config.WithBaseEndpoint("http://"+env.Endpoints.AWS),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	if err != nil {
		return nil, fmt.Errorf("connecting to the emulator: %w", err)
	}
	env.EC2 = ec2.NewFromConfig(awsConfig)
	return env, nil
}

// Scheme knows Kubernetes' types and Kip's.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

// LiveInstances are those of a class that EC2 does not call terminated; of all classes when class is empty.
func (e *Env) LiveInstances(ctx context.Context, class string) ([]types.Instance, error) {
	input := &ec2.DescribeInstancesInput{Filters: []types.Filter{
		{Name: aws.String("instance-state-name"), Values: []string{"pending", "running", "stopping", "stopped", "shutting-down"}},
	}}
	if class != "" {
		input.Filters = append(input.Filters, types.Filter{Name: aws.String("tag:" + v1beta1.TagClass), Values: []string{class}})
	}
	var live []types.Instance
	pages := ec2.NewDescribeInstancesPaginator(e.EC2, input)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describing instances: %w", err)
		}
		for _, r := range page.Reservations {
			live = append(live, r.Instances...)
		}
	}
	return live, nil
}

// Sandboxes are the instance IDs of the cells that run, or have left something behind.
func (e *Env) Sandboxes() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(e.Dir, "localaws", "sandbox", "cells"))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, entry := range entries {
		ids = append(ids, entry.Name())
	}
	return ids, nil
}

// Calls are the AWS calls after number since, of one action unless that is empty.
func (e *Env) Calls(ctx context.Context, since int64, action string) ([]journal.Entry, error) {
	query := url.Values{"since": {strconv.FormatInt(since, 10)}, "action": {action}}
	var entries []journal.Entry
	err := e.getAdmin(ctx, "journal?"+query.Encode(), &entries)
	return entries, err
}

// LastCall is the number of the newest AWS call.
func (e *Env) LastCall(ctx context.Context) (int64, error) {
	entries, err := e.Calls(ctx, 0, "")
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	return entries[len(entries)-1].Seq, nil
}

// Launches are the launch calls that bear the value of a tag, such as a class or the UID of a Cell.
func (e *Env) Launches(ctx context.Context, tag string) ([]journal.Entry, error) {
	entries, err := e.Calls(ctx, 0, "RunInstances")
	if err != nil {
		return nil, err
	}
	var out []journal.Entry
	for _, entry := range entries {
		for name, value := range entry.Params {
			if strings.HasPrefix(name, "TagSpecification.1.Tag.") && strings.HasSuffix(name, ".Value") && value == tag {
				out = append(out, entry)
			}
		}
	}
	return out, nil
}

// SetLimits changes how fast the emulated cloud may be asked.
func (e *Env) SetLimits(ctx context.Context, settings throttle.Settings) error {
	return e.tellAdmin(ctx, http.MethodPut, "limits", settings)
}

// RunDry has the emulated cloud give no instances of a type; it does again when wet is called.
func (e *Env) RunDry(ctx context.Context, instanceType string) (wet func(context.Context) error, err error) {
	err = e.tellAdmin(ctx, http.MethodPost, "faults", faults.Plan{Capacity: []faults.Dry{{InstanceType: instanceType}}})
	return func(ctx context.Context) error {
		return e.tellAdmin(ctx, http.MethodDelete, "faults/capacity?"+url.Values{"instanceType": {instanceType}}.Encode(), nil)
	}, err
}

// SetFaults says all that goes wrong in the emulated cloud from now on.
func (e *Env) SetFaults(ctx context.Context, plan faults.Plan) error {
	return e.tellAdmin(ctx, http.MethodPut, "faults", plan)
}

// Interrupt takes a Spot instance back: its metadata says so at once, and it ends when the time of the notice is over.
func (e *Env) Interrupt(ctx context.Context, instanceID string, notice time.Duration) error {
	return e.tellAdmin(ctx, http.MethodPost, "instances/"+url.PathEscape(instanceID)+"/kill", admin.KillRequest{Spot: true, Notice: faults.Duration(notice)})
}

func (e *Env) tellAdmin(ctx context.Context, method, path string, what any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+e.Endpoints.AWS+admin.Prefix+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("telling the emulator: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("telling the emulator %s: %s", path, response.Status)
	}
	return nil
}

func (e *Env) getAdmin(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.Endpoints.AWS+admin.Prefix+path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking the emulator: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("asking the emulator for %s: %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}
