package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/castore"
	"kip.elotl.co/test/fixture"
)

// rotationBench is an operator's namespace, with who keeps the authority; the
// test plays the cells.
type rotationBench struct {
	*bench
	namespace string
	clock     *fixture.Clock
	keeper    *castore.Keeper
}

func newRotationBench(t *testing.T) *rotationBench {
	t.Helper()
	r := &rotationBench{bench: &bench{T: t, Client: apiServer.Client(t), name: "rotation"}, clock: &fixture.Clock{}}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rotation-"}}
	if err := r.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	r.namespace = namespace.Name
	r.writeKubeconfig()
	return r
}

func (r *rotationBench) operator() *rotationBench {
	r.Helper()
	apiServer.StartManager(r, r.namespace, func(mgr ctrl.Manager) error {
		var err error
		r.keeper, err = castore.Open(r.Context(), castore.Options{
			Client: r.Client, Events: mgr.GetEventRecorder("kip"), Clock: r.clock, Namespace: r.namespace,
		})
		if err != nil {
			return err
		}
		return r.keeper.SetupWithManager(mgr)
	})
	return r
}

func (r *rotationBench) rotate(args ...string) (stdout string, err error) {
	r.Helper()
	stdout, _, err = run(r.T, "", append([]string{"rotate-ca", "--kubeconfig", r.kubeconfig, "--operator-namespace", r.namespace}, args...)...)
	return stdout, err
}

func (r *rotationBench) cell(status v1beta1.CellStatus) *v1beta1.Cell {
	r.Helper()
	cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{GenerateName: "cell-"}, Spec: v1beta1.CellSpec{CellClassName: "default"}}
	if err := r.Create(r.Context(), cell); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = r.Delete(context.Background(), cell) })
	status.InstanceID = "i-0123"
	status.Attempts = []v1beta1.LaunchAttempt{{Number: 1, InstanceType: "t3.nano", SubnetID: "subnet-1", ImageID: "ami-1", StartTime: metav1.Now()}}
	cell.Status = status
	if err := r.Status().Update(r.Context(), cell); err != nil {
		r.Fatal(err)
	}
	return cell
}

// has is what the operator notes when an agent has taken a certificate.
func (r *rotationBench) has(cell *v1beta1.Cell, authority string, trusts ...string) {
	r.Helper()
	cell.Status.Identity = &v1beta1.CellIdentity{Attempt: 1, CellCredentials: v1beta1.CellCredentials{
		Number: 1, Authority: authority, StartTime: metav1.Now(), EndTime: metav1.Now(), Trusts: trusts,
	}}
	if err := r.Status().Update(r.Context(), cell); err != nil {
		r.Fatal(err)
	}
}

func (r *rotationBench) annotation(key string) string {
	r.Helper()
	secret := &corev1.Secret{}
	if err := r.Get(r.Context(), client.ObjectKey{Namespace: r.namespace, Name: castore.SecretName}, secret); err != nil {
		r.Fatal(err)
	}
	return secret.Annotations[key]
}

// wake lets the keeper look, as its queue does when a time has come.
func (r *rotationBench) wake() {
	r.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"test/poke":%q}}}`, time.Now().Format(time.RFC3339Nano))
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: castore.SecretName}}
	if err := r.Patch(r.Context(), secret, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		r.Fatal(err)
	}
}

func wantText(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("lacks %q:\n%s", w, text)
		}
	}
}

// TestRotate: as a user does it and sees it, to the end.
func TestRotate(t *testing.T) {
	r := newRotationBench(t).operator()
	last := r.keeper.Authorities().Current.ID()
	young := r.cell(v1beta1.CellStatus{})
	old := r.cell(v1beta1.CellStatus{Conditions: []metav1.Condition{{
		Type: v1beta1.ConditionRenewable, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonAgentTakesNone, LastTransitionTime: metav1.Now(),
	}}})
	stdout, err := r.rotate("--dry-run")
	wantText(t, stdout, "1 running cells get", "1 cells have agents that take none", old.Name, "no pod is restarted")
	if err != nil || r.annotation(v1beta1.AnnotationRotate) != "" || r.keeper.Authorities().Previous != nil {
		t.Errorf("%v, the dry run was none", err)
	}
	stdout, err = r.rotate("--status")
	wantText(t, stdout, "no change of the authority is under way: all 2 cells have authority "+last)
	if err != nil {
		t.Error(err)
	}

	type result struct {
		stdout string
		err    error
	}
	ended := make(chan result, 1)
	go func() {
		stdout, err := r.rotate("--wait")
		ended <- result{stdout, err}
	}()
	fixture.Eventually(t, "two authorities", func(context.Context) error {
		if r.keeper.Authorities().Previous == nil {
			return fmt.Errorf("%v", r.keeper.Authorities().IDs())
		}
		return nil
	})
	both := r.keeper.Authorities().IDs()
	stdout, err = r.rotate("--status")
	wantText(t, stdout, "0 of 2 cells", both[0], last, young.Name, old.Name)
	if err != nil {
		t.Error(err)
	}
	r.has(young, both[0], both...)
	stdout, err = r.rotate()
	wantText(t, stdout, "under way, so that no other is begun")
	if err != nil || r.annotation(v1beta1.AnnotationRotate) != "" {
		t.Errorf("%v, another was begun", err)
	}
	stdout, _ = r.rotate("--status")
	wantText(t, stdout, "1 of 2 cells", "these take none, and keep it until they are gone: "+old.Name)
	if err := r.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Hour)
	r.wake()
	fixture.Eventually(t, "one authority", func(context.Context) error {
		if r.keeper.Authorities().Previous != nil {
			return fmt.Errorf("%v", r.keeper.Authorities().IDs())
		}
		return nil
	})
	stdout, _ = r.rotate("--status")
	wantText(t, stdout, "0 of 1 cells trust authority "+both[0]+" alone")
	r.has(young, both[0], both[0])
	end := <-ended
	wantText(t, end.stdout, "The operator is asked to.", "no change of the authority is under way: all 1 cells have authority "+both[0])
	if end.err != nil {
		t.Error(end.err)
	}
}

// TestRotateWithoutOperator: who waits is told for what, and the wish stays.
func TestRotateWithoutOperator(t *testing.T) {
	r := newRotationBench(t)
	if _, err := r.rotate(); err == nil || !strings.Contains(err.Error(), r.namespace+"/kip-ca does not exist: --operator-namespace") {
		t.Errorf("%v", err)
	}
	if _, err := castore.Load(t.Context(), r.Client, r.namespace, time.Now()); err != nil {
		t.Fatal(err)
	}
	stdout, err := r.rotate("--wait", "--timeout=2s")
	wantText(t, stdout, "waits for the operator to take notice")
	if err == nil || !strings.Contains(err.Error(), "not done within 2s, and it goes on") {
		t.Errorf("%v", err)
	}
	if r.annotation(v1beta1.AnnotationRotate) == "" {
		t.Error("the operator is not asked any more")
	}
}

// TestRotateWithAnUnusableSecret fails at once and says what to do, which helps.
func TestRotateWithAnUnusableSecret(t *testing.T) {
	r := newRotationBench(t).operator()
	r.cell(v1beta1.CellStatus{})
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"data":{"tls.key":"aGVsbG8="}}`))
	if err := r.Patch(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: castore.SecretName}}, patch); err != nil {
		t.Fatal(err)
	}
	fixture.Eventually(t, "the operator has seen it", func(context.Context) error {
		if r.annotation(castore.AnnotationProblem) == "" {
			return fmt.Errorf("it has not")
		}
		return nil
	})
	for _, args := range [][]string{nil, {"--wait"}, {"--dry-run"}} {
		stdout, err := r.rotate(args...)
		if err == nil || r.annotation(v1beta1.AnnotationRotate) != "" || stdout != "" {
			t.Fatalf("%v: %v, said %q", args, err, stdout)
		}
		wantText(t, err.Error(), "AuthorityUnusable: ", r.namespace+"/kip-ca", "tls.key", "delete it, and it is written back from memory", "ask again then")
	}
	stdout, err := r.rotate("--status")
	wantText(t, stdout, "AuthorityUnusable: ")
	if err != nil {
		t.Error(err)
	}
	if err := r.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: castore.SecretName}}); err != nil {
		t.Fatal(err)
	}
	fixture.Eventually(t, "asked", func(context.Context) error { _, err := r.rotate(); return err })
	fixture.Eventually(t, "two authorities", func(context.Context) error {
		if r.keeper.Authorities().Previous == nil {
			return fmt.Errorf("%v", r.keeper.Authorities().IDs())
		}
		return nil
	})
}

func TestRotateMisuse(t *testing.T) {
	for want, args := range map[string]string{
		"--timeout=0s": "--timeout=0s", "[dry-run wait]": "--wait --dry-run", "kubeconfig": "--kubeconfig=/nowhere", "unknown command": "now",
	} {
		_, _, err := run(t, "", append([]string{"rotate-ca"}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "[wait dry-run]", "[dry-run wait]"), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
