package cellclass

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/bootimage"
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
			return found(v1beta1.ReasonImageNotFound, "%s: no image for %s matches %s", path, override.Architecture, bootimage.Describe(override.Image))
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
	query, err := bootimage.Query(spec)
	if err != nil {
		return nil, found(v1beta1.ReasonInvalidImageSpec, "%s.%v", path, err)
	}
	if err := c.addParameters(ctx, path, spec, &query); err != nil {
		return nil, err
	}
	images, err := c.Cloud.Images(ctx, query)
	switch {
	case cloud.IsNotFound(err):
		return nil, found(v1beta1.ReasonImageNotFound, "%s: image %q does not exist in this region", path+".imageIDs", subjectOf(err))
	case cloud.KindOf(err) == cloud.KindInvalid && err != nil:
		return nil, found(v1beta1.ReasonInvalidImageSpec, "%s: %v", path, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	newest := newestByArchitecture(images)
	if len(newest) == 0 {
		return nil, found(v1beta1.ReasonImageNotFound, "%s: no available image for amd64 or arm64 matches %s", path, bootimage.Describe(spec))
	}
	return newest, nil
}

// addParameters adds the images that parameters name.
func (c *Controller) addParameters(ctx context.Context, path string, spec v1beta1.BootImageSpec, query *cloud.ImageQuery) error {
	names := bootimage.SSMParameters(spec)
	if len(names) == 0 {
		return nil
	}
	values, err := c.Cloud.Parameters(ctx, names)
	if cloud.IsNotFound(err) {
		return found(v1beta1.ReasonImageNotFound, "%s.ssmParameters: parameter %q does not exist in this region", path, subjectOf(err))
	}
	if err != nil {
		return fmt.Errorf("%s.ssmParameters: %w", path, err)
	}
	for _, name := range names {
		if !strings.HasPrefix(values[name], "ami-") {
			return found(v1beta1.ReasonImageNotFound, "%s.ssmParameters: parameter %q holds %.40q, which is no image ID", path, name, values[name])
		}
		query.IDs = append(query.IDs, values[name])
	}
	return nil
}

func subjectOf(err error) string {
	if e := (*cloud.Error)(nil); errors.As(err, &e) {
		return e.Subject
	}
	return ""
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
