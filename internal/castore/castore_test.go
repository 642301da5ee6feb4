package castore

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/test/fixture"
)

var apiServer fixture.APIServer

func TestMain(m *testing.M) { os.Exit(apiServer.Run(m)) }

// namespace makes one for a test.
func namespace(t *testing.T, c client.Client) string {
	t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "castore-"}}
	if err := c.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n.Name
}

func secretIn(t *testing.T, c client.Client, namespace string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: SecretName}, secret); err != nil {
		t.Fatal(err)
	}
	return secret
}

func load(t *testing.T, c client.Client, namespace string) pki.Authorities {
	t.Helper()
	authorities, err := Load(t.Context(), c, namespace, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return authorities
}

func TestMadeOnceAndReadAgain(t *testing.T) {
	c := apiServer.Client(t)
	namespace := namespace(t, c)
	first, second := load(t, c, namespace).Current, load(t, c, namespace).Current
	if !bytes.Equal(first.CertificatePEM(), second.CertificatePEM()) {
		t.Error("the second load gives another authority")
	}
	secret := secretIn(t, c, namespace)
	if secret.Type != corev1.SecretTypeTLS || !bytes.Equal(secret.Data["tls.crt"], first.CertificatePEM()) {
		t.Errorf("the Secret is of type %s", secret.Type)
	}
	// A cell gets the same key from both.
	id := pki.CellID{UID: "1", Attempt: 1, Start: time.Now()}
	_, one, err := first.CellCertificate(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, other, err := second.CellCertificate(id); err != nil || !bytes.Equal(one, other) {
		t.Errorf("the authority that is read gives a cell another key, error %v", err)
	}
}

// TestRace starts many operators at once: all use the authority of one of them.
func TestRace(t *testing.T) {
	c := apiServer.Client(t)
	namespace := namespace(t, c)
	certificates := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range certificates {
		wg.Go(func() {
			ca, err := Load(t.Context(), c, namespace, time.Now())
			if err != nil {
				t.Error(err)
				return
			}
			certificates[i] = ca.Current.CertificatePEM()
		})
	}
	wg.Wait()
	stored := secretIn(t, c, namespace).Data[corev1.TLSCertKey]
	for i := range certificates {
		if !bytes.Equal(certificates[i], stored) {
			t.Errorf("operator %d uses an authority that is not stored", i)
		}
	}
}

// lateClient does not see the Secret at first, as one that loses a race.
type lateClient struct {
	client.Client
	once sync.Once
	miss func()
}

func (l *lateClient) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	l.once.Do(l.miss)
	return l.Client.Create(ctx, o, options...)
}

// TestLostRace lets another operator make the Secret between look and creation.
func TestLostRace(t *testing.T) {
	c := apiServer.Client(t)
	namespace := namespace(t, c)
	var winner pki.Authorities
	ca, err := Load(t.Context(), &lateClient{Client: c, miss: func() {
		var err error
		if winner, err = Load(t.Context(), c, namespace, time.Now()); err != nil {
			t.Error(err)
		}
	}}, namespace, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if ca.Current.ID() != winner.Current.ID() {
		t.Error("the loser keeps its own authority")
	}
}

// TestRefusedWhileCellsTrustAnother: cells with an instance, or with a launch
// that may have taken effect, hold the authority that is lost.
func TestRefusedWhileCellsTrustAnother(t *testing.T) {
	c := apiServer.Client(t)
	now := metav1.Now()
	open := v1beta1.LaunchAttempt{Number: 1, InstanceType: "t3.nano", SubnetID: "subnet-1", ImageID: "ami-1", StartTime: now}
	ended := open
	ended.EndTime = &now
	for name, test := range map[string]struct {
		status v1beta1.CellStatus
		want   string // part of the error
	}{
		"nothing launched": {v1beta1.CellStatus{}, ""},
		"instance":         {v1beta1.CellStatus{InstanceID: "i-0123", Attempts: []v1beta1.LaunchAttempt{open}}, "i-0123"},
		"open attempt":     {v1beta1.CellStatus{Attempts: []v1beta1.LaunchAttempt{open}}, "being launched"},
		"instance gone":    {v1beta1.CellStatus{Phase: v1beta1.CellFailed, InstanceID: "i-0123", Attempts: []v1beta1.LaunchAttempt{open}}, ""},
		"failed attempt":   {v1beta1.CellStatus{Attempts: []v1beta1.LaunchAttempt{ended}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := namespace(t, c)
			cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{GenerateName: "cell-"}, Spec: v1beta1.CellSpec{CellClassName: "default"}}
			if err := c.Create(t.Context(), cell); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Delete(context.Background(), cell) })
			cell.Status = test.status
			if err := c.Status().Update(t.Context(), cell); err != nil {
				t.Fatal(err)
			}
			_, err := Load(t.Context(), c, namespace, time.Now())
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			for _, text := range []string{test.want, cell.Name, namespace + "/" + SecretName, "restore"} {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("error %v lacks %q", err, text)
				}
			}
			if strings.Contains(err.Error(), "event") {
				t.Fatal(err)
			}
			wantEvent(t, c, namespace, v1beta1.ReasonAuthorityLost, test.want)
			err = c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: SecretName}, &corev1.Secret{})
			if client.IgnoreNotFound(err) != nil || err == nil {
				t.Errorf("the Secret was made: %v", err)
			}
		})
	}
}

// TestMadeAnewForCellsThatEnd: to delete all Cells is what the error says, and
// their finalizers need an operator that runs.
func TestMadeAnewForCellsThatEnd(t *testing.T) {
	c := apiServer.Client(t)
	namespace := namespace(t, c)
	cell := &v1beta1.Cell{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "cell-", Finalizers: []string{"kip.elotl.co/test"}},
		Spec:       v1beta1.CellSpec{CellClassName: "default"},
	}
	if err := c.Create(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cell.Finalizers = nil
		_ = c.Update(context.Background(), cell)
	})
	cell.Status = v1beta1.CellStatus{InstanceID: "i-0123"}
	if err := c.Status().Update(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), c, namespace, time.Now()); err == nil || !strings.Contains(err.Error(), "delete all Cells") {
		t.Errorf("before: error %v", err)
	}
	if err := c.Delete(t.Context(), cell); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(cell), cell); err != nil || cell.DeletionTimestamp == nil {
		t.Fatalf("the Cell is not being deleted: %v", err)
	}
	if made := load(t, c, namespace).Current; !bytes.Equal(secretIn(t, c, namespace).Data[corev1.TLSCertKey], made.CertificatePEM()) {
		t.Error("the authority that was made is not stored")
	}
}

// TestDamagedSecret: it is neither used nor replaced.
func TestDamagedSecret(t *testing.T) {
	c := apiServer.Client(t)
	ca, err := pki.NewCA(time.Now(), "test")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]map[string][]byte{
		"certificate": {"tls.crt": []byte("x"), "tls.key": []byte("y")},
		"key":         {"tls.crt": ca.CertificatePEM(), "tls.key": []byte("y")},
		"empty":       {"tls.crt": nil, "tls.key": nil},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := namespace(t, c)
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SecretName}, Type: corev1.SecretTypeTLS, Data: data}
			if err := c.Create(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(t.Context(), c, namespace, time.Now()); err == nil || !strings.Contains(err.Error(), namespace+"/"+SecretName) {
				t.Errorf("error %v", err)
			}
			if is := secretIn(t, c, namespace); is.ResourceVersion != secret.ResourceVersion {
				t.Error("the Secret was changed")
			}
		})
	}
}
