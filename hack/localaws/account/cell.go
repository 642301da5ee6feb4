package account

import (
	"strings"
)

// CellDocument is what an instance finds below /kip/cells/<instance ID>/ in the
// Parameter Store, its chunks put together; empty when there is nothing.
func (a Account) CellDocument(instanceID string) string {
	path := "/kip/cells/" + instanceID + "/"
	var document strings.Builder
	for _, p := range a.Parameters.List() { // by name, and there are at most ten chunks
		if strings.HasPrefix(p.Name, path) {
			document.WriteString(p.Latest().Value)
		}
	}
	return document.String()
}
