package podspec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/podspec"
)

func service(name, ip string, ports ...corev1.ServicePort) corev1.Service {
	return corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: ports}}
}

func TestServiceVariables(t *testing.T) {
	got := podspec.ServiceVariables([]corev1.Service{
		service("redis-primary", "10.0.0.11", corev1.ServicePort{Name: "client-port", Port: 6379, Protocol: corev1.ProtocolTCP}, corev1.ServicePort{Name: "gossip", Port: 70, Protocol: corev1.ProtocolUDP}),
		service("six", "fd00::1", corev1.ServicePort{Port: 80}),
		service("headless", corev1.ClusterIPNone, corev1.ServicePort{Port: 80}),
		service("external", ""), service("portless", "10.0.0.12"),
	})
	want := map[string]string{
		"REDIS_PRIMARY_SERVICE_HOST": "10.0.0.11", "REDIS_PRIMARY_SERVICE_PORT": "6379",
		"REDIS_PRIMARY_SERVICE_PORT_CLIENT_PORT": "6379", "REDIS_PRIMARY_SERVICE_PORT_GOSSIP": "70",
		"REDIS_PRIMARY_PORT": "tcp://10.0.0.11:6379", "REDIS_PRIMARY_PORT_6379_TCP": "tcp://10.0.0.11:6379", "REDIS_PRIMARY_PORT_6379_TCP_PROTO": "tcp",
		"REDIS_PRIMARY_PORT_6379_TCP_PORT": "6379", "REDIS_PRIMARY_PORT_6379_TCP_ADDR": "10.0.0.11",
		"REDIS_PRIMARY_PORT_70_UDP": "udp://10.0.0.11:70", "REDIS_PRIMARY_PORT_70_UDP_PROTO": "udp", "REDIS_PRIMARY_PORT_70_UDP_PORT": "70", "REDIS_PRIMARY_PORT_70_UDP_ADDR": "10.0.0.11",
		"SIX_SERVICE_HOST": "fd00::1", "SIX_SERVICE_PORT": "80", "SIX_PORT": "tcp://[fd00::1]:80", "SIX_PORT_80_TCP": "tcp://[fd00::1]:80",
		"SIX_PORT_80_TCP_PROTO": "tcp", "SIX_PORT_80_TCP_PORT": "80", "SIX_PORT_80_TCP_ADDR": "fd00::1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
