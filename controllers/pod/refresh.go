package pod

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/internal/errtext"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

// refreshEvery is how often what a running pod refers to is read again, so that
// changes of ConfigMaps and Secrets are in its volumes within a minute, though
// what is read may be as old as sharedFor; a part
// of it is left to chance, so that pods that were started together do not ask
// together.
const (
	refreshEvery  = 36 * time.Second
	refreshJitter = 0.25
	// refreshTimeout bounds one time.
	refreshTimeout = time.Minute
)

// newGiven is what is known of an agent before this operator gave it anything:
// nothing. If it has a pod it is refreshed, at any time within the first round.
func newGiven(now time.Time) *given {
	return &given{when: looked{next: now.Add(rand.N(refreshEvery))}}
}

func refreshAfter() time.Duration { return wait.Jitter(refreshEvery, refreshJitter) }

// refresh sees to it that the agent of a running pod gets what has changed of
// what the pod refers to, and its tokens before they expire.
func (c *Controller) refresh(ctx context.Context, s *scope, agent *itzo.Client, seen observation) ctrl.Result {
	last := seen.given.last()
	changed := specChanged(s.pod, seen, &last)
	if !changed && !changeable(s.pod) || terminalPhase(seen.reply.Status.Phase) || delivering(seen) {
		return ctrl.Result{}
	}
	if made := seen.calls[callRefresh]; made.state == answered && made.err != nil {
		log.FromContext(ctx).Info("Cannot refresh what the pod refers to", "error", errtext.Of(made.err))
	}
	next, scheduled := c.nextRefresh(s, seen, &last, changed)
	if left := next.Sub(c.Clock.Now()); left > 0 {
		return ctrl.Result{RequeueAfter: left}
	}
	d, err := c.deliveryOf(ctx, s, agent, seen)
	if err != nil {
		log.FromContext(ctx).Error(err, "Cannot refresh what the pod refers to")
		return ctrl.Result{RequeueAfter: refreshAfter()}
	}
	if scheduled {
		d.since = d.since.Add(-sharedFor)
	}
	c.observers.start(s.pod.UID, callRefresh, refreshTimeout, func(ctx context.Context) error {
		if seen.generation != "" {
			return c.renewUnits(ctx, unitDelivery{d, s.cell.Status.IP})
		}
		return c.renew(ctx, d)
	})
	return ctrl.Result{}
}

// nextRefresh says when, and whether that is since it is time, not since anything
// is known to have changed. What the pod lacks is waited for meanwhile.
func (c *Controller) nextRefresh(s *scope, seen observation, last *looked, changed bool) (next time.Time, scheduled bool) {
	made, awaited := seen.calls[callRefresh], seen.calls[callAwait]
	switch {
	case made.state == answered && made.err != nil:
		return made.retryAt, false
	case changed, !last.at.IsZero() && !last.sameMetadata(s.pod):
		return time.Time{}, false
	case last.lacking == nil:
		return last.next, true
	case awaited.began.Before(last.at):
		c.observers.start(s.pod.UID, callAwait, awaitTimeout, last.lacking.await)
	case awaited.state == answered && awaited.err == nil:
		return time.Time{}, false
	}
	return last.next, false
}

// specChanged says whether the agent has not been given this version of the
// pod's spec, as far as this operator and the agent know.
func specChanged(pod *corev1.Pod, seen observation, last *looked) bool {
	if !last.at.IsZero() {
		return last.generation != pod.Generation
	}
	agents := seen.reply.Status.ObservedGeneration
	return agents > 0 && agents < pod.Generation
}

// delivering says whether the agent is being given something. There is one
// delivery at a time.
func delivering(seen observation) bool {
	return seen.calls[callDispatch].state == underWay || seen.calls[callRefresh].state == underWay
}

// changeable says whether the pod's agent was given anything that may change
// while the pod runs.
func changeable(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		if podspec.Delivered(&pod.Spec.Volumes[i]) {
			return true
		}
	}
	return podspec.HasReferences(pod)
}

// renew gives the agent what has changed since the last time; of an operator
// that has just started that is everything. What cannot be read, or is no more,
// stays on the cell as it was.
func (c *Controller) renew(ctx context.Context, d delivery) error {
	objects := c.objectsOf(ctx, d)
	var failed []error
	for i := range d.pod.Spec.Volumes {
		if err := renewVolume(ctx, d, objects, i); err != nil {
			failed = append(failed, err)
		}
	}
	lacking, err := c.renewPod(ctx, d, objects)
	if err := errors.Join(append(failed, err)...); err != nil {
		return err
	}
	c.noteGiven(d, lacking)
	return nil
}

func renewVolume(ctx context.Context, d delivery, objects *nodeObjects, index int) error {
	made, err := podspec.PackageOf(d.pod, index, objects)
	if missing := (*podspec.MissingError)(nil); errors.As(err, &missing) {
		return nil
	}
	if err != nil || made == nil {
		return err
	}
	content, err := digestOf(made)
	if err != nil || content == d.given.packages[made.Name] {
		return err
	}
	return deploy(ctx, d, made, content)
}

// renewPod sends the pod when it, or what its environments refer to, is not
// what was sent last. Of a pod that the agent refuses it gets what it takes.
func (c *Controller) renewPod(ctx context.Context, d delivery, objects *nodeObjects) (*missingObject, error) {
	beside, err := besideOf(d, objects)
	if err != nil {
		return nil, err
	}
	parameters := beside.with(d)
	content, err := digestOf(parameters)
	if err != nil || content == d.given.parameters {
		return beside.lacking, err
	}
	if err := c.updateAllThatGoes(ctx, d, parameters); err != nil {
		return nil, err
	}
	return beside.lacking, nil
}
