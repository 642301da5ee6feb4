package cellclass

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
)

// resolveImages keeps the newest image of each architecture that
// spec.bootImageSpec matches.
func (c *Controller) resolveImages(ctx context.Context, class *v1beta1.CellClass) error {
	spec := class.Spec.BootImageSpec
	images, err := c.Cloud.Images(ctx, imageQuery(spec))
	switch {
	case cloud.IsNotFound(err):
		path, id := pathOf("spec.bootImageSpec.imageIDs", spec.ImageIDs, err)
		return found(v1beta1.ReasonImageNotFound, "%s: image %q does not exist in this region", path, id)
	case cloud.KindOf(err) == cloud.KindInvalid && err != nil:
		return found(v1beta1.ReasonImageNotFound, "spec.bootImageSpec: %v", err)
	case err != nil:
		return fmt.Errorf("spec.bootImageSpec: %w", err)
	}
	newest := newestByArchitecture(images)
	if len(newest) == 0 {
		return found(v1beta1.ReasonImageNotFound, "spec.bootImageSpec: no available image matches %s", describe(spec))
	}
	class.Status.Images = newest
	return nil
}

func imageQuery(spec v1beta1.BootImageSpec) cloud.ImageQuery {
	query := cloud.ImageQuery{IDs: spec.ImageIDs, Owners: spec.Owners, ExecutableUsers: spec.ExecutableUsers}
	if len(spec.Filters) > 0 {
		query.Filters = map[string][]string{}
		for name, values := range spec.Filters {
			query.Filters[name] = values
		}
	}
	return query
}

// newestByArchitecture keeps, of each architecture, the image made last; of
// two made at once the one with the higher ID, so that the choice is stable.
func newestByArchitecture(images []cloud.Image) []v1beta1.ResolvedImage {
	best := map[cloud.Architecture]cloud.Image{}
	for _, image := range images {
		if image.Architecture != cloud.AMD64 && image.Architecture != cloud.ARM64 {
			continue
		}
		known, ok := best[image.Architecture]
		if !ok || image.Created.After(known.Created) || (image.Created.Equal(known.Created) && image.ID > known.ID) {
			best[image.Architecture] = image
		}
	}
	resolved := make([]v1beta1.ResolvedImage, 0, len(best))
	for _, image := range best {
		resolved = append(resolved, v1beta1.ResolvedImage{
			Architecture: string(image.Architecture),
			ID:           image.ID,
			Name:         image.Name,
			RootDevice:   image.RootDevice,
			MinVolumeGiB: image.VolumeGiB,
		})
	}
	slices.SortFunc(resolved, func(a, b v1beta1.ResolvedImage) int { return strings.Compare(a.Architecture, b.Architecture) })
	return resolved
}

// describe writes the spec as a person would say it.
func describe(spec v1beta1.BootImageSpec) string {
	var parts []string
	add := func(name string, values []string) {
		if len(values) > 0 {
			parts = append(parts, name+" "+strings.Join(values, ","))
		}
	}
	add("imageIDs", spec.ImageIDs)
	add("owners", spec.Owners)
	add("executableUsers", spec.ExecutableUsers)
	for _, name := range sortedKeys(spec.Filters) {
		add("filter "+name, spec.Filters[name])
	}
	return strings.Join(parts, "; ")
}

func sortedKeys(filters map[string]v1beta1.FilterValues) []string {
	keys := make([]string, 0, len(filters))
	for key := range filters {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
