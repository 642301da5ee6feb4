package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Pause downloads the program of a pod's sandbox, of the version that the cell's
// agent is to have, else of this one, and answers where it is.
func (i *Installer) Pause(ctx context.Context, own string) (string, error) {
	path := filepath.Join(i.config.StateDir, "pause")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	version, err := i.parameter("itzo_version")
	if err != nil {
		return "", err
	}
	if version == "" {
		version = own
	}
	name := fmt.Sprintf("pause-%s-%s", version, runtime.GOARCH)
	if err := i.download(ctx, name, "pause-"+runtime.GOARCH, path, 0o755); err != nil {
		return "", err
	}
	return path, nil
}
