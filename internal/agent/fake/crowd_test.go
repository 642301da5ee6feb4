package fake_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/agent/fake"
	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

// A thousand hollow cells in one process: what each costs, and that nothing of
// them stays.
func TestCrowd(t *testing.T) {
	const crowd = 1000
	authority := itzotest.NewAuthority(t)
	server := authority.Server("cell")
	credentials := agent.PEM{CA: authority.PEM(), Certificate: server.Certificate, Key: server.Key}
	goroutines, heap := measure()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, crowd)
	addresses := make([]string, crowd)
	for i := range crowd {
		a, err := agent.New(agent.Config{Runtime: fake.NewRuntime(), Host: fake.NewHost(agent.Resources{})})
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses[i] = listener.Addr().String()
		go func() { done <- a.Serve(ctx, listener, credentials) }()
	}
	certificate := authority.Client().TLS(t)
	for i, address := range addresses {
		runPod(t, itzo.Config{Address: address, ServerName: "cell", RootCAs: authority.Pool(), Certificate: certificate}, i)
	}
	running, used := measure()
	t.Logf("a hollow cell with a pod has %.1f goroutines and %d KiB of heap",
		float64(running-goroutines)/crowd, (used-heap)/crowd>>10)
	if running-goroutines > 8*crowd || (used-heap)/crowd > 128<<10 {
		t.Error("that is too much")
	}
	cancel()
	for range crowd {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > goroutines && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > goroutines {
		t.Errorf("%d goroutines before, %d after", goroutines, after)
	}
}

func measure() (goroutines int, heap uint64) {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return runtime.NumGoroutine(), stats.HeapAlloc
}

// runPod brings one hollow cell's pod up and goes away.
func runPod(t *testing.T, config itzo.Config, number int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := itzo.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default", UID: types.UID(fmt.Sprintf("uid-%d", number))},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
	for {
		err := client.UpdatePod(ctx, &itzo.PodParameters{PodName: "default_web", PodIP: "10.0.0.2", Pod: pod})
		if err == nil {
			break
		}
		if !itzo.IsCode(err, 503) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	var reply itzo.StatusReply
	for reply.Status.Phase != corev1.PodRunning {
		if reply, err = client.WaitStatus(ctx, reply.Epoch, reply.Revision, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
}
