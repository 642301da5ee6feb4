package sandbox

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/firstboot"
	"kip.elotl.co/hack/localaws/imds"
)

// image lists what is added to the host's root file system.
func (b *Backend) image(spec boot.Spec) []entry {
	entries := skeleton()
	entries = append(entries, identity(spec)...)
	entries = append(entries, powerCommands()...)
	entries = append(entries, b.containerd(spec)...)
	entries = append(entries, deviceSpecification(spec)...)
	for _, host := range b.cfg.Registries {
		entries = append(entries, registryEntry(host, host))
	}
	for name, host := range b.cfg.Aliases {
		entries = append(entries, registryEntry(name, host))
	}
	entries = append(entries, entry{"/etc/environment", 0o644, environment(b.cfg.Environment)})
	if spec.Hangs {
		entries = append(entries, entry{firstboot.HangFile, 0o644, ""})
	}
	if shadow := lockedShadow(b.lower); shadow != "" {
		entries = append(entries, entry{"/etc/shadow", 0o640, shadow})
	}
	return entries
}

func registryEntry(name, host string) entry {
	return entry{filepath.Join("/etc/containerd/certs.d", name, "hosts.toml"), 0o644, hostsToml(host)}
}

func environment(variables map[string]string) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		fmt.Fprintf(&out, "%s=%s\n", name, variables[name])
	}
	return out.String()
}

// skeleton is /var and the other directories that were hidden, as after
// installation.
func skeleton() []entry {
	const dir, sticky = fs.ModeDir | 0o755, fs.ModeDir | fs.ModeSticky | 0o777
	return []entry{
		{"/root", fs.ModeDir | 0o700, ""}, {"/tmp", sticky, ""}, {"/var", dir, ""}, {"/var/tmp", sticky, ""}, {"/var/log", dir, ""},
		{"/var/cache", dir, ""}, {"/var/spool", dir, ""}, {"/var/lib", dir, ""}, {containerdRoot, fs.ModeDir | 0o711, ""},
		{"/var/run", fs.ModeSymlink, "/run"}, {"/var/lock", fs.ModeSymlink, "/run/lock"}, {"/etc/cni/net.d", dir, ""},
		{"/home", dir, ""}, {"/mnt", dir, ""}, {"/srv", dir, ""}, {"/proc", dir, ""}, {"/sys", dir, ""}, {"/dev", dir, ""}, {"/run", dir, ""},
	}
}

// identity is what tells one cell from another before user data is read.
func identity(spec boot.Spec) []entry {
	full := imds.Hostname(spec)
	name := shortHostname(spec)
	hosts := "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
	if len(spec.PrivateIPs) > 0 {
		hosts += fmt.Sprintf("%s %s %s\n", spec.PrivateIPs[0], full, name)
	}
	return []entry{
		{"/etc/hostname", 0o644, name + "\n"},
		{"/etc/hosts", 0o644, hosts},
		// There is no name server on the fabric; what asks for one is refused at once.
		{"/etc/resolv.conf", 0o644, "# no name server\n"},
		{"/etc/machine-id", 0o444, machineID(spec.InstanceID) + "\n"},
	}
}

func shortHostname(spec boot.Spec) string {
	name, _, _ := strings.Cut(imds.Hostname(spec), ".")
	if name == "" {
		return spec.InstanceID
	}
	return name
}

// machineID is 32 hexadecimal digits that begin with the instance's own.
func machineID(instanceID string) string {
	var id strings.Builder
	for _, r := range strings.ToLower(instanceID) {
		if strings.ContainsRune("0123456789abcdef", r) {
			id.WriteRune(r)
		}
	}
	return (id.String() + strings.Repeat("0", 32))[:32]
}

// powerCommands ask the cell's first process to power off, in place of those
// that ask systemd.
func powerCommands() []entry {
	const script = "#!/bin/sh\n# The cell's first process powers off on this signal.\nkill -s USR2 1\n"
	const systemctl = "#!/bin/sh\ncase \"$1\" in\npoweroff|halt|reboot) kill -s USR2 1 ;;\n*) echo \"systemctl $1: this cell has no systemd\" >&2; exit 1 ;;\nesac\n"
	entries := []entry{{"/usr/bin/systemctl", 0o755, systemctl}}
	for _, name := range []string{"poweroff", "halt", "shutdown", "reboot"} {
		entries = append(entries, entry{"/usr/sbin/" + name, 0o755, script})
	}
	return entries
}

// lockedShadow is the host's shadow file without anybody's password.
func lockedShadow(lower string) string {
	data, err := os.ReadFile(filepath.Join(lower, "etc/shadow"))
	if err != nil {
		return ""
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(fields) < 2 {
			continue
		}
		fields[1] = "*"
		out.WriteString(strings.Join(fields, ":") + "\n")
	}
	return out.String()
}

// findCNI is where the host's packages put the CNI plugins: Debian's, then
// everybody else's.
func findCNI(lower string) (string, error) {
	for _, dir := range []string{"/usr/lib/cni", "/opt/cni/bin"} {
		if _, err := os.Stat(filepath.Join(lower, dir, "ptp")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no CNI plugins in /usr/lib/cni or /opt/cni/bin (Debian: containernetworking-plugins)")
}
