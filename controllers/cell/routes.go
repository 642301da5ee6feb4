package cell

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/api/equality"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/crashpoint"
)

// makeRoutes lets the route tables of the class's subnets send spec.routes to
// the instance. They are written to status before any is made, so that none is
// left behind.
func (c *Controller) makeRoutes(ctx context.Context, s *scope) (outcome, error) {
	if len(s.cell.Spec.Routes) == 0 {
		return proceed(), nil
	}
	err := c.planRoutes(ctx, s)
	if err == nil {
		err = c.createRoutes(ctx, s.cell)
	}
	answer := (*cloud.Error)(nil)
	if !errors.As(err, &answer) {
		return proceed(), err
	}
	reason := reasonOf(err)
	if answer.Kind == cloud.KindConflict {
		reason = v1beta1.ReasonRouteConflict
	}
	notReady(s.cell, reason, err.Error())
	if answer.Kind == cloud.KindTransient || answer.Kind == cloud.KindThrottled {
		return outcome{}, err
	}
	return stopAndLookAfter(routeRetry), nil
}

// planRoutes writes into status which routes there are to be.
func (c *Controller) planRoutes(ctx context.Context, s *scope) error {
	if s.class == nil {
		return fmt.Errorf("spec.routes: CellClass %q, whose subnets have the route tables, does not exist", s.cell.Spec.CellClassName)
	}
	subnets := make([]string, 0, len(s.class.Status.Subnets))
	for _, subnet := range s.class.Status.Subnets {
		subnets = append(subnets, subnet.ID)
	}
	tables, err := c.Cloud.RouteTables(ctx, s.class.Status.VPCID, subnets)
	if err != nil {
		return fmt.Errorf("looking for the route tables of spec.routes: %w", err)
	}
	planned := s.cell.Status.Routes
	for _, table := range tables {
		for _, cidr := range s.cell.Spec.Routes {
			planned = withRoute(planned, v1beta1.CellRoute{RouteTableID: table.ID, CIDR: cidr, InstanceID: s.cell.Status.InstanceID})
		}
	}
	if equality.Semantic.DeepEqual(planned, s.cell.Status.Routes) {
		return nil
	}
	s.cell.Status.Routes = planned
	return c.writeStatus(ctx, s)
}

// withRoute adds what is not there yet.
func withRoute(routes []v1beta1.CellRoute, route v1beta1.CellRoute) []v1beta1.CellRoute {
	for _, known := range routes {
		if known == route {
			return routes
		}
	}
	return append(routes, route)
}

func (c *Controller) createRoutes(ctx context.Context, cell *v1beta1.Cell) error {
	crashpoint.Reach(ctx, crashpoint.ForwardingBefore, cell)
	err := c.Cloud.AllowForwarding(ctx, cell.Status.InstanceID)
	crashpoint.Reach(ctx, crashpoint.ForwardingAfter, cell)
	if err != nil {
		return fmt.Errorf("letting instance %s forward packets for spec.routes: %w", cell.Status.InstanceID, err)
	}
	for _, route := range cell.Status.Routes {
		cidr, err := netip.ParsePrefix(route.CIDR)
		if err != nil {
			return fmt.Errorf("spec.routes: %w", err)
		}
		crashpoint.Reach(ctx, crashpoint.RouteCreateBefore, cell)
		err = c.Cloud.CreateRoute(ctx, route.RouteTableID, cidr, route.InstanceID)
		crashpoint.Reach(ctx, crashpoint.RouteCreateAfter, cell)
		if err != nil {
			return fmt.Errorf("making the route for %s in %s: %w", route.CIDR, route.RouteTableID, err)
		}
	}
	return nil
}

// removeRoutes ends the routes of status, which is not written here: one that
// is ended twice does no harm. Those that lead elsewhere by now stay.
func (c *Controller) removeRoutes(ctx context.Context, cell *v1beta1.Cell) error {
	var problems []error
	for _, route := range cell.Status.Routes {
		cidr, err := netip.ParsePrefix(route.CIDR)
		if err != nil {
			continue // it never was one
		}
		crashpoint.Reach(ctx, crashpoint.RouteDeleteBefore, cell)
		err = cloud.IgnoreNotFound(c.Cloud.DeleteRoute(ctx, route.RouteTableID, cidr, route.InstanceID))
		crashpoint.Reach(ctx, crashpoint.RouteDeleteAfter, cell)
		if err != nil {
			problems = append(problems, fmt.Errorf("ending the route for %s in %s: %w", route.CIDR, route.RouteTableID, err))
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	cell.Status.Routes = nil
	return nil
}

// endRoutes is removeRoutes for a Cell that is deleted. Status says the outcome,
// so that it is not done again at each look.
func (c *Controller) endRoutes(ctx context.Context, cell *v1beta1.Cell) error {
	if len(cell.Status.Routes) == 0 {
		return nil
	}
	s := &scope{cell: cell, before: cell.DeepCopy()}
	err := c.removeRoutes(ctx, cell)
	if err != nil {
		notReady(cell, reasonOf(err), err.Error())
	}
	return errors.Join(err, c.writeStatus(ctx, s))
}
