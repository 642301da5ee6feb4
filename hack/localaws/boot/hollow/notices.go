package hollow

import (
	"context"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/internal/itzo"
)

// notices are what a cell's metadata service would tell of its end.
func notices(spec boot.Spec) func(context.Context) (itzo.Notices, error) {
	if spec.Notices == nil {
		return nil
	}
	return func(ctx context.Context) (itzo.Notices, error) {
		var out itzo.Notices
		if err := spec.AwaitMetadata(ctx); err != nil {
			return out, err
		}
		told := spec.Notices()
		if !told.Interruption.IsZero() {
			out.Interruption = &itzo.Interruption{Action: "terminate", Time: told.Interruption}
		}
		if !told.Rebalance.IsZero() {
			out.Rebalance = &told.Rebalance
		}
		for _, m := range told.Maintenance {
			out.Maintenance = append(out.Maintenance, itzo.Maintenance{Code: m.Code, Description: m.Description, NotBefore: m.NotBefore, NotAfter: m.NotAfter})
		}
		return out, nil
	}
}
