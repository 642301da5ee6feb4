package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"kip.elotl.co/hack/fabric"
	"kip.elotl.co/hack/localaws/boot/sandbox"
	"kip.elotl.co/hack/localaws/catalog"
	"kip.elotl.co/hack/localaws/imds"
)

// sandboxFlags are the flags of the sandbox back end.
type sandboxFlags struct {
	fabric, init, image string
	registries, hide    []string
	// aliases are further names of registries, with their host:port.
	aliases map[string]string
	// environment is what programs of cells find in theirs.
	environment map[string]string
	// containerd is, by image name with wildcards, a directory.
	containerd map[string]string
}

// sandboxBackend boots instances as sandboxes on a fabric that covers the
// VPC, with their metadata service. The fabric and its cells stay when the
// emulator ends.
func sandboxBackend() backend {
	o := &sandboxFlags{fabric: "kip-dev", init: "bin/cellinit"}
	return backend{
		flags: o.bind,
		open:  o.open,
	}
}

func (o *sandboxFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&o.fabric, "fabric", o.fabric, "sandbox: name of the fabric, made when missing")
	f.StringVar(&o.init, "cellinit", o.init, "sandbox: first process of cells, a static binary")
	f.StringVar(&o.image, "sandbox-image", o.image, "sandbox: containerd's image of pod sandboxes; its own default when empty")
	f.StringSliceVar(&o.registries, "registry", o.registries, "sandbox: host:port of registries that speak plain HTTP")
	f.StringToStringVar(&o.aliases, "registry-alias", o.aliases, "sandbox: NAME=HOST:PORT: cells pull images of registry NAME from there, by plain HTTP")
	f.StringToStringVar(&o.environment, "cell-environment", o.environment, "sandbox: NAME=VALUE in /etc/environment of cells, and in that of their first boot's programs")
	f.StringToStringVar(&o.containerd, "containerd", o.containerd,
		"sandbox: NAME=DIR: cells of images whose name matches (with *) have the containerd 2 of that directory in place of this machine's")
	f.StringSliceVar(&o.hide, "hide", o.hide, "sandbox: further paths of this machine that cells must not see")
}

func (o *sandboxFlags) open(_ context.Context, env environment) (opened, error) {
	network, err := fabric.Up(fabric.Config{Name: o.fabric, Subnet: env.Catalog.VPC.CIDR})
	if err != nil {
		return opened{}, err
	}
	containerd, err := containerdByImage(env.Catalog.Images, o.containerd)
	if err != nil {
		return opened{}, err
	}
	cells, err := sandbox.New(sandbox.Config{
		Dir: filepath.Join(env.Dir, "cells"), Network: network, Init: o.init,
		Registries: o.registries, Aliases: o.aliases, Environment: o.environment, SandboxImage: o.image, Containerd: containerd, Hide: o.hide,
	})
	if err != nil {
		return opened{}, err
	}
	directory := imds.NewDirectory(cells)
	// Not bound to the caller's context: cells that are being ended may still ask.
	ctx, cancel := context.WithCancel(context.Background())
	l, err := network.Listen(ctx, "tcp4", fabric.MetadataAddr+":80")
	if err != nil {
		cancel()
		return opened{}, fmt.Errorf("metadata service: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		err := imds.New(directory, time.Now).WithRoles(env.IAM).Serve(ctx, l)
		if !errors.Is(err, context.Canceled) {
			env.Log.Error(err, "the metadata service ended")
		}
		ended <- err
	}()
	return opened{Backend: directory, close: func(context.Context) error {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}}, nil
}

// containerdByImage finds the images whose names match, and answers the
// directories by image ID.
func containerdByImage(images []catalog.Image, byName map[string]string) (map[string]string, error) {
	byID := map[string]string{}
	for pattern, dir := range byName {
		for _, image := range images {
			match, err := path.Match(pattern, image.Name)
			if err != nil {
				return nil, fmt.Errorf("--containerd %s: %w", pattern, err)
			}
			if match {
				byID[image.ID] = dir
			}
		}
	}
	return byID, nil
}
