package pod_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/itzo"
)

// confined asks for AppArmor, which the cells of these tests do not enforce.
func confined(p *corev1.Pod) {
	p.Spec.SecurityContext = &corev1.PodSecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}}
}

func initialized(p *corev1.Pod) {
	p.Spec.InitContainers = []corev1.Container{{Name: "first", Image: "registry.example/busybox:1"}}
}

const ami = "ami-0c0ffee0000000001"

// classWith makes the scene's class, whose only image that is.
func (s *scene) classWith(change func(*v1beta1.CellClass)) *v1beta1.CellClass {
	s.t.Helper()
	class := s.openClass()
	return s.changeClass(class, func(c *v1beta1.CellClass) {
		c.Status.Images = []v1beta1.ResolvedImage{{Architecture: "amd64", Accelerator: "none", ID: ami, RootDevice: "/dev/xvda"}}
		change(c)
	})
}

// changeClass writes the class, its status too.
func (s *scene) changeClass(class *v1beta1.CellClass, change func(*v1beta1.CellClass)) *v1beta1.CellClass {
	s.t.Helper()
	before := class.DeepCopy()
	change(class)
	status := class.Status.DeepCopy()
	if err := cluster.admin.Patch(s.t.Context(), class, client.MergeFrom(before)); err != nil {
		s.t.Fatal(err)
	}
	class.Status = *status
	for i := range class.Status.Agents {
		class.Status.Agents[i].ClassGeneration = class.Generation
	}
	if err := cluster.admin.Status().Update(s.t.Context(), class); err != nil {
		s.t.Fatal(err)
	}
	return class
}

// madeOf has a cell say what it was made from.
func madeOf(class *v1beta1.CellClass) func(*hollow, *v1beta1.Cell) {
	generation, image := class.Generation, class.Status.Images[0].ID
	return func(_ *hollow, cell *v1beta1.Cell) {
		cell.Status.ImageID, cell.Status.Attempts[0].ClassGeneration = image, generation
	}
}

// enforcing is a cell that enforces AppArmor.
func enforcing(h *hollow, _ *v1beta1.Cell) { h.host.appArmor.Store(true) }

// refusedByAgent boots the pod's Cell and waits until its agent has refused the
// pod, and the Cell is gone.
func (s *scene) refusedByAgent(p *corev1.Pod, class *v1beta1.CellClass) *corev1.Pod {
	s.t.Helper()
	cell, h := s.boot(p, madeOf(class))
	p = s.refusedWith(p, v1beta1.ReasonUnsupportedField, fmt.Sprintf("spec.securityContext.appArmorProfile: Forbidden: "+
		"Cannot enforce AppArmor: AppArmor is not enabled on the host; agent kip test on containerd 2.0.0-hollow refuses that, "+
		"and no cell is launched for the pod before CellClass %q changes, its spec or its images", s.class))
	s.cellEnds(cell)
	s.cellless(p)
	if starts, _, _ := h.runtime.seen(); starts > 0 {
		s.t.Error("its containers were started")
	}
	return p
}

// cellless says that a pod has no Cell, and that none is made.
func (s *scene) cellless(p *corev1.Pod) {
	s.t.Helper()
	s.eventually("pod "+p.Name+" has no Cell", func() error {
		cell := &v1beta1.Cell{}
		err := cluster.admin.Get(context.Background(), client.ObjectKey{Name: v1beta1.CellNameForPod(p.UID)}, cell)
		if err == nil {
			return fmt.Errorf("it has one, in phase %q", cell.Status.Phase)
		}
		return client.IgnoreNotFound(err)
	})
	s.poke(p)
	s.settled()
	if cells := s.cells(); len(cells) > 0 {
		s.t.Errorf("there are Cells: %v", cells)
	}
}

// What only its agent refuses costs one cell, not one for ever, and not one
// after the other; also when another operator takes over.
func TestRefusedByAgent(t *testing.T) {
	s := newScene(t)
	class := s.classWith(func(*v1beta1.CellClass) {})
	stop := s.operator()
	p := s.refusedByAgent(s.add("web", confined), class)
	said := p.Status.Message
	stop()
	s.operator()
	s.cellless(p)
	if p = s.podIs(p, "refused", phase(corev1.PodPending)); p.Status.Message != said || p.Status.Reason != v1beta1.ReasonUnsupportedField {
		t.Errorf("%s: %s", p.Status.Reason, p.Status.Message)
	}
	s.delete(p)
	s.podGone(p)
}

// Once the class changes the pod has another cell, which may refuse it again.
func TestRefusedByAgentUntilTheClassChanges(t *testing.T) {
	for name, change := range map[string]func(*v1beta1.CellClass){
		"spec":  func(c *v1beta1.CellClass) { c.Spec.Itzo.Version = "v3" },
		"image": func(c *v1beta1.CellClass) { c.Status.Images[0].ID = "ami-0c0ffee0000000002" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			class := s.classWith(func(*v1beta1.CellClass) {})
			s.operator()
			p := s.refusedByAgent(s.add("web", confined), class)
			class = s.changeClass(class, change)
			cell := s.cellOf(p)
			s.unblamed(p)
			s.boot(p, madeOf(class), enforcing)
			p = s.running(p)
			if p.Annotations["kip.elotl.co/refused-by"] != "" {
				t.Error("it is still said to be refused")
			}
			if now := s.cellOf(p); now.UID != cell.UID {
				t.Error("it runs on a third cell")
			}
		})
	}
}

// A class that changes while the cell boots makes another cell at once.
func TestRefusedByAgentOfAnOldClass(t *testing.T) {
	s := newScene(t)
	class := s.classWith(func(*v1beta1.CellClass) {})
	s.operator()
	p := s.add("web", confined)
	made := madeOf(class)
	s.cellOf(p)
	s.changeClass(class, func(c *v1beta1.CellClass) { c.Spec.Itzo.Version = "v3" })
	cell, _ := s.boot(p, made)
	s.cellEnds(cell)
	s.anotherCell(p, cell)
	s.boot(p, enforcing)
	s.running(p)
}

// An operator that dies between noting the refusal and ending the cell leaves
// the end to the next; one that dies before asks the agent again.
func TestOperatorDiesOverARefusal(t *testing.T) {
	note := func(p *corev1.Pod, cell *v1beta1.Cell) string {
		return fmt.Sprintf(`{"metadata":{"annotations":{"kip.elotl.co/dispatched-to":null,"kip.elotl.co/refused-by":%q}}}`,
			fmt.Sprintf(`{"pod":%q,"generation":%d,"cell":%q,"classGeneration":0,"agent":"kip test","message":"spec.x: no"}`, p.UID, p.Generation, cell.UID))
	}
	for name, test := range map[string]struct {
		left    func(*corev1.Pod, *v1beta1.Cell) string
		message string
	}{
		"noted": {note, "spec.x: no"},
		"marked": {func(_ *corev1.Pod, cell *v1beta1.Cell) string {
			return fmt.Sprintf(`{"metadata":{"annotations":{"kip.elotl.co/dispatched-to":%q}}}`, cell.Name)
		}, "spec.securityContext.appArmorProfile: Forbidden: "},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			stop := s.operator()
			p := s.add("web", confined)
			s.cellOf(p)
			stop()
			cell, _ := s.boot(p)
			p, err := s.get(p)
			if err != nil {
				t.Fatal(err)
			}
			s.update(p, test.left(p, cell))
			s.operator()
			p = s.podIs(p, "refused", func(p *corev1.Pod) bool { return p.Status.Reason == v1beta1.ReasonUnsupportedField })
			if !strings.HasPrefix(p.Status.Message, test.message) {
				t.Errorf("message is %q", p.Status.Message)
			}
			s.cellEnds(cell)
			s.cellless(p)
		})
	}
}

// What is annotated does not end the cell of a pod that has started, and what was
// said of another pod is nothing.
func TestRefusalOfAnother(t *testing.T) {
	s := newScene(t)
	s.operator()
	p, cell, _ := s.start("web")
	left := fmt.Sprintf(`{"pod":%q,"generation":%d,"cell":%q,"classGeneration":0,"agent":"kip test","message":"no"}`, p.UID, p.Generation, cell.UID)
	s.update(p, annotationPatch("kip.elotl.co/refused-by", left))
	s.settled()
	s.running(p)
	if now := s.cellOf(p); now.UID != cell.UID || !now.DeletionTimestamp.IsZero() {
		t.Error("its cell ends")
	}
	for name, content := range map[string]string{"copy": left, "broken": "{", "other": `[1]`, "empty": ""} {
		other := s.add(name, annotation("kip.elotl.co/refused-by", content))
		s.boot(other)
		s.running(other)
	}
}

// A pod that a Cell of its class has told to be refused launches nothing.
func TestRefusedByTheClassesAgents(t *testing.T) {
	no, yes := false, true
	for name, test := range map[string]struct {
		change   func(*v1beta1.CellClass)
		pod      func(*corev1.Pod)
		launched bool
		message  string
	}{
		"kip":                   {known(v1beta1.KnownAgent{Name: "kip", Version: "v2", Runtime: "containerd 1.6.20", AppArmor: &no}), confined, false, "agent kip v2 on containerd 1.6.20 refuses that"},
		"kip with AppArmor":     {known(v1beta1.KnownAgent{Name: "kip", Version: "v2", Runtime: "containerd 1.6.20", AppArmor: &yes}), confined, true, ""},
		"kip that did not tell": {known(v1beta1.KnownAgent{Name: "kip", Version: "v2", Runtime: "containerd 1.6.20"}), confined, true, ""},
		"of another image":      {known(v1beta1.KnownAgent{ImageID: "ami-2", Name: "kip", Version: "v2", Runtime: "containerd 1.6.20", AppArmor: &no}), confined, true, ""},
		"itzo":                  {known(v1beta1.KnownAgent{Name: itzo.OldAgentName, Version: "1.2"}), initialized, false, "agent itzo 1.2 refuses that"},
		"itzo that is named":    {func(c *v1beta1.CellClass) { c.Spec.Itzo.Version = "v1.2.3" }, initialized, false, "agent itzo 1.2 refuses that"},
		"what itzo can":         {func(c *v1beta1.CellClass) { c.Spec.Itzo.Version = "1.1.0" }, func(*corev1.Pod) {}, true, ""},
		"a version like itzo's": {func(c *v1beta1.CellClass) { c.Spec.Itzo.Version = "v1.20.0" }, initialized, true, ""},
		"named, and another one": {func(c *v1beta1.CellClass) {
			c.Spec.Itzo.Version = "1.2.3"
			known(v1beta1.KnownAgent{Name: "kip", Version: "v2"})(c)
		}, initialized, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			class := s.classWith(test.change)
			s.operator()
			p := s.add("web", test.pod)
			if test.launched {
				s.cellOf(p)
				return
			}
			p = s.podIs(p, "refused", func(p *corev1.Pod) bool { return p.Status.Reason == v1beta1.ReasonUnsupportedField })
			if !strings.Contains(p.Status.Message, test.message) {
				t.Errorf("message is %q", p.Status.Message)
			}
			s.cellless(p)
			s.changeClass(class, func(c *v1beta1.CellClass) { c.Spec.Itzo.Version, c.Status.Agents = "v3", nil })
			s.cellOf(p)
		})
	}
}

// known has a class know the agent of its image, or of the one that is named.
func known(agent v1beta1.KnownAgent) func(*v1beta1.CellClass) {
	return func(c *v1beta1.CellClass) {
		if agent.ImageID == "" {
			agent.ImageID = ami
		}
		c.Status.Agents = []v1beta1.KnownAgent{agent}
	}
}
