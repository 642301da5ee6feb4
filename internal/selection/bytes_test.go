package selection

import "testing"

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 1023: "1023", 1 << 10: "1Ki", 512 << 20: "512Mi", 7946 << 20: "7.8Gi", 8 << 30: "8Gi", 24 << 40: "24Ti",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
