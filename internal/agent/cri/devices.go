package cri

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"

	"kip.elotl.co/internal/agent"
	"kip.elotl.co/internal/podsupport"
)

// neuronPath is what the names of Neuron devices begin with (AWS Neuron driver,
// aws-neuronx-dkms); their containers need nothing else.
const neuronPath = "/dev/neuron"

// Devices implements agent.Runtime. GPUs are what the specifications of the
// Container Device Interface list that the runtime reads, whose kind of device
// has the resource's name, nvidia.com/gpu.
func (r *Runtime) Devices(ctx context.Context, resource corev1.ResourceName) ([]agent.Device, error) {
	if resource == podsupport.ResourceNeuron {
		return neuronDevices()
	}
	ctx, runtime, _, err := r.services(ctx)
	if err != nil {
		return nil, err
	}
	config, err := r.deviceConfig(ctx, runtime)
	if err != nil {
		return nil, err
	}
	names, err := listed(config.CDISpecDirs, string(resource))
	if len(names) == 0 && resource == podsupport.ResourceGPU {
		if generated, failed := generate(ctx, config.CDISpecDirs); generated {
			names, err = listed(config.CDISpecDirs, string(resource))
		} else if failed != nil {
			err = errors.Join(err, failed)
		}
	}
	if len(names) == 0 {
		return nil, errors.Join(fmt.Errorf("no specification of the Container Device Interface in %s describes such a device: "+
			"the cell's image must have the device's driver and make one, as nvidia-ctk cdi generate does", strings.Join(config.CDISpecDirs, ", ")), err)
	}
	var devices []agent.Device
	for _, name := range names {
		devices = append(devices, agent.Device{Resource: resource, Name: string(resource) + "=" + name})
	}
	return devices, nil
}

// deviceConfig is what of containerd's configuration is about devices.
type deviceConfig struct {
	// EnableCDI is not there in 1.6, which knows no devices, nor from 2.4 on,
	// which always does.
	EnableCDI   *bool    `json:"enableCDI"`
	CDISpecDirs []string `json:"cdiSpecDirs"`
}

// deviceConfig asks the runtime, since one that knows no devices ignores them
// without a word.
func (r *Runtime) deviceConfig(ctx context.Context, runtime cri.RuntimeService) (deviceConfig, error) {
	response, err := runtime.Status(ctx, true)
	if err != nil {
		return deviceConfig{}, fmt.Errorf("asking the container runtime for its configuration: %w", plain(err))
	}
	var config deviceConfig
	if text := response.Info["config"]; text != "" {
		if err := json.Unmarshal([]byte(text), &config); err != nil {
			return deviceConfig{}, fmt.Errorf("reading the container runtime's configuration: %w", err)
		}
	}
	switch {
	case config.EnableCDI != nil && !*config.EnableCDI:
		return deviceConfig{}, errors.New("the cell's container runtime has the Container Device Interface switched off: " +
			"its image must set enable_cdi = true in the CRI plugin's section of /etc/containerd/config.toml")
	case len(config.CDISpecDirs) == 0:
		return deviceConfig{}, errors.New("the cell's container runtime knows no devices: its image must have containerd 1.7 or newer")
	}
	return config, nil
}

// listed names the devices of a kind in the specifications of some directories:
// those that have numbers, by number; where none has, all but the one that
// means all.
func listed(dirs []string, kind string) ([]string, error) {
	cache, err := cdi.NewCache(cdi.WithSpecDirs(dirs...), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil, fmt.Errorf("reading device specifications: %w", err)
	}
	numbers, others := map[int]string{}, []string(nil)
	for _, qualified := range cache.ListDevices() {
		vendor, class, name := parser.ParseDevice(qualified)
		if vendor+"/"+class != kind || name == "all" {
			continue
		}
		if number, err := strconv.Atoi(name); err == nil {
			numbers[number] = name
		} else {
			others = append(others, name)
		}
	}
	if len(numbers) == 0 {
		return others, specErrors(cache)
	}
	var names []string
	for _, number := range slices.Sorted(maps.Keys(numbers)) {
		names = append(names, numbers[number])
	}
	return names, nil
}

// specErrors says which files could not be read.
func specErrors(cache *cdi.Cache) error {
	var all []error
	errs := cache.GetErrors()
	for _, path := range slices.Sorted(maps.Keys(errs)) {
		all = append(all, fmt.Errorf("%s: %w", path, errors.Join(errs[path]...)))
	}
	return errors.Join(all...)
}

// generate has NVIDIA's toolkit, where the image has it, describe the GPUs, as
// images do at their boot that have version 1.18 of it or newer.
func generate(ctx context.Context, dirs []string) (done bool, err error) {
	tool, err := exec.LookPath("nvidia-ctk")
	if err != nil {
		return false, nil //nolint:nilerr // most images do without
	}
	path := filepath.Join(dirs[len(dirs)-1], "nvidia.yaml")
	var output bytes.Buffer
	command := exec.CommandContext(ctx, tool, "cdi", "generate", "--output="+path)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		text := output.Bytes()
		return false, fmt.Errorf("nvidia-ctk cdi generate: %w: %s", err, bytes.TrimSpace(text[max(0, len(text)-maxOutput):]))
	}
	return true, nil
}

// maxOutput is how many bytes of a failed command's output an error has.
const maxOutput = 500

// neuronDevices are those of the driver, by number.
func neuronDevices() ([]agent.Device, error) {
	paths, err := filepath.Glob(neuronPath + "[0-9]*")
	if err != nil {
		return nil, err
	}
	numbers := map[string]int{}
	for _, path := range paths {
		if number, err := strconv.Atoi(strings.TrimPrefix(path, neuronPath)); err == nil {
			numbers[path] = number
		}
	}
	if len(numbers) == 0 {
		return nil, fmt.Errorf("there is no %s0 on the cell: its image must have the Neuron driver", neuronPath)
	}
	var devices []agent.Device
	for _, path := range slices.SortedFunc(maps.Keys(numbers), func(a, b string) int { return cmp.Compare(numbers[a], numbers[b]) }) {
		devices = append(devices, agent.Device{Resource: podsupport.ResourceNeuron, Name: path})
	}
	return devices, nil
}

// giveDevices puts them into a container's configuration.
func giveDevices(config *runtimeapi.ContainerConfig, devices []agent.Device) {
	for _, device := range devices {
		if strings.HasPrefix(device.Name, "/") {
			config.Devices = append(config.Devices, &runtimeapi.Device{HostPath: device.Name, ContainerPath: device.Name, Permissions: "rw"})
		} else {
			config.CDIDevices = append(config.CDIDevices, &runtimeapi.CDIDevice{Name: device.Name})
		}
	}
}
