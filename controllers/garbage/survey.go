package garbage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

// cellsPath is where the parameters of all instances are.
const cellsPath = "/kip/cells/"

// survey is what there is in the cloud with this cluster's tags.
type survey struct {
	// instances are those that have not begun to end.
	instances []cloud.Instance
	routes    []cloud.Route
	// parameters are by the instance that they are for.
	parameters map[string][]cloud.SecretInfo
	leftovers  map[cloud.LeftoverKind][]cloud.Leftover
}

// survey lists what there is. What cannot be listed, for want of rights for
// one, is missing, and keeps nothing else from being found.
func (c *Collector) survey(ctx context.Context) (survey, error) {
	s := survey{parameters: map[string][]cloud.SecretInfo{}, leftovers: map[cloud.LeftoverKind][]cloud.Leftover{}}
	problems := []error{c.findInstances(ctx, &s), c.findParameters(ctx, &s)}
	for _, kind := range cloud.LeftoverKinds() {
		found, err := c.Cloud.Leftovers(ctx, kind, c.Tags)
		if err != nil {
			problems = append(problems, fmt.Errorf("looking for what is left of the kind %s: %w", kind, err))
		}
		for _, f := range found {
			if f.Tags[v1beta1.TagCell] != "" { // else somebody may have tagged it so for a purpose of theirs
				s.leftovers[kind] = append(s.leftovers[kind], f)
			}
		}
	}
	return s, errors.Join(problems...)
}

func (c *Collector) findInstances(ctx context.Context, s *survey) error {
	found, err := c.Cloud.FindByTags(ctx, c.Tags)
	if err != nil {
		return fmt.Errorf("looking for instances of this cluster: %w", err)
	}
	var ids []string
	for _, instance := range found {
		if instance.State.Live() && instance.Tags[v1beta1.TagCell] != "" {
			s.instances = append(s.instances, instance)
			ids = append(ids, instance.ID)
		}
	}
	if s.routes, err = c.Cloud.RoutesTo(ctx, ids); err != nil {
		return fmt.Errorf("looking for routes to instances of this cluster: %w", err)
	}
	return nil
}

func (c *Collector) findParameters(ctx context.Context, s *survey) error {
	found, err := c.Cloud.Secrets(ctx, cellsPath, c.Tags)
	if err != nil {
		return fmt.Errorf("looking for parameters of this cluster: %w", err)
	}
	for _, parameter := range found {
		instance, _, _ := strings.Cut(strings.TrimPrefix(parameter.Name, cellsPath), "/")
		if instance != "" {
			s.parameters[instance] = append(s.parameters[instance], parameter)
		}
	}
	return nil
}

// cells are those of the cluster.
type cells struct {
	byUID map[string]*v1beta1.Cell
	// instances are those that a Cell's status names.
	instances map[string]bool
}

func (c *Collector) readCells(ctx context.Context) (cells, error) {
	var list v1beta1.CellList
	if err := c.Live.List(ctx, &list); err != nil {
		return cells{}, fmt.Errorf("listing Cells: %w", err)
	}
	out := cells{byUID: map[string]*v1beta1.Cell{}, instances: map[string]bool{}}
	for i := range list.Items {
		cell := &list.Items[i]
		out.byUID[string(cell.UID)] = cell
		if id := cell.Status.InstanceID; id != "" {
			out.instances[id] = true
		}
	}
	return out, nil
}
