package progress

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWatch(t *testing.T) {
	const first, every = 3 * time.Second, 20 * time.Second
	for name, test := range map[string]struct {
		takes time.Duration
		want  []string
	}{
		"short":  {first - 1, nil},
		"longer": {first + 1, []string{"baking: 3s so far"}},
		"long":   {first + 2*every + 1, []string{"baking: 3s so far", "baking: 23s so far", "baking: 43s so far"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				stop := Watch(&out, "baking", first, every)
				time.Sleep(test.takes) // of the bubble's clock
				stop()
				time.Sleep(every)
				var got []string
				if out.Len() > 0 {
					got = strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}
