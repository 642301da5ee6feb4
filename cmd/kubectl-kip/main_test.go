package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/controllers/cell"
	"kip.elotl.co/controllers/cellclass"
	"kip.elotl.co/hack/localaws/boot/boottest"
	"kip.elotl.co/hack/localaws/ec2"
	"kip.elotl.co/hack/localaws/world"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/internal/virtualnode"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// The emulated cloud's.
const (
	subnetA = "subnet-0000000c0ffee0010"
	subnetB = "subnet-0000000c0ffee0011"
	group   = "sg-0000000c0ffee0021"
)

// bench is a cluster with an operator, a cloud, and the environment of a user
// who has access to both. Tests with one change that environment, so they run
// one after the other, and clean up.
type bench struct {
	*testing.T
	client.Client
	cloud *fixture.Cloud
	// kubeconfig is the administrator's; the namespace of its context is "shop".
	kubeconfig string
	name       string
	made       []client.Object
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		T: t, Client: apiServer.Client(t), name: strings.ToLower(strings.TrimPrefix(t.Name(), "Test")),
		cloud: fixture.NewCloud(t, func(c *world.Config) { c.Backend = &boottest.Backend{} }),
	}
	server := httptest.NewServer(ec2.New(ec2.Config{
		World: b.cloud.World, Journal: b.cloud.Journal, Faults: b.cloud.Faults, Clock: clock.RealClock{}, Log: logr.Discard(),
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	b.writeKubeconfig()
	apiServer.StartManager(t, b.name, b.operator)
	return b
}

// operator sets up the controllers of classes and cells.
func (b *bench) operator(mgr ctrl.Manager) error {
	clientset, err := kubernetes.NewForConfig(mgr.GetConfig())
	if err != nil {
		return err
	}
	ca, err := pki.NewCA(time.Now(), "test")
	if err != nil {
		return err
	}
	wall, events := &fixture.Clock{}, mgr.GetEventRecorder("kip")
	offers := fixture.Catalogue(b, mgr, b.cloud, wall)
	return errors.Join(
		cellclass.New(cellclass.Options{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Cloud: b.cloud, Catalogue: offers, Events: events, Clock: wall,
			Leases: virtualnode.NewLeases(clientset, wall), Ports: virtualnode.NewPorts("127.0.0.1", 20000, 10000), About: virtualnode.About{Kubelet: virtualnode.Endpoint{Address: "127.0.0.1"}},
		}).SetupWithManager(mgr),
		cell.New(cell.Options{
			Client: mgr.GetClient(), Cloud: b.cloud, Catalogue: offers, Authority: ca, Agents: cellagent.New(ca, time.Now),
			Events: events, Clock: wall, ClusterID: "cluster-1",
		}).SetupWithManager(mgr),
	)
}

func (b *bench) writeKubeconfig() {
	b.Helper()
	access := apiServer.Config(b.T)
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: access.Host, CertificateAuthorityData: access.CAData}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{ClientCertificateData: access.CertData, ClientKeyData: access.KeyData}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "admin", Namespace: "shop"}
	config.CurrentContext = "test"
	b.kubeconfig = filepath.Join(b.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, b.kubeconfig); err != nil {
		b.Fatal(err)
	}
}

// readyClass applies a class and waits until the operator has looked it up.
func (b *bench) readyClass(name string, edit ...func(*v1beta1.CellClassSpec)) *v1beta1.CellClass {
	b.Helper()
	class := &v1beta1.CellClass{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{fixture.TestLabel: b.name}},
		Spec: v1beta1.CellClassSpec{
			DefaultInstanceType: "t3.nano",
			BootImageSpec:       v1beta1.BootImageSpec{Owners: "self"},
			Itzo:                v1beta1.ItzoSpec{URL: "http://agents.example/itzo", Version: "v2"},
			ExtraSecurityGroups: []string{group},
			AWS:                 v1beta1.AWSSpec{Subnets: []string{subnetA, subnetB}},
		},
	}
	for _, e := range edit {
		e(&class.Spec)
	}
	b.create(class)
	return fixture.WaitFor(b, b, class, "the class is Ready", func(c *v1beta1.CellClass) error {
		if !meta.IsStatusConditionTrue(c.Status.Conditions, v1beta1.ConditionReady) {
			return fmt.Errorf("status %+v", c.Status)
		}
		return nil
	})
}

// create makes an object that clean ends.
func (b *bench) create(object client.Object) {
	b.Helper()
	if err := b.Create(b.Context(), object); err != nil {
		b.Fatal(err)
	}
	b.made = append(b.made, object)
}

// clean ends what was created, the last first, while there is an operator to
// end it: the next test may have an only class.
func (b *bench) clean() {
	b.Helper()
	for _, object := range slices.Backward(b.made) {
		if err := client.IgnoreNotFound(b.Delete(b.Context(), object)); err != nil {
			b.Error(err)
			continue
		}
		fixture.WaitGone(b, b, object)
	}
}

// file writes a manifest.
func (b *bench) file(text string) string {
	b.Helper()
	name := filepath.Join(b.TempDir(), "manifest.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

// price runs "kubectl kip price" with the administrator's kubeconfig.
func (b *bench) price(stdin string, args ...string) (stdout, stderr string, err error) {
	b.Helper()
	return run(b.T, stdin, append([]string{"price", "--kubeconfig", b.kubeconfig}, args...)...)
}

// run runs "kubectl kip" as a user would.
func run(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, notes bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&notes)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), notes.String(), err
}
