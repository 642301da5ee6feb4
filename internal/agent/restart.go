package agent

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// restarts says whether a container that ended with this code is to be started
// again: the first of its own rules that matches decides, then its own policy,
// then the pod's.
func restarts(pod *corev1.Pod, spec *corev1.Container, exitCode int32) bool {
	if ruleFor(spec, exitCode) != nil {
		return true
	}
	switch ownPolicy(pod, spec) {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return exitCode != 0
	default:
		return true
	}
}

// restartsAfterProbe says whether a container is started again that one of its
// probes has had killed. Its rules are about exit codes, and this is none.
func restartsAfterProbe(pod *corev1.Pod, spec *corev1.Container) bool {
	return ownPolicy(pod, spec) != corev1.RestartPolicyNever
}

func ownPolicy(pod *corev1.Pod, spec *corev1.Container) corev1.RestartPolicy {
	if spec.RestartPolicy != nil {
		return corev1.RestartPolicy(*spec.RestartPolicy)
	}
	return pod.Spec.RestartPolicy
}

// ruleFor is the container's first restart rule that an exit code matches; nil
// when there is none. All rules have the action Restart.
func ruleFor(spec *corev1.Container, exitCode int32) *corev1.ContainerRestartRule {
	for i := range spec.RestartPolicyRules {
		codes := spec.RestartPolicyRules[i].ExitCodes
		if codes == nil {
			continue
		}
		if slices.Contains(codes.Values, exitCode) == (codes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn) {
			return &spec.RestartPolicyRules[i]
		}
	}
	return nil
}
