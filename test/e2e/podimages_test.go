package e2e

import (
	"net"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"kip.elotl.co/test/testenv"
)

// pushImages adds to the registry busybox:custom, whose user and signal to stop are its own.
func pushImages(t *testing.T, env *testenv.Env) {
	t.Helper()
	from, err := name.NewTag(env.Endpoints.Registry+"/busybox:latest", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(from, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config := *file.Config.DeepCopy()
	config.User, config.StopSignal, config.WorkingDir = "www-data", "SIGUSR1", "/var/www"
	config.Entrypoint, config.Cmd = []string{"echo"}, []string{"of the image"}
	if image, err = mutate.Config(image, config); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(from.Context().Tag("custom"), image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// serveHealth answers the gRPC health protocol for service "web" to cells, and returns its address.
func serveHealth(t *testing.T, env *testenv.Env) string {
	t.Helper()
	host, _, err := net.SplitHostPort(env.Endpoints.Registry)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server, service := grpc.NewServer(), health.NewServer()
	service.SetServingStatus("web", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, service)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func imageScenes() []scene {
	return []scene{{manifests: badImagesPod, features: []feature{
		{"an image that does not exist: ErrImagePull, then ImagePullBackOff", all(
			container("bad-images", "missing", "{.state.waiting.reason}", "ImagePullBackOff"),
			event("bad-images", "Failed: Error: ErrImagePull"), event("bad-images", "BackOff: Back-off pulling image"))},
		{"imagePullPolicy Never", all(container("bad-images", "never", "{.state.waiting.reason}", "ErrImageNeverPull"),
			event("bad-images", "ErrImageNeverPull: Container image", "is not present with pull policy of Never"))},
		{"an image's name that cannot be", all(container("bad-images", "name", "{.state.waiting.reason}", "InvalidImageName"),
			event("bad-images", "InspectFailed: Failed to apply default image tag \"Busy Box\": couldn't parse image name \"Busy Box\": invalid reference format"))},
		{"a command that does not exist", all(container("bad-images", "command", "{.lastState.terminated.reason} {.lastState.terminated.exitCode}", "StartError 128"),
			event("bad-images", "Failed: Error: ", "executable file not found"))},
		{"imagePullPolicy IfNotPresent", event("bad-images", "Pulled: Container image", "already present on machine")},
		{"imagePullPolicy Always", event("bad-images", "Pulled: Successfully pulled image")},
		{"entrypoint, command, user and directory of the image", wroteAll("bad-images", "image", "of the image\n")},
		{"args in place of the image's command", wroteAll("bad-images", "args", "of the pod\n")},
		{"the directory and the user of the image", wroteAll("bad-images", "command-only", "/var/www\nuid=33(www-data) gid=33(www-data) groups=33(www-data)\n")},
		{"runAsNonRoot where the image's user is a name", event("bad-images", "Failed: Error: container has runAsNonRoot and image has non-numeric user (www-data)")},
		{"workingDir", wroteAll("bad-images", "directory", "/tmp\n")},
	}}}
}

const badImagesPod = `kind: Pod
metadata: {name: bad-images}
spec:
  restartPolicy: OnFailure
  initContainers: [{name: before, image: "busybox:custom"}]
  containers:
  - {name: missing, image: "busybox:no-such-tag"}
  - {name: never, image: "busybox:1", imagePullPolicy: Never}
  - {name: name, image: "Busy Box"}
  - {name: command, image: busybox, command: [no-such-command]}
  - {name: image, image: "busybox:custom"}
  - {name: named, image: "busybox:custom", securityContext: {runAsNonRoot: true}}
  - {name: args, image: "busybox:custom", args: [of the pod]}
  - {name: command-only, image: "busybox:custom", imagePullPolicy: IfNotPresent, command: [sh, -c, pwd; id]}
  - {name: directory, image: busybox, imagePullPolicy: Always, workingDir: /tmp, command: [pwd]}
`
