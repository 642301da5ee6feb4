package podsupport

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// restarts allows a container its own restart policy and rules, other than
// RestartAllContainers.
func (c *checker) restarts(container *corev1.Container, path *field.Path) {
	if policy := take(&container.RestartPolicy); policy != nil {
		oneOf(c, path.Child("restartPolicy"), *policy,
			corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyOnFailure, corev1.ContainerRestartPolicyNever)
	}
	for i := range container.RestartPolicyRules {
		rule, path := &container.RestartPolicyRules[i], path.Child("restartPolicyRules").Index(i)
		oneOf(c, path.Child("action"), take(&rule.Action), corev1.ContainerRestartRuleActionRestart)
		if codes := take(&rule.ExitCodes); codes != nil {
			oneOf(c, path.Child("exitCodes", "operator"), take(&codes.Operator),
				corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)
			codes.Values = nil
			c.leftovers(codes, path.Child("exitCodes"))
		}
		c.leftovers(rule, path)
	}
	container.RestartPolicyRules = nil
}
