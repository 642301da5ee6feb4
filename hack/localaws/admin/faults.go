package admin

import (
	"fmt"
	"math"
	"net/http"

	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/faults"
	"kip.elotl.co/hack/localaws/market"
	"kip.elotl.co/hack/localaws/throttle"
)

func (a *API) getFaults(*http.Request) (any, error) { return a.Faults.Plan(), nil }

func (a *API) putFaults(r *http.Request) (any, error) { return a.planned(r, a.Faults.Replace) }

func (a *API) postFaults(r *http.Request) (any, error) { return a.planned(r, a.Faults.Add) }

func (a *API) planned(r *http.Request, into func(faults.Plan) error) (any, error) {
	var plan faults.Plan
	if err := decode(r, &plan); err != nil {
		return nil, err
	}
	if err := into(plan); err != nil {
		return nil, badRequest{err}
	}
	return a.Faults.Plan(), nil
}

func (a *API) deleteFaults(*http.Request) (any, error) {
	if err := a.Faults.Replace(faults.Plan{}); err != nil {
		return nil, err
	}
	return a.Faults.Plan(), nil
}

// Changed says how many things a call changed.
type Changed struct {
	Changed int `json:"changed"`
}

func (a *API) deleteDry(r *http.Request) (any, error) {
	n, err := a.Faults.Wet(faults.Dry{InstanceType: r.FormValue("instanceType"), Zone: r.FormValue("zone"), Market: r.FormValue("market")})
	if err != nil {
		return nil, badRequest{err}
	}
	return Changed{n}, nil
}

func (a *API) deleteQuotas(r *http.Request) (any, error) {
	return Changed{a.Faults.Unlimit(r.FormValue("group"), r.FormValue("market"))}, nil
}

func (a *API) getLimits(*http.Request) (any, error) { return a.Limits.Settings(), nil }

func (a *API) putLimits(r *http.Request) (any, error) {
	var s throttle.Settings
	if err := decode(r, &s); err != nil {
		return nil, err
	}
	if err := a.Limits.Set(s); err != nil {
		return nil, badRequest{err}
	}
	return a.Limits.Settings(), nil
}

// SpotPrice is what an offering costs now.
type SpotPrice struct {
	InstanceType string `json:"instanceType"`
	Zone         string `json:"zone"`
	// PerHour is the Spot price, OnDemand the price on demand, in USD.
	PerHour  float64 `json:"perHour"`
	OnDemand float64 `json:"onDemand"`
}

func (a *API) getSpotPrices(r *http.Request) (any, error) {
	c := a.World.Catalog
	out := []SpotPrice{}
	for _, t := range c.Types {
		for _, z := range c.Zones {
			perHour, sold := a.World.Market.Now(t.Name, z.Name)
			if sold && faults.Matches(r.FormValue("instanceType"), t.Name) && faults.Matches(r.FormValue("zone"), z.Name) {
				out = append(out, SpotPrice{t.Name, z.Name, perHour, t.PricePerHour()})
			}
		}
	}
	return out, nil
}

func (a *API) postSpotPrices(r *http.Request) (any, error) {
	var change market.Change
	if err := decode(r, &change); err != nil {
		return nil, err
	}
	n, err := a.World.Market.Set(change)
	if err != nil {
		return nil, badRequest{err}
	}
	return Changed{n}, nil
}

// pricePerHour is what an instance costs now, in USD.
func (a *API) pricePerHour(t catalog.InstanceType, zone, marketName string) float64 {
	if marketName == "spot" {
		price, _ := a.World.Market.Now(t.Name, zone)
		return price
	}
	return t.PricePerHour()
}

// ScaleRequest changes all rate limits at once.
type ScaleRequest struct {
	// Factor multiplies what is in force: 0.5 halves it.
	Factor float64 `json:"factor"`
}

func (a *API) scaleLimits(r *http.Request) (any, error) {
	var req ScaleRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	s := a.Limits.Settings()
	if s.Scale == 0 {
		return nil, badRequest{fmt.Errorf("there are no limits to scale: set some first")}
	}
	if req.Factor <= 0 || math.IsInf(req.Factor, 0) {
		return nil, badRequest{fmt.Errorf("factor: %v is not above 0", req.Factor)}
	}
	s.Scale *= req.Factor
	if err := a.Limits.Set(s); err != nil {
		return nil, badRequest{err}
	}
	return s, nil
}
