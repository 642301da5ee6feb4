package pod_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/api/v1beta1"
)

// root is the module's.
var root = filepath.Join("..", "..")

// cluster is the API server that all tests share; nil when it cannot be had.
var cluster *apiServer

type apiServer struct {
	scheme *runtime.Scheme
	// admin may do anything; operator has the rights that the operator's
	// ServiceAccount has, and no more.
	admin    client.WithWatch
	config   *rest.Config
	operator *rest.Config
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	log.SetLogger(logr.Discard())
	bin, err := filepath.Abs(cmp.Or(os.Getenv("KUBEBUILDER_ASSETS"), filepath.Join(root, "bin")))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return m.Run()
		}
	}
	env := &envtest.Environment{
		BinaryAssetsDirectory: bin,
		CRDDirectoryPaths:     []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	env.ControlPlane.GetAPIServer().Configure().
		Set("authorization-mode", "Node", "RBAC").
		Append("enable-admission-plugins", "NodeRestriction")
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	if cluster, err = start(env); err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server:", err)
		return 1
	}
	return m.Run()
}

func start(env *envtest.Environment) (*apiServer, error) {
	config, err := env.Start()
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	s := &apiServer{scheme: runtime.NewScheme(), config: config}
	if err := errors.Join(clientgoscheme.AddToScheme(s.scheme), v1beta1.AddToScheme(s.scheme)); err != nil {
		return nil, err
	}
	if s.admin, err = client.NewWithWatch(config, client.Options{Scheme: s.scheme}); err != nil {
		return nil, err
	}
	if err := s.grant(context.Background()); err != nil {
		return nil, err
	}
	user, err := env.AddUser(envtest.User{Name: "system:serviceaccount:kip-system:kip", Groups: []string{"system:serviceaccounts"}}, config)
	if err != nil {
		return nil, err
	}
	s.operator = user.Config()
	s.operator.QPS = -1
	return s, nil
}

// grant applies the operator's rights as they are deployed.
func (s *apiServer) grant(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kip-system"}}
	if err := s.admin.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	for _, name := range []string{"role.yaml", "role_binding.yaml"} {
		data, err := os.ReadFile(filepath.Join(root, "config", "rbac", name))
		if err != nil {
			return err
		}
		if err := s.apply(ctx, data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (s *apiServer) apply(ctx context.Context, data []byte) error {
	for documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096); ; {
		object := &unstructured.Unstructured{}
		err := documents.Decode(object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(object.Object) == 0 {
			continue
		}
		if err := s.admin.Create(ctx, object); err != nil {
			return err
		}
	}
}
