package main

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/castore"
)

// rotation is how far a change of the authority is.
type rotation struct {
	// asked: the operator has not taken notice yet.
	asked bool
	// problem is why the operator does not follow the Secret; empty when it does.
	problem string
	// current and previous are IDs; empty where there is none, or where it has not
	// been noted.
	current, previous, rotated string
	// cells have an instance. Of these, waiting depend on the previous authority,
	// trusting still let its clients in, and old have an agent that takes no
	// certificate.
	cells                  int
	waiting, trusting, old []string
}

func secretMetadata(namespace string) *metav1.PartialObjectMetadata {
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	secret.Namespace, secret.Name = namespace, castore.SecretName
	return secret
}

func (o *rotateOptions) read(ctx context.Context, api client.Client) (*rotation, error) {
	secret := secretMetadata(o.namespace)
	err := api.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("secret %s/%s does not exist: --operator-namespace must be that of Kip's operator, which makes it: %w", o.namespace, castore.SecretName, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of Secret %s/%s: %w", o.namespace, castore.SecretName, err)
	}
	var cells v1beta1.CellList
	if err := api.List(ctx, &cells); err != nil {
		return nil, fmt.Errorf("listing Cells: %w", err)
	}
	r := &rotation{
		asked:   secret.Annotations[v1beta1.AnnotationRotate] != "",
		problem: secret.Annotations[castore.AnnotationProblem],
		current: secret.Annotations[v1beta1.AnnotationAuthority], previous: secret.Annotations[v1beta1.AnnotationPreviousAuthority],
		rotated: secret.Annotations[v1beta1.AnnotationRotated],
	}
	for i := range cells.Items {
		r.count(&cells.Items[i])
	}
	return r, nil
}

func (r *rotation) count(cell *v1beta1.Cell) {
	if !castore.HasInstance(cell) {
		return
	}
	r.cells++
	if renewable := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionRenewable); renewable != nil && renewable.Reason == v1beta1.ReasonAgentTakesNone {
		r.old = append(r.old, cell.Name)
	}
	switch {
	case r.previous != "" && castore.DependsOn(cell, r.previous):
		r.waiting = append(r.waiting, cell.Name)
	case r.current != "" && castore.TrustsOthers(cell, r.current):
		r.trusting = append(r.trusting, cell.Name)
	}
}

// running says whether a change is under way.
func (r *rotation) running() bool { return r.asked || r.previous != "" || len(r.trusting) > 0 }

// unusable is the error where the operator does not follow the Secret.
func (r *rotation) unusable() error {
	if r.problem == "" {
		return nil
	}
	next := "ask again then"
	if r.asked {
		next = "the request that it has is kept, and followed then"
	}
	return fmt.Errorf("%s: %s; %s", v1beta1.ReasonAuthorityUnusable, r.problem, next)
}

// String is the one line that says how far it is.
func (r *rotation) String() string {
	switch {
	case r.problem != "":
		return r.unusable().Error()
	case r.asked:
		return "waits for the operator to take notice"
	case len(r.waiting) > 0:
		text := fmt.Sprintf("%d of %d cells have a certificate of authority %s; %s is waited for by %s",
			r.cells-len(r.waiting), r.cells, r.current, r.previous, names(r.waiting))
		if len(r.old) > 0 {
			text += fmt.Sprintf("; these take none, and keep it until they are gone: %s", names(r.old))
		}
		return text
	case r.previous != "":
		return fmt.Sprintf("all %d cells have a certificate of authority %s; %s is dropped next", r.cells, r.current, r.previous)
	case len(r.trusting) > 0:
		return fmt.Sprintf("%d of %d cells trust authority %s alone", r.cells-len(r.trusting), r.cells, r.current)
	case r.current == "":
		return "no change of the authority is under way, and there was none"
	}
	return fmt.Sprintf("no change of the authority is under way: all %d cells have authority %s", r.cells, r.current)
}

// plan says what will happen.
func (r *rotation) plan(out io.Writer) {
	if r.running() {
		fmt.Fprintln(out, "A change of the authority is under way, so that no other is begun.")
		return
	}
	fmt.Fprintf(out, "A second certificate authority is made, and %d running cells get a certificate of it; no pod is restarted.\n", r.cells-len(r.old))
	if len(r.old) > 0 {
		fmt.Fprintf(out, "%d cells have agents that take none, and keep the present authority until they are gone: %s\n", len(r.old), names(r.old))
	}
	fmt.Fprintln(out, "The present one is dropped when no cell depends on it.")
}
