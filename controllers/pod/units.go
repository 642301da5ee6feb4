package pod

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/crashpoint"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podfields"
	"kip.elotl.co/internal/podspec"
)

// refuseUnits says why an agent of the first Kip cannot run the pod as it is
// written.
func refuseUnits(pod *corev1.Pod, generation itzo.Generation) *refusal {
	if generation == "" {
		return nil
	}
	return refuse(pod, generation.Info())
}

// unitDelivery is a delivery to an agent of the first Kip, on the cell with that
// address.
type unitDelivery struct {
	delivery
	host string
}

// unitObjects knows nothing of what the cell has: these agents do not tell.
// What would need it is refused.
type unitObjects struct{ *nodeObjects }

// Cell implements podspec.Objects.
func (unitObjects) Cell() (podfields.Cell, error) { return podfields.Cell{}, nil }

// deliverUnits gives an agent the content of all volumes and then, once, the
// units: it starts them with what there is, so nothing may be missing.
func (c *Controller) deliverUnits(ctx context.Context, d unitDelivery) error {
	objects := c.objectsOf(ctx, d.delivery)
	beside, err := besideOf(d.delivery, objects)
	if err != nil {
		return err
	}
	if beside.lacking != nil {
		return beside.lacking
	}
	given := podspec.Given{References: beside.references, Services: beside.services, Credentials: beside.credentials}
	// What is no address stays invalid, and is not sent.
	given.PodIP, _ = netip.ParseAddr(d.podIP)
	given.Host, _ = netip.ParseAddr(d.host)
	parameters, err := podspec.Units(podspec.WithDNS(d.pod, d.dns), given)
	if err != nil {
		return err
	}
	if err := deliverUnitVolumes(ctx, d, objects, given); err != nil {
		return err
	}
	if err := c.mark(ctx, d.pod, d.cell); err != nil {
		return err
	}
	if !d.pod.DeletionTimestamp.IsZero() {
		return errEnding
	}
	if err := updatePod(ctx, d.delivery, parameters); err != nil {
		return orRefusal(ctx, d.delivery, err)
	}
	c.noteGiven(d.delivery, nil)
	return nil
}

func deliverUnitVolumes(ctx context.Context, d unitDelivery, objects *nodeObjects, given podspec.Given) error {
	made, err := podspec.Packages(d.pod, unitObjects{objects})
	if missing := (*podspec.MissingError)(nil); errors.As(err, &missing) {
		return objects.lacking(missing)
	}
	if err != nil {
		return err
	}
	packages := podspec.OwnUnitPackages(podspec.WithDNS(d.pod, d.dns), given)
	for i := range made {
		packages = append(packages, podspec.UnitPackageOf(d.pod, made[i]))
	}
	for i := range packages {
		if err := deployUnits(ctx, d, &packages[i]); err != nil {
			return err
		}
	}
	return nil
}

// deployUnits sends the content of one volume, unless the agent has it.
func deployUnits(ctx context.Context, d unitDelivery, p *podspec.UnitPackage) error {
	content, err := digestOf(p)
	if err != nil || content == d.given.packages[p.Name] {
		return err
	}
	return send(ctx, d.delivery, p.Name, content, func(w io.Writer) error { return itzo.WriteOwnedPackage(w, p.Owner, p.Files) })
}

// renewUnits brings changes to the volumes. The units are never sent again: the
// agent would take up some changes by starting containers anew, and others not
// at all.
func (c *Controller) renewUnits(ctx context.Context, d unitDelivery) error {
	objects := c.objectsOf(ctx, d.delivery)
	var failed []error
	for i := range d.pod.Spec.Volumes {
		made, err := podspec.PackageOf(d.pod, i, unitObjects{objects})
		if missing := (*podspec.MissingError)(nil); errors.As(err, &missing) {
			continue // it stays as it was
		}
		if err == nil && made != nil {
			p := podspec.UnitPackageOf(d.pod, *made)
			err = deployUnits(ctx, d, &p)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if was := d.given.accepted; was != nil {
		c.tellRefused(d.delivery, was.keepImages(d.pod.DeepCopy()))
	}
	c.noteGiven(d.delivery, nil)
	return nil
}

// stopScript ends the processes that a unit's helper, which is process 1 there,
// has started, and waits until they are gone. The shell itself is not one of
// them: its parent is outside. When the helper ends too, so does the script, by a
// signal. Where there is no sleep it ends with 3.
const stopScript = `pids=
for d in /proc/[0-9]*; do
  while read -r key value rest; do
    case "$key $value" in "PPid: 1") pids="$pids ${d#/proc/}" ;; esac
  done < "$d/status"
done 2>/dev/null
kill -TERM $pids 2>/dev/null
echo told
for pid in $pids; do
  while kill -0 "$pid" 2>/dev/null; do sleep 1 || exit 3; done
done`

const (
	// stopTold is what stopScript says when it has sent SIGTERM, and
	// stopCannotWait its exit code when it cannot wait for the end.
	stopTold       = "told"
	stopCannotWait = 3
)

// reasonNotGraceful is that of the event about containers that got no SIGTERM.
const reasonNotGraceful = "GracefulStopFailed"

// stopUnits sends the containers a SIGTERM, as far as they have a shell, and
// returns when they have ended, or their grace period has. These agents know no
// stop: what runs then ends with the cell. An error is that of an agent that
// does not answer.
func (c *Controller) stopUnits(ctx context.Context, pod *corev1.Pod, agent *itzo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.graceLeft(pod))*time.Second)
	defer cancel()
	var work sync.WaitGroup
	untold, failed := make([]string, len(pod.Spec.Containers)), make([]error, len(pod.Spec.Containers))
	for i := range pod.Spec.Containers {
		name := pod.Spec.Containers[i].Name
		if hasEnded(pod, name) {
			continue
		}
		work.Go(func() {
			crashpoint.Reach(ctx, crashpoint.StopBefore, pod)
			result, err := agent.Exec(ctx, itzo.ExecRequest{
				PodName: itzo.FormatPodName(pod.Namespace, pod.Name), UnitName: name, Command: []string{"/bin/sh", "-c", stopScript},
			})
			crashpoint.Reach(ctx, crashpoint.StopAfter, pod)
			switch {
			case ctx.Err() != nil:
			case itzo.IsNotReady(err):
				failed[i] = err // it may answer the next time
			case err != nil || !bytes.HasPrefix(result.Output, []byte(stopTold)):
				untold[i] = name
			case result.ExitCode == stopCannotWait:
				<-ctx.Done()
			}
		})
	}
	work.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if names := strings.Join(strings.Fields(strings.Join(untold, " ")), ", "); names != "" {
		c.warn(pod, reasonNotGraceful, "containers that could not be sent SIGTERM, for which an agent of this kind needs a shell, "+
			"/etc/passwd and /etc/group in their image: "+names)
	}
	return nil
}

func hasEnded(pod *corev1.Pod, container string) bool {
	for i := range pod.Status.ContainerStatuses {
		if is := &pod.Status.ContainerStatuses[i]; is.Name == container {
			return is.State.Terminated != nil
		}
	}
	return false
}

// unitsStopped says whether stopUnits has done what it can.
func unitsStopped(seen observation) bool {
	made := seen.calls[callStop]
	return seen.generation != "" && made.state == answered && made.err == nil
}
