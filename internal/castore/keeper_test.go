package castore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/pki"
	"kip.elotl.co/test/fixture"
)

// scene is an operator's namespace with its Secret.
type scene struct {
	*testing.T
	client.Client
	namespace string
	clock     *fixture.Clock
	keeper    *Keeper
	stop      func()
}

func newScene(t *testing.T) *scene {
	t.Helper()
	c := apiServer.Client(t)
	s := &scene{T: t, Client: c, namespace: namespace(t, c), clock: &fixture.Clock{}}
	return s.start()
}

// start runs an operator's keeper; the one before goes on, as another replica.
func (s *scene) start() *scene {
	s.Helper()
	s.stop = apiServer.StartManager(s, s.namespace, func(mgr ctrl.Manager) error {
		var err error
		s.keeper, err = Open(s.Context(), Options{Client: s.Client, Events: mgr.GetEventRecorder("kip"), Clock: s.clock, Namespace: s.namespace})
		if err != nil {
			return err
		}
		return s.keeper.SetupWithManager(mgr)
	})
	return s
}

// edit changes the Secret as a user does.
func (s *scene) edit(change func(*corev1.Secret)) {
	s.Helper()
	fixture.Eventually(s, "edited the Secret", func(ctx context.Context) error {
		secret := secretIn(s.T, s.Client, s.namespace)
		change(secret)
		return s.Update(ctx, secret)
	})
}

func (s *scene) askForRotation() {
	s.Helper()
	s.edit(func(secret *corev1.Secret) {
		secret.Annotations = map[string]string{v1beta1.AnnotationRotate: "now"}
	})
}

// poke wakes the keeper, as its queue does when a time has come.
func (s *scene) poke() {
	s.Helper()
	s.edit(func(secret *corev1.Secret) {
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, "test/poke", time.Now().Format(time.RFC3339Nano))
	})
}

// rotating waits until there are two authorities, stored and held.
func (s *scene) rotating() pki.Authorities {
	s.Helper()
	return s.holds("two authorities", func(a pki.Authorities) bool { return a.Previous != nil })
}

func (s *scene) holds(what string, ok func(pki.Authorities) bool) pki.Authorities {
	s.Helper()
	var held pki.Authorities
	fixture.Eventually(s, what, func(context.Context) error {
		held = s.keeper.Authorities()
		stored, err := parse(secretIn(s.T, s.Client, s.namespace).Data)
		if err != nil {
			return err
		}
		if !slices.Equal(stored.IDs(), held.IDs()) || !ok(held) {
			return fmt.Errorf("stored %v, held %v", stored.IDs(), held.IDs())
		}
		return nil
	})
	return held
}

// cell makes a Cell that was launched with an authority.
func (s *scene) cell(authority string, edit ...func(*v1beta1.CellStatus)) *v1beta1.Cell {
	s.Helper()
	cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{GenerateName: "cell-"}, Spec: v1beta1.CellSpec{CellClassName: "default"}}
	if err := s.Create(s.Context(), cell); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = s.Delete(context.Background(), cell) })
	cell.Status = v1beta1.CellStatus{InstanceID: "i-0123", Attempts: []v1beta1.LaunchAttempt{{
		Number: 1, InstanceType: "t3.nano", SubnetID: "subnet-1", ImageID: "ami-1", StartTime: metav1.Now(), Authority: authority,
	}}}
	for _, e := range edit {
		e(&cell.Status)
	}
	s.writeStatus(cell)
	return cell
}

func (s *scene) writeStatus(cell *v1beta1.Cell) {
	s.Helper()
	if err := s.Status().Update(s.Context(), cell); err != nil {
		s.Fatal(err)
	}
}

func wantEvent(t *testing.T, c client.Client, namespace, reason, text string) {
	t.Helper()
	fixture.Eventually(t, "event "+reason, func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return err
		}
		for i := range list.Items {
			if e := &list.Items[i]; strings.Contains(e.Note, "PRIVATE") {
				return fmt.Errorf("event %q quotes a key", e.Note)
			} else if e.Reason == reason && strings.Contains(e.Note, text) && e.Regarding.Name == SecretName {
				return nil
			}
		}
		return fmt.Errorf("%d others", len(list.Items))
	})
}

// TestRotation: asked by a user. The former authority stays, for this operator
// and the next one, until the last Cell that depends on it has another.
func TestRotation(t *testing.T) {
	s := newScene(t)
	last := s.keeper.Authorities().Current
	first := s.cell("") // of an operator that did not record it
	second := s.cell(last.ID())
	s.askForRotation()
	both := s.rotating()
	if both.Previous.ID() != last.ID() {
		t.Errorf("authorities %v, the first was %s", both.IDs(), last.ID())
	}
	secret := secretIn(t, s.Client, s.namespace)
	for key, want := range map[string]string{
		v1beta1.AnnotationRotate: "", v1beta1.AnnotationAuthority: both.Current.ID(), v1beta1.AnnotationPreviousAuthority: last.ID(),
	} {
		if got := secret.Annotations[key]; got != want {
			t.Errorf("annotation %s is %q, want %q", key, got, want)
		}
	}
	// An operator that knows of one only reads the one that issues.
	if alone, err := pki.ParseCA(secret.Data["tls.crt"], secret.Data["tls.key"]); err != nil || alone.ID() != both.Current.ID() {
		t.Errorf("tls.crt and tls.key are not those of the new authority, error %v", err)
	}
	wantEvent(t, s.Client, s.namespace, v1beta1.ReasonAuthorityReplaced, last.ID())

	s.clock.Advance(2 * settleTime)
	for _, cell := range []*v1beta1.Cell{first, second} {
		s.poke()
		s.stop()
		s.start() // the next operator goes on
		if held := s.rotating(); !slices.Equal(held.IDs(), both.IDs()) {
			t.Fatalf("authorities %v, want %v: Cell %s depends on the last", held.IDs(), both.IDs(), cell.Name)
		}
		cell.Status.Identity = &v1beta1.CellIdentity{Attempt: 1, CellCredentials: v1beta1.CellCredentials{
			Number: 1, Authority: both.Current.ID(), StartTime: metav1.Now(), EndTime: metav1.Now(), Trusts: both.IDs(),
		}}
		s.writeStatus(cell)
	}
	s.poke()
	alone := s.holds("only the new authority", func(a pki.Authorities) bool { return a.Previous == nil })
	if alone.Current.ID() != both.Current.ID() {
		t.Errorf("authority %s", alone.Current.ID())
	}
	secret = secretIn(t, s.Client, s.namespace)
	if len(secret.Data) != 2 || secret.Annotations[v1beta1.AnnotationPreviousAuthority] != "" {
		t.Errorf("%d keys, annotations %v", len(secret.Data), secret.Annotations)
	}
	wantEvent(t, s.Client, s.namespace, v1beta1.ReasonAuthorityDropped, last.ID())
}

// TestOneRotationForManyReplicas: all that believe to be the one that acts are
// asked at once; there is one new authority, and all have it.
func TestOneRotationForManyReplicas(t *testing.T) {
	s := newScene(t)
	keepers := []*Keeper{s.keeper}
	for range 3 {
		keepers = append(keepers, s.start().keeper)
	}
	last := s.keeper.Authorities().Current.ID()
	s.cell(last)
	s.askForRotation()
	both := s.rotating()
	for i, keeper := range keepers {
		fixture.Eventually(t, fmt.Sprintf("replica %d follows", i), func(context.Context) error {
			if held := keeper.Authorities().IDs(); !slices.Equal(held, both.IDs()) {
				return fmt.Errorf("it holds %v", held)
			}
			return nil
		})
	}
	if both.Previous.ID() != last {
		t.Errorf("the authority before is %s, not the first, %s", both.Previous.ID(), last)
	}
}

// afterGet does something once a Secret has been read.
type afterGet struct {
	client.Client
	do func()
}

func (c *afterGet) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	err := c.Client.Get(ctx, key, into, options...)
	if do := c.do; do != nil && key.Name == SecretName {
		c.do = nil
		do()
	}
	return err
}

// TestNeverGoesBack: whoever has read the Secret before it was changed does not
// take over what it held then.
func TestNeverGoesBack(t *testing.T) {
	c := &afterGet{Client: apiServer.Client(t)}
	keeper, err := Open(t.Context(), Options{Client: c, Events: events.NewFakeRecorder(10), Clock: &fixture.Clock{}, Namespace: namespace(t, c)})
	if err != nil {
		t.Fatal(err)
	}
	secret := secretIn(t, c, keeper.Namespace)
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, v1beta1.AnnotationRotate, "now")
	if err := c.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	rotated := make(chan error, 1)
	c.do = func() {
		rotate := func() {
			_, err := keeper.Reconcile(t.Context(), ctrl.Request{})
			rotated <- err
		}
		if keeper.step.TryLock() {
			keeper.step.Unlock()
			rotate() // nothing keeps it from coming between
		} else {
			go rotate()
		}
	}
	if _, err := keeper.follow(t.Context(), ctrl.Request{}); err != nil {
		t.Fatal(err)
	}
	if err := <-rotated; err != nil {
		t.Fatal(err)
	}
	stored, err := parse(secretIn(t, c, keeper.Namespace).Data)
	if err != nil || stored.Previous == nil || !slices.Equal(stored.IDs(), keeper.Authorities().IDs()) {
		t.Errorf("stored %v, held %v, %v", stored.IDs(), keeper.Authorities().IDs(), err)
	}
}

// TestSettles: a launch that was decided on before may be written after.
func TestSettles(t *testing.T) {
	s := newScene(t)
	s.askForRotation()
	both := s.rotating()
	s.poke()
	result, err := s.keeper.Reconcile(t.Context(), ctrl.Request{})
	if err != nil || result.RequeueAfter <= 0 || result.RequeueAfter > settleTime {
		t.Errorf("%+v, %v", result, err)
	}
	late := s.cell(both.Previous.ID(), func(status *v1beta1.CellStatus) { status.InstanceID = "" })
	s.clock.Advance(2 * settleTime)
	s.poke()
	if result, err = s.keeper.Reconcile(t.Context(), ctrl.Request{}); err != nil || result.RequeueAfter != dependantsLook {
		t.Errorf("%+v, %v", result, err)
	}
	if err := s.Delete(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	s.poke()
	s.holds("only the new authority", func(a pki.Authorities) bool { return a.Previous == nil })
}

func TestRotationByAge(t *testing.T) {
	s := newScene(t)
	last := s.keeper.Authorities().Current
	s.clock.Advance(time.Until(last.NotAfter()) - rotateBefore - time.Hour)
	result, err := s.keeper.Reconcile(t.Context(), ctrl.Request{})
	if err != nil || result.RequeueAfter < 59*time.Minute || result.RequeueAfter > 61*time.Minute {
		t.Errorf("an hour before: %+v, %v", result, err)
	}
	s.clock.Advance(2 * time.Hour)
	s.cell(last.ID())
	s.poke()
	if both := s.rotating(); both.Previous.ID() != last.ID() || both.Current.NotAfter().Before(last.NotAfter().Add(365*24*time.Hour)) {
		t.Errorf("authorities %v", both)
	}
}

// TestShortLivedAuthority: one of a user's own is replaced after two thirds.
func TestShortLivedAuthority(t *testing.T) {
	ca, err := pki.NewCA(time.Now(), "test")
	if err != nil {
		t.Fatal(err)
	}
	if due := rotationDue(ca); !due.Equal(ca.NotAfter().Add(-rotateBefore)) {
		t.Errorf("due %v", due)
	}
}

// TestDeletedSecretIsWrittenBack: also in the midst of a rotation.
func TestDeletedSecretIsWrittenBack(t *testing.T) {
	for name, prepare := range map[string]func(*scene){
		"one authority": func(*scene) {},
		"rotation":      func(s *scene) { s.cell(""); s.askForRotation(); s.rotating() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			prepare(s)
			before := secretIn(t, s.Client, s.namespace)
			if err := s.Delete(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			fixture.Eventually(t, "the Secret is back", func(ctx context.Context) error {
				after := &corev1.Secret{}
				if err := s.Get(ctx, client.ObjectKeyFromObject(before), after); err != nil {
					return err
				}
				if after.UID == before.UID || after.Type != before.Type || len(after.Data) != len(before.Data) {
					return errors.New("it is not another one of the same kind")
				}
				for key := range before.Data {
					if string(after.Data[key]) != string(before.Data[key]) {
						return fmt.Errorf("%s differs", key)
					}
				}
				return s.keeper.Check(nil)
			})
			wantEvent(t, s.Client, s.namespace, v1beta1.ReasonAuthorityRestored, "written back")
		})
	}
}

// TestUnusableSecret: the operator goes on with what it has, is not ready, and
// says why; what it is told to do helps.
func TestUnusableSecret(t *testing.T) {
	other, err := pki.NewCA(time.Now(), "other")
	if err != nil {
		t.Fatal(err)
	}
	key, err := other.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*corev1.Secret)
		want   string
	}{
		"damaged":          {func(s *corev1.Secret) { s.Data["tls.key"] = []byte("x") }, "tls.key"},
		"previous damaged": {func(s *corev1.Secret) { s.Data[PreviousCertKey] = []byte("x") }, PreviousCertKey},
		"previous is same": {func(s *corev1.Secret) {
			s.Data[PreviousCertKey], s.Data[PreviousPrivateKeyKey] = s.Data["tls.crt"], s.Data["tls.key"]
		}, PreviousCertKey},
		"another authority": {func(s *corev1.Secret) { s.Data["tls.crt"], s.Data["tls.key"] = other.CertificatePEM(), key }, "depends"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			before := s.keeper.Authorities().IDs()
			s.cell(before[0])
			s.edit(c.change)
			fixture.Eventually(t, "not ready", func(context.Context) error {
				if err := s.keeper.Check(nil); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "PRIVATE") {
					return fmt.Errorf("what it says is %w", err)
				}
				return nil
			})
			wantEvent(t, s.Client, s.namespace, v1beta1.ReasonAuthorityUnusable, c.want)
			if after := s.keeper.Authorities().IDs(); !slices.Equal(before, after) {
				t.Errorf("held %v, before %v", after, before)
			}
			fixture.Eventually(t, "said on the Secret", func(context.Context) error {
				if said := secretIn(t, s.Client, s.namespace).Annotations[AnnotationProblem]; !strings.Contains(said, c.want) || strings.Contains(said, "PRIVATE") {
					return fmt.Errorf("it says %q", said)
				}
				return nil
			})
			if err := s.Delete(t.Context(), secretIn(t, s.Client, s.namespace)); err != nil {
				t.Fatal(err)
			}
			fixture.Eventually(t, "ready", func(context.Context) error {
				return errors.Join(s.keeper.Check(nil), s.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: SecretName}, &corev1.Secret{}))
			})
			s.holds("what it held", func(a pki.Authorities) bool { return slices.Equal(a.IDs(), before) })
			if said, found := secretIn(t, s.Client, s.namespace).Annotations[AnnotationProblem]; found {
				t.Errorf("it still says %q", said)
			}
		})
	}
}

// TestMendedSecret: what is said of it goes.
func TestMendedSecret(t *testing.T) {
	s := newScene(t)
	key := secretIn(t, s.Client, s.namespace).Data["tls.key"]
	said := func(want bool) {
		t.Helper()
		fixture.Eventually(t, "said on the Secret", func(context.Context) error {
			if _, found := secretIn(t, s.Client, s.namespace).Annotations[AnnotationProblem]; found != want {
				return fmt.Errorf("it is said: %t", found)
			}
			return nil
		})
	}
	s.edit(func(secret *corev1.Secret) { secret.Data["tls.key"] = []byte("hello") })
	said(true)
	s.edit(func(secret *corev1.Secret) { secret.Data["tls.key"] = key })
	said(false)
}

// TestRequestOutlivesTheSecret: who deletes an unusable Secret, as advised, gets
// the change that was asked for.
func TestRequestOutlivesTheSecret(t *testing.T) {
	s := newScene(t)
	last := s.keeper.Authorities().Current.ID()
	s.cell(last)
	s.edit(func(secret *corev1.Secret) {
		secret.Data["tls.key"] = []byte("hello")
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, v1beta1.AnnotationRotate, "now")
	})
	wantEvent(t, s.Client, s.namespace, v1beta1.ReasonAuthorityUnusable, "tls.key")
	if err := s.Delete(t.Context(), secretIn(t, s.Client, s.namespace)); err != nil {
		t.Fatal(err)
	}
	wantEvent(t, s.Client, s.namespace, v1beta1.ReasonAuthorityRestored, "so is the request")
	s.holds("two authorities", func(a pki.Authorities) bool { return a.Previous != nil && a.Previous.ID() == last })
}

// TestAnotherAuthorityWhereNoCellDepends: a user's own takes effect at once.
func TestAnotherAuthorityWhereNoCellDepends(t *testing.T) {
	s := newScene(t)
	other, err := pki.NewCA(time.Now(), "other")
	if err != nil {
		t.Fatal(err)
	}
	s.edit(func(secret *corev1.Secret) {
		if err := fill(secret, other.Authorities()); err != nil {
			t.Fatal(err)
		}
	})
	s.holds("the user's", func(a pki.Authorities) bool { return a.Current.ID() == other.ID() })
	if err := s.keeper.Check(nil); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	ca, err := pki.NewCA(time.Now(), "test")
	if err != nil {
		f.Fatal(err)
	}
	key, err := ca.KeyPEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ca.CertificatePEM(), key, []byte(nil), []byte(nil))
	f.Add(ca.CertificatePEM(), key, ca.CertificatePEM(), key)
	f.Add([]byte("x"), key, []byte("x"), key)
	f.Fuzz(func(t *testing.T, certificate, key, previous, previousKey []byte) {
		a, err := parse(map[string][]byte{
			"tls.crt": certificate, "tls.key": key, PreviousCertKey: previous, PreviousPrivateKeyKey: previousKey,
		})
		if (err == nil) != (a.Current != nil) {
			t.Errorf("authorities %v, error %v", a, err)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE KEY-----") {
			t.Errorf("the error quotes what it read: %v", err)
		}
	})
}
