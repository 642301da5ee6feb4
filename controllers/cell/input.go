package cell

import (
	"cmp"
	"fmt"
	"time"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/bootstrap"
	"kip.elotl.co/internal/cellagent"
)

// AgentSource is where cells download the operator's own agent.
type AgentSource struct {
	// URL is where it is served: URL/itzo-Version-<arch>.
	URL, Version string
	// SHA256 holds the digests of the files by their names without the version.
	SHA256 map[string]string
}

// input is what a cell is told when it boots, from the class as it is now.
func (c *Controller) input(s *scope, attempt *v1beta1.LaunchAttempt) (bootstrap.Input, error) {
	if s.documentErr != nil {
		return bootstrap.Input{}, s.documentErr
	}
	authority := c.Authority.Authorities().ByID(attempt.Authority)
	if authority == nil {
		return bootstrap.Input{}, fmt.Errorf("certificate authority %s of attempt %d is trusted no longer", attempt.Authority, attempt.Number)
	}
	certificate, key, err := authority.CellCertificate(cellagent.ID(s.cell, attempt))
	if err != nil {
		return bootstrap.Input{}, fmt.Errorf("issuing the cell's certificate: %w", err)
	}
	input := bootstrap.Input{
		CloudInit:      s.document,
		CACertificate:  authority.CertificatePEM(),
		Certificate:    certificate,
		Key:            key,
		Agent:          c.agentOf(s.class),
		CellConfig:     map[string]string{},
		ParameterStore: attempt.ParameterRole != "",
		StoreEndpoint:  s.class.Spec.AWS.ParameterStore.Endpoint,
		PowerOffAfter:  powerOffAfter(s.class),
	}
	for name, value := range s.class.Spec.CellConfig {
		input.CellConfig[name] = string(value)
	}
	if overlay := s.cell.Spec.ImageOverlayRootfs; overlay != nil && !*overlay {
		input.Snapshotter = bootstrap.NativeSnapshotter
	}
	return input, nil
}

// defaultPowerOffAfter is for classes from before there was the field.
const defaultPowerOffAfter = 24 * time.Hour

// powerOffAfter is for how long a cell stays on that does not hear from us; 0: for ever.
func powerOffAfter(class *v1beta1.CellClass) time.Duration {
	if class.Spec.PowerOffAfter == nil {
		return defaultPowerOffAfter
	}
	return class.Spec.PowerOffAfter.Duration
}

// agentOf is the agent that the class names, else the operator's own.
func (c *Controller) agentOf(class *v1beta1.CellClass) bootstrap.Agent {
	itzo := class.Spec.Itzo
	if itzo.URL == "" {
		return bootstrap.Agent(c.OwnAgent)
	}
	agent := bootstrap.Agent{URL: itzo.URL, Version: itzo.Version}
	for name, digest := range itzo.SHA256 {
		if agent.SHA256 == nil {
			agent.SHA256 = map[string]string{}
		}
		agent.SHA256[name] = string(digest)
	}
	return agent
}

// profile is the name or ARN of the cell's instance profile; the pod's goes
// before the class's.
func profile(s *scope) string {
	return cmp.Or(s.cell.Spec.InstanceProfile, s.class.Spec.DefaultIAMPermissions)
}
