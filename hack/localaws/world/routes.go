package world

import (
	"net/netip"
	"path/filepath"
	"slices"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/catalog"
)

// routesPerTable is EC2's default quota; the local route does not count.
const routesPerTable = 50

// routesFile holds the routes that calls made.
const routesFile = "routes.json"

// Route is an entry of a route table that a call made. It leads to the
// interface that the instance had then, and stays when both are gone.
type Route struct {
	CIDR        netip.Prefix
	InstanceID  string
	InterfaceID string
	// Blackhole says that the instance is gone.
	Blackhole bool `json:"-"`
}

// Routes are those of a table that calls made, in the order of their
// destinations.
func (w *World) Routes(table string) []Route {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []Route
	for _, r := range w.routes[table] {
		s := w.slots[r.InstanceID]
		r.Blackhole = s == nil || s.instance.State == Terminated || s.instance.State == Stopped
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Route) int { return a.CIDR.Compare(b.CIDR) })
	return out
}

// CreateRoute sends what is for cidr to an instance.
func (w *World) CreateRoute(table string, cidr netip.Prefix, instanceID string) error {
	cidr = cidr.Masked()
	w.mu.Lock()
	err := w.addRoute(table, cidr, instanceID)
	w.mu.Unlock()
	if err != nil {
		return err
	}
	return w.saveRoutes()
}

func (w *World) addRoute(table string, cidr netip.Prefix, instanceID string) error {
	t, ok := w.Catalog.RouteTable(table)
	if !ok {
		return unknownResource(table)
	}
	s := w.slots[instanceID]
	if s == nil || !w.visible(s.instance, w.Clock.Now()) {
		return NotFound("InvalidInstanceID", "instance", []string{instanceID})
	}
	if state := s.instance.State; !state.Live() && state != Stopping && state != Stopped {
		return awserr.New("IncorrectInstanceState", "The instance '%s' is not in a valid state for this operation: it is %s", instanceID, state.Name)
	}
	have := w.routes[table]
	exists := slices.ContainsFunc(have, func(r Route) bool { return r.CIDR == cidr }) ||
		slices.ContainsFunc(w.Catalog.FixedRoutes(t), func(r catalog.FixedRoute) bool { return r.CIDR == cidr })
	if exists {
		return awserr.New("RouteAlreadyExists", "The route identified by %s already exists.", cidr)
	}
	// All fixed ones but the local one count.
	if len(have)+len(w.Catalog.FixedRoutes(t))-1 >= routesPerTable {
		return awserr.New("RouteLimitExceeded", "The maximum number of routes (%d) has been reached for route table '%s'.", routesPerTable, table)
	}
	w.routes[table] = append(slices.Clone(have), Route{CIDR: cidr, InstanceID: instanceID, InterfaceID: s.instance.InterfaceID})
	return nil
}

// DeleteRoute ends the route for cidr, whatever it leads to.
func (w *World) DeleteRoute(table string, cidr netip.Prefix) error {
	cidr = cidr.Masked()
	t, ok := w.Catalog.RouteTable(table)
	if !ok {
		return unknownResource(table)
	}
	if slices.ContainsFunc(w.Catalog.FixedRoutes(t), func(r catalog.FixedRoute) bool { return r.CIDR == cidr }) {
		return awserr.New("InvalidParameterValue", "cannot remove local route %s in route table %s", cidr, table)
	}
	w.mu.Lock()
	have := w.routes[table]
	left := slices.DeleteFunc(slices.Clone(have), func(r Route) bool { return r.CIDR == cidr })
	w.routes[table] = left
	w.mu.Unlock()
	if len(left) == len(have) {
		return awserr.New("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", cidr, table)
	}
	return w.saveRoutes()
}

func (w *World) saveRoutes() error {
	w.filesSave.Lock()
	defer w.filesSave.Unlock()
	w.mu.RLock()
	routes := make(map[string][]Route, len(w.routes))
	for table, list := range w.routes {
		routes[table] = list
	}
	w.mu.RUnlock()
	return writeJSON(filepath.Join(w.Dir, routesFile), routes)
}

// Attributes are what ModifyInstanceAttribute can change; nil leaves as it is.
type Attributes struct {
	SourceDestCheck       *bool
	DisableAPITermination *bool
}

// Modify changes attributes of an instance.
func (w *World) Modify(id string, a Attributes) error {
	if _, ok := w.Instance(id); !ok {
		return UnknownInstances(w, []string{id})
	}
	s := w.slot(id)
	if s == nil {
		return UnknownInstances(w, []string{id})
	}
	if state := w.current(s).State; state == Terminated || state == ShuttingDown {
		return awserr.New("IncorrectInstanceState", "The instance '%s' is not in a valid state for this operation: it is %s", id, state.Name)
	}
	w.change(s, func(i *Instance) {
		i.SourceDestCheckOn = orElse(a.SourceDestCheck, i.SourceDestCheckOn)
		i.DisableAPITermination = orElse(a.DisableAPITermination, i.DisableAPITermination)
	})
	return nil
}
