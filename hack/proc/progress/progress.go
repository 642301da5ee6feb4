// Package progress tells people that something which takes long still goes on.
package progress

import (
	"fmt"
	"io"
	"time"
)

// Watch writes "<what>: <time> so far" to w after first, and from then on every so often, until stop is called. Nothing is written after
// stop has returned; what ends before first is never mentioned.
func Watch(w io.Writer, what string, first, every time.Duration) (stop func()) {
	begin := time.Now()
	timer := time.NewTimer(first)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer timer.Stop()
		for {
			select {
			case <-end:
				return
			case <-timer.C:
				fmt.Fprintf(w, "%s: %s so far\n", what, time.Since(begin).Round(time.Second))
				timer.Reset(every)
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
