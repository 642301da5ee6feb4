package admin

import (
	"net/http"

	"kip.elotl.co/hack/localaws/world"
)

func (a *API) stopInstance(r *http.Request) (any, error) {
	return struct{}{}, a.World.Stop(r.PathValue("id"))
}

func (a *API) putTrouble(r *http.Request) (any, error) {
	var to world.Trouble
	if err := decode(r, &to); err != nil {
		return nil, err
	}
	return to, a.World.Afflict(r.PathValue("id"), func(t *world.Trouble) { *t = to })
}
