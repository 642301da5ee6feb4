package hollow

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/internal/itzo"
)

// TestAgentKilled: another agent goes on with the pod, whose container has gone on.
func TestAgentKilled(t *testing.T) {
	a := newAuthority(t)
	s := spec(60, a.userData("cell-a"))
	m := start(t, New(Config{}), s)
	c := a.client(t, s.PrivateIPs[0], "cell-a")
	if err := update(t, c, scriptedPod(s, `{"main":[{"forever":true}]}`)); err != nil {
		t.Fatal(err)
	}
	running := func(last *itzo.StatusReply) func() bool {
		return func() bool {
			reply, err := c.WaitStatus(t.Context(), "", 0, 0)
			*last = reply
			return err == nil && reply.Status.Phase == corev1.PodRunning
		}
	}
	var before, after itzo.StatusReply
	eventually(t, running(&before), "a pod that runs")
	if err := m.(boot.AgentKiller).KillAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return running(&after)() && after.Epoch != before.Epoch }, "another agent")
	if was, is := before.Status.ContainerStatuses[0], after.Status.ContainerStatuses[0]; was.ContainerID != is.ContainerID || is.RestartCount != 0 {
		t.Errorf("the container was %+v, is %+v", was, is)
	}
}

// TestNoticesComeLate: as late as metadata is answered.
func TestNoticesComeLate(t *testing.T) {
	a, delay := newAuthority(t), time.Hour
	s := spec(62, a.userData("cell-a"))
	s.Notices = func() boot.Notices { return boot.Notices{Rebalance: time.Now()} }
	s.MetadataDelay = func() time.Duration { return delay }
	start(t, New(Config{}), s)
	c := a.client(t, s.PrivateIPs[0], "cell-a")
	if err := update(t, c, scriptedPod(s, `{"main":[{"runSeconds":0.01}]}`)); err != nil {
		t.Fatal(err)
	}
	var last itzo.StatusReply
	eventually(t, func() bool {
		var err error
		last, err = c.WaitStatus(t.Context(), "", 0, 0)
		return err == nil && last.Status.Phase == corev1.PodSucceeded
	}, "the pod's end")
	if last.Notices != nil {
		t.Errorf("notices %+v", last.Notices)
	}
}
