// Package admin is the emulator's own API beside the cloud's: what was called,
// what lives, and what is to go wrong. It speaks JSON below /_localaws/.
package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/journal"
	"kip.elotl.co/hack/localaws/ssm"
	"kip.elotl.co/hack/localaws/throttle"
	"kip.elotl.co/hack/localaws/world"
)

// Prefix is where the API is.
const Prefix = "/_localaws/"

const maxBody = 1 << 20

// API answers the admin calls.
type API struct {
	World   *world.World
	Faults  *faults.Set
	Journal *journal.Journal
	Limits  *throttle.Throttle
	// Parameters are those of the Parameter Store.
	Parameters *ssm.Store
	// Backend is the name of the boot back end.
	Backend string
}

// Handler routes
//
//	GET  healthz                          "ok"
//	GET  spec                             what the emulated region has
//	GET  counts                           instances by state, and live ones
//	GET  instances                        every instance, whether EC2 shows it yet or not
//	POST instances/{id}/kill              a KillRequest: end one behind EC2's back
//	POST instances/{id}/stop              stop one behind EC2's caller's back
//	POST instances/{id}/kill-agent        kill its agent; another is started as on any cell
//	PATCH instances/{id}/trouble          fields of a world.Trouble: what EC2 tells of one
//	GET  instances/{id}/credentials       those of its role, as its metadata service gives them
//	GET  parameters                       of the Parameter Store, without their values
//	GET  roles                            with their instance profiles and policies
//	PUT  roles/{name}                     a RoleRequest: make a role, or change its policy
//	GET  journal?since=SEQ&action=ACTION  calls after SEQ, oldest first; last=N for the newest only
//	GET  calls?since=SEQ                  calls counted by action
//	GET  faults, PUT faults               a faults.Plan
//	POST faults                           adds a faults.Plan to what goes wrong
//	DELETE faults                         nothing goes wrong any more
//	DELETE faults/capacity                by instanceType, zone and market: what matches is not dry any more
//	DELETE faults/quotas                  by group and market
//	GET  limits, PUT limits               a throttle.Settings
//	POST limits/scale                     a ScaleRequest
//	GET  spot-prices                      by instanceType and zone, which are patterns
//	POST spot-prices                      a market.Change
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Prefix+"healthz", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok\n") })
	for pattern, h := range map[string]func(*http.Request) (any, error){
		"GET " + Prefix + "spec":                     a.spec,
		"GET " + Prefix + "counts":                   a.counts,
		"GET " + Prefix + "instances":                a.instances,
		"POST " + Prefix + "instances/{id}/kill":     a.kill,
		"POST " + Prefix + "instances/{id}/stop":     a.stopInstance,
		"PATCH " + Prefix + "instances/{id}/trouble": a.patchTrouble,

		"POST " + Prefix + "instances/{id}/kill-agent": a.killAgent,

		"GET " + Prefix + "journal":      a.journal,
		"GET " + Prefix + "parameters":   a.parameters,
		"GET " + Prefix + "roles":        a.roles,
		"PUT " + Prefix + "roles/{name}": a.putRole,

		"GET " + Prefix + "instances/{id}/credentials": a.credentials,
		"GET " + Prefix + "faults":                     a.getFaults,
		"PUT " + Prefix + "faults":                     a.putFaults,
		"POST " + Prefix + "faults":                    a.postFaults,
		"DELETE " + Prefix + "faults":                  a.deleteFaults,
		"DELETE " + Prefix + "faults/capacity":         a.deleteDry,
		"DELETE " + Prefix + "faults/quotas":           a.deleteQuotas,
		"GET " + Prefix + "calls":                      a.calls,
		"GET " + Prefix + "limits":                     a.getLimits,
		"PUT " + Prefix + "limits":                     a.putLimits,
		"POST " + Prefix + "limits/scale":              a.scaleLimits,
		"GET " + Prefix + "spot-prices":                a.getSpotPrices,
		"POST " + Prefix + "spot-prices":               a.postSpotPrices,
	} {
		mux.HandleFunc(pattern, answer(h))
	}
	return mux
}

// badRequest marks an error as the caller's.
type badRequest struct{ error }

func answer(h func(*http.Request) (any, error)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
		out, err := h(r)
		var bad badRequest
		var api *awserr.Error
		switch {
		case errors.As(err, &bad), errors.As(err, &api):
			http.Error(rw, err.Error(), http.StatusBadRequest)
		case err != nil:
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		default:
			rw.Header().Set("Content-Type", "application/json")
			// The status is sent: nobody is left to tell about an error.
			_ = json.NewEncoder(rw).Encode(out)
		}
	}
}

func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return badRequest{fmt.Errorf("decode request: %w", err)}
	}
	return nil
}

// Spec is what there is in the region.
type Spec struct {
	Region  string   `json:"region"`
	Account string   `json:"account"`
	Backend string   `json:"backend"`
	VPC     string   `json:"vpc"`
	Network string   `json:"network"`
	Subnets []Subnet `json:"subnets"`
	// DefaultGroup is the VPC's default security group.
	DefaultGroup string   `json:"defaultGroup"`
	Groups       []string `json:"groups"`
	Images       []Image  `json:"images"`
	// Delays are those of the world, in Go's notation.
	PendingDelay     string `json:"pendingDelay"`
	ShutdownDelay    string `json:"shutdownDelay"`
	ConsistencyDelay string `json:"consistencyDelay"`
}

// Subnet is a subnet of the spec.
type Subnet struct {
	ID   string `json:"id"`
	Zone string `json:"zone"`
	CIDR string `json:"cidr"`
	Free int    `json:"free"`
}

// Image is an image of the spec.
type Image struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Owner        string `json:"owner"`
	Architecture string `json:"architecture"`
	State        string `json:"state"`
}

func (a *API) spec(*http.Request) (any, error) {
	c := a.World.Catalog
	out := Spec{
		Region: c.Region, Account: c.Account, Backend: a.Backend, VPC: c.VPC.ID, Network: c.VPC.CIDR.String(), DefaultGroup: c.Groups[0].ID,
		PendingDelay: a.World.PendingDelay.String(), ShutdownDelay: a.World.ShutdownDelay.String(), ConsistencyDelay: a.World.ConsistencyDelay.String(),
	}
	for _, s := range c.Subnets {
		out.Subnets = append(out.Subnets, Subnet{s.ID, s.Zone.Name, s.CIDR.String(), a.World.Free(s)})
	}
	for _, g := range a.World.Groups() {
		out.Groups = append(out.Groups, g.ID)
	}
	for _, i := range c.Images {
		out.Images = append(out.Images, Image{i.ID, i.Name, i.Owner, i.Architecture, i.State})
	}
	return out, nil
}

// Counts is how many instances there are: by state, and with a machine (that
// is, neither terminated nor stopped).
type Counts struct {
	Live    int            `json:"live"`
	ByState map[string]int `json:"byState"`
}

func (a *API) counts(*http.Request) (any, error) {
	out := Counts{ByState: a.World.Counts()}
	for state, n := range out.ByState {
		if state != world.Terminated.Name && state != world.Stopped.Name {
			out.Live += n
		}
	}
	return out, nil
}

// Instance is an instance in short.
type Instance struct {
	ID           string            `json:"id"`
	State        string            `json:"state"`
	Reason       string            `json:"reason,omitempty"`
	InstanceType string            `json:"instanceType"`
	Zone         string            `json:"zone"`
	Market       string            `json:"market"`
	PricePerHour float64           `json:"pricePerHour"` // USD, now
	PrivateIP    string            `json:"privateIP,omitempty"`
	ClientToken  string            `json:"clientToken,omitempty"`
	LaunchTime   time.Time         `json:"launchTime"`
	Tags         map[string]string `json:"tags,omitempty"`
}

func (a *API) instances(*http.Request) (any, error) {
	out := []Instance{}
	for _, i := range a.World.All() {
		t, _ := a.World.Catalog.Type(i.InstanceType)
		x := Instance{
			Market: i.Market, PricePerHour: a.pricePerHour(t, i.Zone, i.Market),
			ID: i.ID, State: i.State.Name, Reason: i.StateReason.Code, InstanceType: i.InstanceType, Zone: i.Zone,
			ClientToken: i.ClientToken, LaunchTime: i.LaunchTime, Tags: i.Tags,
		}
		if ip := i.PrivateIP(); ip.IsValid() {
			x.PrivateIP = ip.String()
		}
		out = append(out, x)
	}
	return out, nil
}

// KillRequest says how an instance dies.
type KillRequest struct {
	// Unnoticed kills the machine while EC2 goes on calling it running.
	Unnoticed bool `json:"unnoticed,omitempty"`
	// Spot makes it a Spot interruption; otherwise it is a failure of the host.
	Spot bool `json:"spot,omitempty"`
	// Notice is how long before that the instance is told of a Spot interruption.
	Notice faults.Duration `json:"notice,omitzero"`
}

func (a *API) kill(r *http.Request) (any, error) {
	var req KillRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	if req.Spot && req.Notice > 0 {
		return struct{}{}, a.World.Interrupt(r.PathValue("id"), time.Duration(req.Notice))
	}
	reason := world.InternalError
	if req.Spot {
		reason = world.SpotTermination
	}
	return struct{}{}, a.World.Kill(r.Context(), r.PathValue("id"), reason, req.Unnoticed)
}
