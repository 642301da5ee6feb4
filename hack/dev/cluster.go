package dev

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/devcluster"
	"kip.elotl.co/hack/localaws/admin"
	"kip.elotl.co/hack/proc"
)

// Kubectl runs kubectl as administrator with the given input and returns its output; an error holds what it complained about.
func (e Environment) Kubectl(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	return e.command(ctx, input, e.bin("kubectl"), args...)
}

func (e Environment) command(ctx context.Context, input []byte, path string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "KUBECONFIG=" + e.Kubeconfig(), "HOME=" + e.path("kubectl")}
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// apply makes the cluster hold what the YAML says.
func (e Environment) apply(ctx context.Context, yaml []byte) error {
	_, err := e.Kubectl(ctx, yaml, "apply", "--server-side", "--force-conflicts", "--field-manager=kip-dev", "--filename=-")
	return err
}

// install applies config/local and gives the operator its identity.
func (e Environment) install(ctx context.Context, cluster *devcluster.Cluster) error {
	yaml, err := e.command(ctx, nil, e.bin("kustomize"), "build", e.Root+"/config/local")
	if err != nil {
		return err
	}
	if err := e.apply(ctx, yaml); err != nil {
		return err
	}
	_, err = e.Kubectl(ctx, nil, "wait", "--for=condition=Established", "--timeout=1m",
		"crd/cells."+v1beta1.GroupVersion.Group, "crd/cellclasses."+v1beta1.GroupVersion.Group)
	if err != nil {
		return err
	}
	const month = 30 * 24 * time.Hour
	return cluster.KubeconfigForServiceAccount(ctx, Namespace, ServiceAccount, e.OperatorKubeconfig(), month)
}

//go:embed cellclass.yaml
var cellClassYAML string

// CellClassYAML is a class of that name with which cells can be made here.
func (e Environment) CellClassYAML(ctx context.Context, name string) ([]byte, error) {
	at, err := e.Endpoints()
	if err != nil {
		return nil, err
	}
	subnets, err := subnets(ctx, at.AWS)
	if err != nil {
		return nil, err
	}
	version, err := e.publishAgent()
	if err != nil {
		return nil, err
	}
	e, err = e.located()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(at.AWS)
	if err != nil {
		return nil, err
	}
	return renderClass(classValues{name, at.Registry, version, net.JoinHostPort(e.address().String(), port), subnets})
}

// classValues are what a class depends on here.
type classValues struct {
	Name, Registry, AgentVersion string
	// AWS is where cells reach the emulator.
	AWS     string
	Subnets []string
}

func renderClass(values classValues) ([]byte, error) {
	t, err := template.New("cellclass").Parse(cellClassYAML)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, values)
	return out.Bytes(), err
}

// subnets asks the emulator for the IDs of its subnets.
func subnets(ctx context.Context, aws string) ([]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+aws+admin.Prefix+"spec", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking what the emulated region has: %w", err)
	}
	defer response.Body.Close()
	var spec admin.Spec
	if err := json.NewDecoder(response.Body).Decode(&spec); err != nil {
		return nil, fmt.Errorf("asking what the emulated region has: %w", err)
	}
	var ids []string
	for _, s := range spec.Subnets {
		ids = append(ids, s.ID)
	}
	return ids, nil
}

func (e Environment) applyClass(ctx context.Context) error {
	yaml, err := e.CellClassYAML(ctx, ClassName)
	if err != nil {
		return err
	}
	return e.apply(ctx, yaml)
}

// waitForNode returns when pods can use the class: its virtual node is Ready and its RuntimeClass, without which the API server refuses them,
// is there. It fails when the operator has ended.
func (e Environment) waitForNode(ctx context.Context) error {
	kube, err := e.kube()
	if err != nil {
		return err
	}
	name := v1beta1.NodeName(ClassName)
	return proc.WaitReady(ctx, e.Dir, Operator, func(ctx context.Context) error {
		node, err := kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !nodeReady(node) {
			return errors.New("the node is not Ready")
		}
		_, err = kube.NodeV1().RuntimeClasses().Get(ctx, name, metav1.GetOptions{})
		return err
	})
}

func nodeReady(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
