package cellclass

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

// resolveImages keeps the newest image of each architecture that
// spec.bootImageSpec matches, and those of spec.bootImageOverrides.
func (c *Controller) resolveImages(ctx context.Context, class *v1beta1.CellClass) error {
	chosen := chosenImages{}
	for i, override := range class.Spec.BootImageOverrides {
		path := fmt.Sprintf("spec.bootImageOverrides[%d].image", i)
		newest, err := c.newestImages(ctx, path, override.Image)
		if err != nil {
			return err
		}
		if override.Architecture != "" {
			newest = only(newest, override.Architecture)
		}
		if len(newest) == 0 {
			return found(v1beta1.ReasonImageNotFound, "%s: no image for %s matches %s", path, override.Architecture, describe(override.Image))
		}
		chosen.add(newest, cmp.Or(override.Accelerator, v1beta1.AcceleratorNone))
	}
	newest, err := c.newestImages(ctx, "spec.bootImageSpec", class.Spec.BootImageSpec)
	if err != nil {
		return err
	}
	chosen.add(newest, v1beta1.AcceleratorNone)
	class.Status.Images = chosen.sorted()
	return nil
}

// newestImages finds the newest image of each architecture.
func (c *Controller) newestImages(ctx context.Context, path string, spec v1beta1.BootImageSpec) ([]cloud.Image, error) {
	images, err := c.Cloud.Images(ctx, imageQuery(spec))
	switch {
	case cloud.IsNotFound(err):
		element, id := pathOf(path+".imageIDs", spec.ImageIDs, err)
		return nil, found(v1beta1.ReasonImageNotFound, "%s: image %q does not exist in this region", element, id)
	case cloud.KindOf(err) == cloud.KindInvalid && err != nil:
		return nil, found(v1beta1.ReasonImageNotFound, "%s: %v", path, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	newest := newestByArchitecture(images)
	if len(newest) == 0 {
		return nil, found(v1beta1.ReasonImageNotFound, "%s: no available image matches %s", path, describe(spec))
	}
	return newest, nil
}

func only(images []cloud.Image, architecture string) []cloud.Image {
	return slices.DeleteFunc(images, func(i cloud.Image) bool { return string(i.Architecture) != architecture })
}

// chosenImages holds an image for each architecture and accelerator.
type chosenImages map[[2]string]v1beta1.ResolvedImage

// add takes images in for what none was chosen for yet.
func (c chosenImages) add(images []cloud.Image, accelerator string) {
	for _, image := range images {
		key := [2]string{string(image.Architecture), accelerator}
		if _, chosen := c[key]; !chosen {
			c[key] = resolvedImage(image, accelerator)
		}
	}
}

func (c chosenImages) sorted() []v1beta1.ResolvedImage {
	return slices.SortedFunc(maps.Values(c), func(a, b v1beta1.ResolvedImage) int {
		return cmp.Or(strings.Compare(a.Architecture, b.Architecture), strings.Compare(a.Accelerator, b.Accelerator))
	})
}

func resolvedImage(image cloud.Image, accelerator string) v1beta1.ResolvedImage {
	out := v1beta1.ResolvedImage{
		Architecture: string(image.Architecture),
		Accelerator:  accelerator,
		ID:           image.ID,
		Name:         image.Name,
		RootDevice:   image.RootDevice,
		MinVolumeGiB: image.VolumeGiB,
		Needs:        []string{selection.NeedsHVM},
		WithoutENA:   !image.ENA,
	}
	if image.Paravirtual {
		out.Needs[0] = selection.NeedsParavirtual
	}
	switch image.BootMode {
	case selection.NeedsUEFI, selection.NeedsLegacyBIOS:
		out.Needs = append(out.Needs, image.BootMode)
	}
	return out
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
func newestByArchitecture(images []cloud.Image) []cloud.Image {
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
	return slices.Collect(maps.Values(best))
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
