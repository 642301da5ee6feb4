package main

import "testing"

func TestBytesFlag(t *testing.T) {
	for text, want := range map[string]int{"1Mi": 1 << 20, "0": 0, "1000": 1000, "1G": 1e9} {
		var b bytesFlag
		if err := b.Set(text); err != nil || int(b) != want {
			t.Errorf("%s: %d, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "much", "-1", "3Gi"} {
		b := bytesFlag(7)
		if err := b.Set(text); err == nil || b != 7 {
			t.Errorf("%q: %d, %v", text, b, err)
		}
	}
}
