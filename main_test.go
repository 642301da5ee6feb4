package main

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// TestEverythingLogsAlike: lines of client-go, which come by klog, have the
// form and go to the place of all others.
func TestEverythingLogsAlike(t *testing.T) {
	t.Cleanup(klog.ClearLogger)
	var out bytes.Buffer
	setLoggers(zap.New(zap.WriteTo(&out)))
	ctrl.Log.Info("ours")
	klog.InfoS("theirs", "key", "value")
	klog.Warning("their old way")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("log %q", lines)
	}
	for i, want := range []string{`"msg":"ours"`, `"msg":"theirs","key":"value"`, `"msg":"their old way"`} {
		if !strings.HasPrefix(lines[i], `{"level":"info"`) || !strings.Contains(lines[i], want) {
			t.Errorf("line %q, want %s", lines[i], want)
		}
	}
}
