package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"kip.elotl.co/hack/localaws/world"
)

func (a *API) stopInstance(r *http.Request) (any, error) {
	return struct{}{}, a.World.Stop(r.PathValue("id"))
}

// patchTrouble changes what the request names.
func (a *API) patchTrouble(r *http.Request) (any, error) {
	var change json.RawMessage
	if err := decode(r, &change); err != nil {
		return nil, err
	}
	to := world.Trouble{}
	known := json.NewDecoder(bytes.NewReader(change))
	known.DisallowUnknownFields()
	if err := known.Decode(&to); err != nil {
		return nil, badRequest{fmt.Errorf("decode request: %w", err)}
	}
	return struct{}{}, a.World.Afflict(r.PathValue("id"), func(t *world.Trouble) {
		_ = json.Unmarshal(change, t) // it has just been read once
	})
}

func (a *API) killAgent(r *http.Request) (any, error) {
	return struct{}{}, a.World.KillAgent(r.Context(), r.PathValue("id"))
}
