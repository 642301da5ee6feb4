package imds

import (
	"time"

	"kip.elotl.co/hack/localaws/boot"
)

// addNotices is what an instance is told of its end.
func addNotices(t map[string]string, spec boot.Spec) {
	if spec.Notices == nil {
		return
	}
	notices := spec.Notices()
	if at := notices.Interruption; !at.IsZero() {
		t["meta-data/spot/instance-action"] = document(map[string]string{"action": "terminate", "time": at.UTC().Format(time.RFC3339)})
		t["meta-data/spot/termination-time"] = at.UTC().Format(time.RFC3339)
	}
	if at := notices.Rebalance; !at.IsZero() {
		t["meta-data/events/recommendations/rebalance"] = document(map[string]string{"noticeTime": at.UTC().Format(time.RFC3339)})
	}
	events := make([]map[string]string, 0, len(notices.Maintenance))
	for _, m := range notices.Maintenance {
		event := map[string]string{"Code": m.Code, "Description": m.Description, "EventId": m.ID, "State": "active"}
		for name, at := range map[string]time.Time{"NotBefore": m.NotBefore, "NotAfter": m.NotAfter} {
			if !at.IsZero() {
				event[name] = at.UTC().Format("2 Jan 2006 15:04:05") + " GMT"
			}
		}
		events = append(events, event)
	}
	t["meta-data/events/maintenance/scheduled"] = document(events)
}
