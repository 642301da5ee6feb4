package aws

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/internal/cloud"
)

func TestImages(t *testing.T) {
	own := []string{"ami-0c0ffee0000000001", "ami-0c0ffee0000000002", "ami-0c0ffee0000000003", "ami-0c0ffee0000000005", "ami-0c0ffee0000000006"}
	plain := []string{"kip-cell-debian-13-*"}
	for name, c := range map[string]struct {
		query cloud.ImageQuery
		want  []string
	}{
		"own, without the pending": {cloud.ImageQuery{Owners: []string{"self"}, Filters: map[string][]string{"name": plain}}, own},
		"by id":                    {cloud.ImageQuery{IDs: []string{own[3], own[0]}}, []string{own[0], own[3]}},
		"by id and owner":          {cloud.ImageQuery{IDs: []string{own[0]}, Owners: []string{"amazon"}}, nil},
		"pending by id":            {cloud.ImageQuery{IDs: []string{"ami-0c0ffee0000000004"}}, nil},
		"by pattern":               {cloud.ImageQuery{Filters: map[string][]string{"name": {"debian-13-arm64-*", "kip-cell-al2023-2026051*"}}}, []string{"ami-0deb1a00000000003"}},
		"filters all match": {cloud.ImageQuery{Owners: []string{"self"}, Filters: map[string][]string{"architecture": {"arm64"}, "tag:elotl.co/image": {"kip-cell"}}},
			own[3:]},
		"state as ours":        {cloud.ImageQuery{Owners: []string{"self"}, Filters: map[string][]string{"state": {"pending", "available"}, "name": plain}}, own},
		"by executable user":   {cloud.ImageQuery{ExecutableUsers: []string{"self"}, Filters: map[string][]string{"name": plain}}, own},
		"of two owners":        {cloud.ImageQuery{Owners: []string{"amazon", "136693071363"}, Filters: map[string][]string{"architecture": {"arm64"}}}, []string{"ami-0a11ce00000000003", "ami-0deb1a00000000003"}},
		"nothing that matches": {cloud.ImageQuery{Filters: map[string][]string{"name": {"no such image"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEmulator(t)
			e.pageSize = 2
			images, err := e.Images(t.Context(), c.query)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range images {
				got = append(got, i.ID)
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

func TestImage(t *testing.T) {
	e := newEmulator(t)
	images, err := e.Images(t.Context(), cloud.ImageQuery{IDs: []string{"ami-0a11ce00000000003", x86Image}})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(images, func(a, b cloud.Image) int { return int(a.VolumeGiB - b.VolumeGiB) })
	want := []cloud.Image{
		{ID: x86Image, Name: "kip-cell-debian-13-amd64-20260914", Architecture: cloud.AMD64, Created: time.Date(2026, 9, 14, 12, 0, 0, 0, time.UTC), RootDevice: "/dev/xvda", VolumeGiB: 4, BootMode: "uefi-preferred", ENA: true},
		{ID: "ami-0a11ce00000000003", Name: "kip-cell-al2023-20261012-arm64", Architecture: cloud.ARM64, Created: time.Date(2026, 10, 12, 12, 0, 0, 0, time.UTC), RootDevice: "/dev/xvda", VolumeGiB: 8, BootMode: "uefi-preferred", ENA: true},
	}
	if diff := cmp.Diff(want, images); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestImageOfAnotherKind(t *testing.T) {
	e := newEmulator(t)
	images, err := e.Images(t.Context(), cloud.ImageQuery{IDs: []string{"ami-0a11ce00000000009", "ami-0c0ffee0000000014"}})
	if err != nil || len(images) != 2 {
		t.Fatalf("%+v, %v", images, err)
	}
	slices.SortFunc(images, func(a, b cloud.Image) int { return strings.Compare(a.ID, b.ID) })
	if pv, uefi := images[0], images[1]; !pv.Paravirtual || pv.ENA || pv.BootMode != "" || uefi.Paravirtual || uefi.BootMode != "uefi" {
		t.Errorf("%+v", images)
	}
}

func TestImageQueryRefused(t *testing.T) {
	e := newEmulator(t)
	_, err := e.Images(t.Context(), cloud.ImageQuery{})
	wantKind(t, err, cloud.KindInvalid, "every image")
	_, err = e.Images(t.Context(), cloud.ImageQuery{IDs: []string{x86Image, "ami-0123456789abcdef0"}})
	wantKind(t, err, cloud.KindNotFound)
	if got := subject(err); got != "ami-0123456789abcdef0" {
		t.Errorf("the error is about %q", got)
	}
	_, err = e.Images(t.Context(), cloud.ImageQuery{Filters: map[string][]string{"colour": {"blue"}}})
	wantKind(t, err, cloud.KindInvalid, "colour")
}

// TestOtherStates: what no cell could be launched from is refused, not dropped.
func TestOtherStates(t *testing.T) {
	e := newEmulator(t)
	_, err := e.Images(t.Context(), cloud.ImageQuery{Owners: []string{"self"}, Filters: map[string][]string{"state": {"pending", "failed"}}})
	wantKind(t, err, cloud.KindInvalid, "filter state=pending,failed: cells are launched from available images only")
	if n := len(e.calls("DescribeImages")); n != 0 {
		t.Errorf("%d calls", n)
	}
}

func TestImagesThatNoCellCanBe(t *testing.T) {
	c, _ := replying(t, 200, `<DescribeImagesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><imagesSet>
		<item><imageId>ami-1</imageId><architecture>i386</architecture></item>
		<item><imageId>ami-2</imageId><architecture>x86_64_mac</architecture></item>
		<item><imageId>ami-3</imageId><architecture>arm64</architecture><creationDate>yesterday</creationDate></item>
	</imagesSet></DescribeImagesResponse>`)
	got, err := c.Images(t.Context(), cloud.ImageQuery{Owners: []string{"self"}})
	if diff := cmp.Diff([]cloud.Image{{ID: "ami-3", Architecture: cloud.ARM64}}, got); diff != "" || err != nil {
		t.Errorf("%v, images (-want +got):\n%s", err, diff)
	}
}
