package itzo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Generation is a generation of the agents of the first Kip, which know none of
// the extensions; empty: another agent.
type Generation string

// The generations that are in the field.
const (
	Generation11 Generation = "1.1"
	Generation12 Generation = "1.2"
)

// OldAgentName is Info.Agent of the agents of the first Kip, as far as this
// operator makes one up for them: they tell nothing of themselves.
const OldAgentName = "itzo"

// itzoProtocol is what every agent answers to version, of whatever build.
const itzoProtocol = "1.0"

// ErrUnknownAgent is wrapped by errors about an agent that is neither Kip's own
// nor of a generation that is known.
var ErrUnknownAgent = errors.New("it is no agent that is known")

// Info is what is known of an agent of that generation.
func (g Generation) Info() Info { return Info{Agent: OldAgentName, Version: string(g)} }

// Generation is that of an agent of the first Kip, whose Info Generation.Info
// made; empty for any other.
func (i Info) Generation() Generation {
	if g := Generation(i.Version); i.Agent == OldAgentName && (g == Generation11 || g == Generation12) {
		return g
	}
	return ""
}

// Generation asks an agent that knows no Info of which generation it is. Their
// versions are the same; 1.1 has an endpoint more, which does nothing when it is
// given an empty command.
func (c *Client) Generation(ctx context.Context) (Generation, error) {
	version, err := c.Version(ctx)
	if err != nil {
		return "", err
	}
	if version != itzoProtocol {
		return "", fmt.Errorf("asking agent for its version: %w: the version is not %s", ErrUnknownAgent, itzoProtocol)
	}
	err = c.postJSON(ctx, "runcmd/", map[string][]string{"Command": {}})
	switch {
	case IsCode(err, http.StatusBadRequest):
		return Generation11, nil
	case IsCode(err, http.StatusNotFound):
		return Generation12, nil
	case err == nil:
		err = ErrUnknownAgent
	}
	return "", fmt.Errorf("asking agent for its generation: %w", err)
}
