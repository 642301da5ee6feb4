package cell

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cellagent"
	"kip.elotl.co/internal/errtext"
	"kip.elotl.co/internal/itzo"
)

// boot waits for the agent of the cell to prove who it is and to answer. Then
// the instance runs, and what leads to it can be made.
func (c *Controller) boot(ctx context.Context, s *scope) (outcome, error) {
	cell := s.cell
	if isReady(cell) {
		return proceed(), nil
	}
	attempt := openAttempt(cell)
	if attempt == nil || cell.Status.IP == "" {
		return stop(), nil
	}
	address := cellagent.Address(cell)
	found := c.probes.probe(cell, question{address: address, id: cellagent.ID(cell, attempt)})
	switch {
	case found.info != nil:
		if result, err := c.makeRoutes(ctx, s); err != nil || result.done {
			return result, err
		}
		c.agentAnswers(cell, *found.info)
		c.stores.now(cell.UID) // what it fetched can go
		c.probes.forget(cell.UID)
		bootedUp(cell)
		c.running.forget(cell.UID)
		return proceed(), nil
	case itzo.IsWrongIdentity(found.err) && !c.timedOut(s, attempt):
		notReady(cell, v1beta1.ReasonWrongIdentity,
			fmt.Sprintf("what answers at %s is not this cell: %s", address, errtext.Of(found.err)))
	case itzo.IsRefused(found.err) && !c.timedOut(s, attempt):
		notReady(cell, v1beta1.ReasonWrongIdentity,
			fmt.Sprintf("the agent at %s refuses this operator's certificate: %s", address, errtext.Of(found.err)))
	case storeProblem(s) != nil:
		notReady(cell, storeProblem(s).reason, storeProblem(s).message)
	case c.timedOut(s, attempt):
		return c.giveUpBoot(ctx, s, attempt, found.err)
	case c.slowToBoot(cell):
		c.noteRunning(cell, attempt)
		notReady(cell, v1beta1.ReasonAgentSilent, c.silence(cell, address))
	default:
		notReady(cell, v1beta1.ReasonWaitingForAgent,
			fmt.Sprintf("instance %s is launched, its agent has not answered yet", cell.Status.InstanceID))
	}
	return stop(), nil
}

// silence says of a cell that takes long where to look for the cause, and the
// cause where it is known.
func (c *Controller) silence(cell *v1beta1.Cell, address string) string {
	text := fmt.Sprintf("instance %s was launched over %s ago, and no agent answers at %s: see its console, /var/log/cloud-init-output.log and /var/log/itzo/itzo.log",
		cell.Status.InstanceID, slowBoot, address)
	if remark := c.stores.remarked(cell.UID); remark != "" {
		text += "; " + remark
	}
	return text
}

func (c *Controller) slowToBoot(cell *v1beta1.Cell) bool {
	launched := meta.FindStatusCondition(cell.Status.Conditions, v1beta1.ConditionLaunched)
	return launched != nil && launched.Status == metav1.ConditionTrue && c.Clock.Since(launched.LastTransitionTime.Time) > slowBoot
}

// agentName is what status says of an agent without Kip's extensions.
const agentName = "itzo"

func (c *Controller) agentAnswers(cell *v1beta1.Cell, info itzo.Info) {
	agent := &v1beta1.AgentStatus{Name: info.Agent, Version: info.Version}
	if agent.Name == "" {
		agent.Name = agentName
	}
	if info.Runtime.Name != "" {
		agent.Runtime = info.Runtime.Name + " " + info.Runtime.Version
	}
	if info.Agent == itzo.AgentName {
		agent.AppArmor = &info.AppArmor
	}
	if info.MemoryBytes > 0 {
		c.Catalogue.Memory.Report(cell.Status.InstanceType, info.MemoryBytes)
		agent.Memory = resource.NewQuantity(info.MemoryBytes, resource.BinarySI)
	}
	cell.Status.Agent = agent
	c.introduce(cell, info)
	setCondition(cell, v1beta1.ConditionReady, metav1.ConditionTrue, v1beta1.ReasonAgentAnswers,
		fmt.Sprintf("agent %s %s answers on %s", agent.Name, agent.Version, cell.Status.InstanceID))
}
