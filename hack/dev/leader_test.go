package dev

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/hack/proc"
)

// apiServer is a real one with the operator's namespace.
func apiServer(t *testing.T) kubernetes.Interface {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS does not name a directory with a kube-apiserver: make test builds one")
	}
	log.SetLogger(logr.Discard())
	const busy = 2 * time.Minute // to start on a machine that is
	env := &envtest.Environment{ControlPlaneStartTimeout: busy, ControlPlaneStopTimeout: busy}
	config, err := env.Start()
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	if _, err := kube.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return kube
}

// runOperator starts something that stands for the operator, and ends it with the test.
func runOperator(t *testing.T, e Environment) proc.Process {
	t.Helper()
	p, err := proc.Start(t.Context(), proc.Spec{Name: Operator, Dir: e.Dir, Path: "/bin/sleep", Args: []string{"1000"}, DieWithParent: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proc.Stop(context.WithoutCancel(t.Context()), e.Dir, Operator, 0); err != nil {
			t.Error(err)
		}
	})
	return p
}

// hand makes somebody the lease's holder, as leader election does.
func hand(t *testing.T, kube kubernetes.Interface, holder string, acquired time.Time) {
	t.Helper()
	leases, micro := kube.CoordinationV1().Leases(Namespace), metav1.NewMicroTime(acquired)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: leaseName},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, AcquireTime: &micro, RenewTime: &micro},
	}
	_, err := leases.Create(t.Context(), lease, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		var there *coordinationv1.Lease
		if there, err = leases.Get(t.Context(), leaseName, metav1.GetOptions{}); err == nil {
			lease.ResourceVersion = there.ResourceVersion
			_, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func held(t *testing.T, kube kubernetes.Interface) bool {
	t.Helper()
	_, err := kube.CoordinationV1().Leases(Namespace).Get(t.Context(), leaseName, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestLeads(t *testing.T) {
	kube, e := apiServer(t), testEnvironment(t, true)
	operator := runOperator(t, e)
	expect := func(step, want string) {
		t.Helper()
		err := e.leads(t.Context(), kube)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", step, err, want)
		}
	}
	expect("without a lease", "not found")
	hand(t, kube, "", time.Now())
	expect("with a released lease", "no operator leads")
	hand(t, kube, "stranger", operator.Since.Add(-time.Second))
	expect("with somebody else's lease", "stranger still holds the lease")
	if !held(t, kube) {
		t.Error("the lease of an operator that is not this environment's was removed")
	}
	hand(t, kube, "first", time.Now())
	expect("when it leads", "")
	if content, err := os.ReadFile(filepath.Join(e.Dir, leaderFile)); err != nil || string(content) != "first" {
		t.Errorf("remembered: %q, %v", content, err)
	}

	// It is killed; the next one finds its lease.
	if err := proc.Stop(t.Context(), e.Dir, Operator, 0); err != nil {
		t.Fatal(err)
	}
	runOperator(t, e)
	expect("after a kill", "first still holds the lease")
	if held(t, kube) {
		t.Error("the killed operator's lease is still there")
	}
	hand(t, kube, "second", time.Now())
	expect("when the next one leads", "")
}
