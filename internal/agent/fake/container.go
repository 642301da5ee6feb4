package fake

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/internal/agent"
)

const (
	exitKilled     = 137 // SIGKILL
	exitTerminated = 143 // SIGTERM
	exitStart      = 128 // as containerd has it when a container cannot be started
)

// CreateContainer implements agent.Runtime.
func (r *Runtime) CreateContainer(_ context.Context, spec agent.ContainerSpec) (string, error) {
	script, err := parseScript(podOf(spec))
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, exists := r.pods[spec.SandboxID]; !exists {
		return "", fmt.Errorf("sandbox %s not found", spec.SandboxID)
	}
	id := r.newID(spec.Container.Name)
	r.containers = append(r.containers, &container{
		spec: spec, ended: make(chan struct{}), execs: map[string]int{}, written: newWritten(),
		run: script.run(podOf(spec), spec.Container.Name, spec.Attempt),
		Container: agent.Container{
			ID: id, URI: "hollow://" + id, SandboxID: spec.SandboxID, Name: spec.Container.Name,
			Attempt: spec.Attempt, State: agent.ContainerCreated, CreatedAt: time.Now(),
			Image: spec.Container.Image, ImageRef: spec.Container.Image, SpecImage: spec.Container.Image, User: userOf(spec.Container),
		},
	})
	r.changed()
	return id, nil
}

// userOf is whom a container names; nil where the image would decide.
func userOf(spec *corev1.Container) *corev1.ContainerUser {
	if spec.SecurityContext == nil || spec.SecurityContext.RunAsUser == nil {
		return nil
	}
	return &corev1.ContainerUser{Linux: &corev1.LinuxContainerUser{UID: *spec.SecurityContext.RunAsUser}}
}

// Target is the container that the newest run of an ephemeral one looks at; empty
// when it looks at none.
func (r *Runtime) Target(ephemeral string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	target := ""
	for _, c := range r.containers {
		if c.Name == ephemeral {
			target = c.spec.TargetID
		}
	}
	return target
}

// StartContainer implements agent.Runtime.
func (r *Runtime) StartContainer(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.find(id)
	if c == nil {
		return fmt.Errorf("container %s not found", id)
	}
	defer func() { r.changed() }()
	if c.run.StartError != "" {
		r.finish(c, exitStart, "StartError")
		c.Message = c.run.StartError
		return errors.New(c.run.StartError)
	}
	c.State, c.StartedAt = agent.ContainerRunning, time.Now()
	c.written.add(c.run.Log)
	if !c.run.Forever {
		c.end = time.AfterFunc(c.run.duration(), func() { r.endByItself(id) })
	}
	return nil
}

func (r *Runtime) endByItself(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.find(id); c != nil {
		r.finish(c, c.run.ExitCode, c.run.Reason)
		c.Message = c.run.Message
		r.changed()
	}
}

// StopContainer implements agent.Runtime.
func (r *Runtime) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	ended, wait, exitCode := r.terminate(id, grace)
	if ended == nil {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ended:
		return nil
	case <-timer.C:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.find(id); c != nil {
		r.finish(c, exitCode, "")
		r.changed()
	}
	return nil
}

// terminate answers in which time a container that is told to ends, and how;
// the channel is closed when it does so before, and nil when it has.
func (r *Runtime) terminate(id string, grace time.Duration) (ended <-chan struct{}, wait time.Duration, exitCode int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.find(id)
	if c == nil || c.State == agent.ContainerExited {
		return nil, 0, 0
	}
	if wait := seconds(c.run.StopSeconds); grace > 0 && wait <= grace {
		if c.run.StopCode != nil {
			return c.ended, wait, *c.run.StopCode
		}
		return c.ended, wait, exitTerminated
	}
	return c.ended, max(grace, 0), exitKilled
}

// RemoveContainer implements agent.Runtime.
func (r *Runtime) RemoveContainer(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.find(id); c != nil {
		r.finish(c, exitKilled, "")
	}
	r.containers = without(r.containers, func(c *container) bool { return c.ID == id })
	r.changed()
	return nil
}

func (r *Runtime) find(id string) *container {
	for _, c := range r.containers {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// finish ends a container that has not ended yet. The caller holds the lock.
func (r *Runtime) finish(c *container, exitCode int32, reason string) {
	if c.State == agent.ContainerExited {
		return
	}
	if c.end != nil {
		c.end.Stop()
	}
	close(c.ended)
	c.State, c.FinishedAt, c.ExitCode, c.Reason = agent.ContainerExited, time.Now(), exitCode, reason
}
