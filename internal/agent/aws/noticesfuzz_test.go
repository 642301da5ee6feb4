package aws

import "testing"

// FuzzNotices: whatever the metadata service says is read or refused.
func FuzzNotices(f *testing.F) {
	for _, seed := range []string{"", "{}", "[]", "null", `{"action":"stop","time":"2031-02-03T04:05:06Z"}`, `{"noticeTime":"2031-02-03T04:05:06Z"}`,
		`[{"NotBefore":"21 Jan 2031 09:00:43 GMT","Code":"system-reboot","State":"active"},{"Code":"instance-stop","State":"canceled"}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, err := readAction(text); err == nil && (got.Action == "" || got.Time.IsZero()) {
			t.Errorf("%+v", got)
		}
		if got, err := readRebalance(text); err == nil && got.IsZero() {
			t.Errorf("%v", got)
		}
		got, err := readMaintenance(text)
		if err == nil && len(got) > maintenanceMost {
			t.Errorf("%d events", len(got))
		}
		for _, event := range got {
			if event.Code == "" {
				t.Errorf("%+v", event)
			}
		}
	})
}
