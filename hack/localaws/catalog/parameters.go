package catalog

import "strings"

// PublicParameters are what AWS and Debian publish in the Parameter Store: the
// newest image of a kind, by name of the parameter.
func (c *Catalog) PublicParameters() map[string]string {
	out := map[string]string{}
	newest := map[string]Image{}
	for _, i := range c.Images {
		var name string
		switch {
		case i.Owner == AmazonAccount && strings.Contains(i.Name, "al2023"):
			name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-" + i.Architecture
		case i.Owner == DebianAccount:
			name = "/aws/service/debian/release/13/latest/" + debianArch(i.Architecture)
		default:
			continue
		}
		if i.CreationDate.After(newest[name].CreationDate) {
			newest[name], out[name] = i, i.ID
		}
	}
	return out
}
