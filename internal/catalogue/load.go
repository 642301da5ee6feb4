package catalogue

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Load asks for every part once, all at the same time, for who needs an answer
// and does not stay: it takes the place of Start. The error says why there is
// no Index: the types cannot be had. Prices that cannot be had leave an Index
// with the built-in ones; missing says of each part why.
func (c *Catalogue) Load(ctx context.Context) (missing []error, err error) {
	parts := c.parts()
	if c.dedicatedWanted() {
		parts = append(parts, c.dedicatedPart())
	}
	failures := make([]error, len(parts))
	var asking sync.WaitGroup
	for i, p := range parts {
		asking.Go(func() {
			if err := p.ask(ctx); err != nil {
				failures[i] = fmt.Errorf("asking for the %s: %w", p.name, err)
			}
		})
	}
	asking.Wait()
	for _, failure := range failures {
		if failure != nil {
			missing = append(missing, failure)
		}
	}
	if c.Index() != nil {
		return missing, nil
	}
	if len(missing) == 0 {
		return nil, errors.New("the cloud has no instance types")
	}
	return nil, errors.Join(missing...)
}
