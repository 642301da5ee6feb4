package awserr

import "testing"

func TestStatus(t *testing.T) {
	for code, want := range map[string]int{
		"AuthFailure": 401, "UnauthorizedOperation": 403, "MissingAuthenticationToken": 403, "DryRunOperation": 412, "RequestLimitExceeded": 503,
		"InternalError": 500, "InsufficientInstanceCapacity": 500, "VcpuLimitExceeded": 400, "InsufficientFreeAddressesInSubnet": 400, "InvalidParameterValue": 400,
	} {
		if got := New(code, "for %s", "people").Status(); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
	if got := New("Code", "for %s", "people").Error(); got != "Code: for people" {
		t.Errorf("text %q", got)
	}
}
