// Command podsupport writes docs/pod-support.md: which fields of a pod are honoured. It gives every field of v1.PodSpec that the API knows
// a value of each kind in turn, and asks the code that refuses pods. Its argument is the file to write.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"kip.elotl.co/hack/proc/atomicfile"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "podsupport:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: podsupport FILE")
	}
	page, err := page(ctx)
	if err != nil {
		return err
	}
	if _, err := atomicfile.Write(args[0], page, 0o644); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// page is the whole document.
func page(ctx context.Context) ([]byte, error) {
	dir, err := packageDir(ctx, "k8s.io/api/core/v1")
	if err != nil {
		return nil, err
	}
	constants, err := readConstants(dir)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	render(&out, examine(constants))
	return out.Bytes(), nil
}

// packageDir is where the source of a package is that this module depends on.
func packageDir(ctx context.Context, path string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", path)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("finding %s: %w: %s", path, err, problems.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}
