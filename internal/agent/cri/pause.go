package cri

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// importTimeout is for the import and until the runtime shows the image.
const importTimeout = 30 * time.Second

// ensurePause makes the image present from which the runtime makes sandboxes,
// so that no cell has to fetch it.
func (r *Runtime) ensurePause(ctx context.Context, runtime cri.RuntimeService, images cri.ImageManagerService) error {
	r.pause.Lock()
	defer r.pause.Unlock()
	if r.pauseSettled || r.config.PauseBinary == "" && r.config.FetchPause == nil {
		return nil
	}
	err := r.providePause(ctx, runtime, images)
	r.pauseSettled = err == nil
	if r.config.PauseBinary == "" && err != nil {
		return &leftToRuntimeError{err}
	}
	return err
}

// leftToRuntimeError is why there is no sandbox image yet; the runtime may be
// able to fetch it itself.
type leftToRuntimeError struct{ err error }

func (e *leftToRuntimeError) Error() string { return e.err.Error() }
func (e *leftToRuntimeError) Unwrap() error { return e.err }

func (r *Runtime) providePause(ctx context.Context, runtime cri.RuntimeService, images cri.ImageManagerService) error {
	ctx, cancel := context.WithTimeout(ctx, importTimeout)
	defer cancel()
	image, err := r.sandboxImage(ctx, runtime)
	if err != nil {
		return err
	}
	present, err := hasImage(ctx, images, image)
	if err != nil || present {
		return err
	}
	program := r.config.PauseBinary
	if program == "" {
		if program, err = r.config.FetchPause(ctx); err != nil {
			return fmt.Errorf("fetching the pause program: %w", err)
		}
	}
	return r.importPause(ctx, images, image, program)
}

// sandboxImage is the name of the image that the runtime wants: containerd 1.x
// says so in its status, 2.x only in its configuration.
func (r *Runtime) sandboxImage(ctx context.Context, runtime cri.RuntimeService) (string, error) {
	if r.config.SandboxImage != "" {
		return r.config.SandboxImage, nil
	}
	response, err := runtime.Status(ctx, true)
	if err != nil {
		return "", fmt.Errorf("asking the container runtime for its configuration: %w", err)
	}
	if image := parseConfig(response.Info["config"]).SandboxImage; image != "" {
		return image, nil
	}
	dump, err := exec.CommandContext(ctx, "containerd", "config", "dump").Output()
	if err != nil {
		return "", fmt.Errorf("reading containerd's configuration: %w", err)
	}
	image := pinnedSandbox(string(dump))
	if image == "" {
		return "", errors.New("containerd's configuration names no sandbox image; give it as a flag")
	}
	return image, nil
}

var pinnedPattern = regexp.MustCompile(`^\s*sandbox\s*=\s*['"]([^'"]+)['"]`)

// pinnedSandbox finds the sandbox image in containerd 2.x's configuration (TOML).
func pinnedSandbox(config string) string {
	inside := false
	for line := range strings.Lines(config) {
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "[") {
			inside = strings.HasSuffix(trimmed, ".pinned_images]")
			continue
		}
		if found := pinnedPattern.FindStringSubmatch(line); inside && found != nil {
			return found[1]
		}
	}
	return ""
}

func hasImage(ctx context.Context, images cri.ImageManagerService, image string) (bool, error) {
	response, err := images.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: image}, false)
	if err != nil {
		return false, fmt.Errorf("looking for sandbox image: %w", plain(err))
	}
	return response.Image != nil, nil
}

func (r *Runtime) importPause(ctx context.Context, images cri.ImageManagerService, image, path string) error {
	program, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the pause program: %w", err)
	}
	var archive bytes.Buffer
	if err := WriteImage(&archive, image, program); err != nil {
		return fmt.Errorf("making the pause image: %w", err)
	}
	address := strings.TrimPrefix(r.config.Endpoint, "unix://")
	command := exec.CommandContext(ctx, "ctr", "--address", address, "--namespace", "k8s.io", "images", "import", "-")
	command.Stdin = &archive
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("importing the pause image: %w: %s", err, bytes.TrimSpace(output))
	}
	return waitForImage(ctx, images, image)
}

// waitForImage waits until the runtime's CRI side knows an imported image.
func waitForImage(ctx context.Context, images cri.ImageManagerService, image string) error {
	poll := time.NewTicker(networkPoll)
	defer poll.Stop()
	for {
		if present, err := hasImage(ctx, images, image); present || err != nil {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("the container runtime does not show the imported image %s", image)
		}
	}
}

// WriteImage writes an image archive, as "ctr images import" takes it, of an
// image with one program for this machine's architecture.
func WriteImage(w io.Writer, image string, program []byte) error {
	tag, err := name.NewTag(image)
	if err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return programLayer(program) })
	if err != nil {
		return err
	}
	made, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	config, err := made.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.Architecture, config.OS = runtime.GOARCH, "linux"
	config.Config = v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"}
	if made, err = mutate.ConfigFile(made, config); err != nil {
		return err
	}
	return tarball.Write(tag, made, w)
}

func programLayer(program []byte) (io.ReadCloser, error) {
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: "pause", Mode: 0o755, Size: int64(len(program))}
	if err := archive.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := archive.Write(program); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return io.NopCloser(&layer), nil
}
