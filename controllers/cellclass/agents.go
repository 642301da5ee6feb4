package cellclass

import (
	"cmp"
	"slices"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
)

// noteAgents keeps in status which agents the class's Cells have, also those of
// Cells that are gone, as long as Cells made now would have the same: the class
// is of the same generation, and the image one of its own.
func (c *Controller) noteAgents(class *v1beta1.CellClass, cells []v1beta1.Cell) {
	known := map[string]v1beta1.KnownAgent{}
	for _, agent := range class.Status.Agents {
		known[agent.ImageID] = agent
	}
	for i := range cells {
		if agent := agentOf(&cells[i]); agent != nil {
			known[agent.ImageID] = *agent
		}
	}
	class.Status.Agents = nil
	for _, agent := range known {
		if c.wouldBe(class, &agent) {
			class.Status.Agents = append(class.Status.Agents, agent)
		}
	}
	slices.SortFunc(class.Status.Agents, func(a, b v1beta1.KnownAgent) int { return cmp.Compare(a.ImageID, b.ImageID) })
}

// agentOf is the agent that a Cell has told of; nil as long as it has not.
func agentOf(cell *v1beta1.Cell) *v1beta1.KnownAgent {
	agent, attempts := cell.Status.Agent, cell.Status.Attempts
	if agent == nil || len(attempts) == 0 {
		return nil
	}
	return &v1beta1.KnownAgent{
		ImageID: cell.Status.ImageID, ClassGeneration: attempts[len(attempts)-1].ClassGeneration,
		Name: agent.Name, Version: agent.Version, Runtime: agent.Runtime, AppArmor: agent.AppArmor,
	}
}

// wouldBe says whether a Cell that was made of the class now, with that image,
// would have the agent. Without a URL it is the one that this operator serves,
// which another release of it replaces.
func (c *Controller) wouldBe(class *v1beta1.CellClass, agent *v1beta1.KnownAgent) bool {
	if class.Spec.Itzo.URL == "" && agent.Name == itzo.AgentName && agent.Version != c.Version {
		return false
	}
	return agent.ClassGeneration == class.Generation &&
		slices.ContainsFunc(class.Status.Images, func(image v1beta1.ResolvedImage) bool { return image.ID == agent.ImageID })
}
