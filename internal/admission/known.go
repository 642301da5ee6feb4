package admission

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podspec"
)

// KnownAgents says why none of the agents that the class's cells would have can
// run the pod, as far as they are known: by what Cells of the class have told,
// or by the version that the class names. It is nil where one of them can, and
// where there is one that is not known: that one decides itself.
func KnownAgents(pod *corev1.Pod, class *v1beta1.CellClass) *Refusal {
	if class == nil {
		return nil
	}
	dispatched := podspec.WithDNS(pod, ClusterDNS(class))
	var first *Refusal
	for _, agent := range agentsOf(class) {
		if agent == nil {
			return nil
		}
		refusal := Pod(dispatched, *agent)
		if refusal == nil {
			return nil
		}
		if first == nil {
			first = refusal
			first.Message = NotLaunched(first.Message, AgentText(*agent), class.Name)
		}
	}
	return first
}

// ClusterDNS is where the class says that the cluster's DNS is; nil: nowhere.
func ClusterDNS(class *v1beta1.CellClass) *podspec.ClusterDNS {
	if class == nil || class.Spec.DNS == nil {
		return nil
	}
	return &podspec.ClusterDNS{Servers: class.Spec.DNS.Servers, Domain: class.Spec.DNS.Domain}
}

// agentsOf are the agents of the class's images; nil: one that is not known.
func agentsOf(class *v1beta1.CellClass) []*itzo.Info {
	named := namedAgent(class)
	if len(class.Status.Images) == 0 {
		return []*itzo.Info{named}
	}
	agents := make([]*itzo.Info, 0, len(class.Status.Images))
	for i := range class.Status.Images {
		agent := toldAgent(class, class.Status.Images[i].ID)
		if agent == nil {
			agent = named
		}
		agents = append(agents, agent)
	}
	return agents
}

// namedAgent is the agent of the first Kip whose version the class names.
func namedAgent(class *v1beta1.CellClass) *itzo.Info {
	version := strings.TrimPrefix(class.Spec.Itzo.Version, "v")
	for _, generation := range []itzo.Generation{itzo.Generation11, itzo.Generation12} {
		if version == string(generation) || strings.HasPrefix(version, string(generation)+".") {
			info := generation.Info()
			return &info
		}
	}
	return nil
}

// toldAgent is the agent of an image as Cells of the class have told. What a
// Cell does not tell is taken for what lets the pod run.
func toldAgent(class *v1beta1.CellClass, image string) *itzo.Info {
	for i := range class.Status.Agents {
		agent := &class.Status.Agents[i]
		if agent.ImageID != image || agent.ClassGeneration != class.Generation {
			continue
		}
		info := itzo.Info{Agent: agent.Name, Version: agent.Version}
		if agent.Name == itzo.AgentName {
			info = ExpectedAgent()
			info.Version = agent.Version
			info.Runtime.Name, info.Runtime.Version, _ = strings.Cut(agent.Runtime, " ")
			info.AppArmor = agent.AppArmor == nil || *agent.AppArmor
		}
		if info.Agent == itzo.AgentName || info.Generation() != "" {
			return &info
		}
	}
	return nil
}

// AgentText names an agent, with its version and its runtime's.
func AgentText(agent itzo.Info) string {
	text := strings.TrimSpace(agent.Agent + " " + agent.Version)
	if agent.Runtime.Name == "" {
		return text
	}
	return fmt.Sprintf("%s on %s", text, strings.TrimSpace(agent.Runtime.Name+" "+agent.Runtime.Version))
}

// NotLaunched is the message of a pod that an agent refuses: what it refuses,
// which agent, and when the pod is tried again.
func NotLaunched(refused, agent, class string) string {
	return fmt.Sprintf("%s; agent %s refuses that, and no cell is launched for the pod before CellClass %q changes, its spec or its images",
		refused, agent, class)
}
