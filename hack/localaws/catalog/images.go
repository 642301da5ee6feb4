package catalog

import (
	"slices"
	"strings"
	"time"
)

// Image is an AMI. All are EBS-backed.
type Image struct {
	ID           string
	Name         string
	Description  string
	Owner        string // account id
	OwnerAlias   string // amazon, or "" for the account's own and the community's
	Public       bool
	Architecture string
	State        string // available or pending
	CreationDate time.Time
	RootDevice   string
	// SnapshotGiB is the size of the root snapshot, the least a root volume may
	// have.
	SnapshotGiB int
	SnapshotID  string
	Tags        map[string]string

	ENA            bool
	Virtualization string // hvm or paravirtual
	// BootMode is legacy-bios, uefi or uefi-preferred; "" leaves it to the
	// instance type.
	BootMode string
	// Driver is the accelerators that the image has the driver for: nvidia,
	// neuron or "".
	Driver string
}

// images has, of each kind, more than one date, so that "the newest" can be
// told from "the first". The newest of the account's own is still pending:
// whoever picks it did not ask for state=available.
func images() []Image {
	var out []Image
	own := func(id, arch string, created time.Time, state string) {
		name := "kip-cell-debian-13-" + debianArch(arch) + "-" + created.Format("20060102")
		out = append(out, Image{
			ID: "ami-" + id, Name: name, Description: "Debian with the cell's boot chain", Owner: Account, Architecture: arch, State: state,
			CreationDate: created, RootDevice: "/dev/xvda", SnapshotGiB: 4, SnapshotID: "snap-" + id,
			Tags: map[string]string{"Name": name, "elotl.co/image": "kip-cell"}, ENA: true, Virtualization: "hvm", BootMode: "uefi-preferred",
		})
	}
	own("0c0ffee0000000001", X86, noon(2026, 3, 2), "available")
	own("0c0ffee0000000002", X86, noon(2026, 9, 14), "available")
	own("0c0ffee0000000003", X86, noon(2026, 6, 21), "available")
	own("0c0ffee0000000004", X86, noon(2026, 11, 1), "pending")
	own("0c0ffee0000000005", ARM, noon(2026, 9, 14), "available")
	own("0c0ffee0000000006", ARM, noon(2026, 3, 2), "available")
	public := func(id, prefix, owner, alias, arch string, created time.Time, gib int) {
		name := prefix + "-" + created.Format("20060102") + "-" + arch
		switch owner {
		case DebianAccount:
			name = prefix + "-" + debianArch(arch) + "-" + created.Format("20060102")
		case UbuntuAccount:
			name = prefix + "-" + debianArch(arch) + "-server-" + created.Format("20060102")
		}
		out = append(out, Image{
			ID: "ami-" + id, Name: name, Description: name, Owner: owner, OwnerAlias: alias, Public: true, Architecture: arch, State: "available",
			CreationDate: created, RootDevice: "/dev/xvda", SnapshotGiB: gib, SnapshotID: "snap-" + id,
			ENA: true, Virtualization: "hvm", BootMode: "uefi-preferred",
		})
	}
	public("0a11ce00000000001", "kip-cell-al2023", AmazonAccount, "amazon", X86, noon(2026, 5, 4), 8)
	public("0a11ce00000000002", "kip-cell-al2023", AmazonAccount, "amazon", X86, noon(2026, 10, 12), 8)
	public("0a11ce00000000003", "kip-cell-al2023", AmazonAccount, "amazon", ARM, noon(2026, 10, 12), 8)
	public("0deb1a00000000001", "debian-13", DebianAccount, "", X86, noon(2026, 4, 6), 8)
	public("0deb1a00000000002", "debian-13", DebianAccount, "", X86, noon(2026, 8, 18), 8)
	public("0deb1a00000000003", "debian-13", DebianAccount, "", ARM, noon(2026, 8, 18), 8)
	public("000b0410000000001", "ubuntu/images/hvm-ssd/ubuntu-noble-24.04", UbuntuAccount, "", X86, noon(2026, 10, 1), 8)
	public("000b0410000000002", "ubuntu/images/hvm-ssd/ubuntu-noble-24.04", UbuntuAccount, "", ARM, noon(2026, 10, 1), 8)
	out = append(out, special()...)
	slices.SortFunc(out, func(a, b Image) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// special are images that not every type can boot, or that only some types
// need: with drivers for GPUs and for Neuron devices, for UEFI alone, and one
// of the kind from before HVM and ENA.
func special() []Image {
	var out []Image
	own := func(id, kind, arch, bootMode, driver string, gib int) {
		name := "kip-cell-" + kind + "-debian-13-" + debianArch(arch) + "-20260803"
		out = append(out, Image{
			ID: "ami-" + id, Name: name, Description: "Debian with the cell's boot chain: " + kind, Owner: Account, Architecture: arch, State: "available",
			CreationDate: noon(2026, 8, 3), RootDevice: "/dev/xvda", SnapshotGiB: gib, SnapshotID: "snap-" + id,
			Tags: map[string]string{"Name": name, "elotl.co/image": "kip-cell-" + kind}, ENA: true, Virtualization: "hvm", BootMode: bootMode, Driver: driver,
		})
	}
	own("0c0ffee0000000011", "gpu", X86, "uefi-preferred", "nvidia", 12)
	own("0c0ffee0000000012", "gpu", ARM, "uefi", "nvidia", 12)
	own("0c0ffee0000000013", "neuron", X86, "uefi-preferred", "neuron", 10)
	own("0c0ffee0000000014", "uefi", X86, "uefi", "", 4)
	return append(out, Image{
		ID: "ami-0a11ce00000000009", Name: "amzn-ami-pv-2018.03.0.20260803-x86_64-ebs", Description: "Amazon Linux AMI, paravirtual",
		Owner: AmazonAccount, OwnerAlias: "amazon", Public: true, Architecture: X86, State: "available", CreationDate: noon(2026, 8, 3),
		RootDevice: "/dev/sda1", SnapshotGiB: 8, SnapshotID: "snap-0a11ce00000000009", Virtualization: "paravirtual",
	})
}

func debianArch(arch string) string {
	if arch == X86 {
		return "amd64"
	}
	return arch
}

func noon(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
}
