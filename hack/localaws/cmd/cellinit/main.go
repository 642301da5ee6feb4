// Command cellinit is the first process of a local cell. The emulator starts
// it with "enter" in fresh namespaces; it makes the cell's root file system
// and starts itself again inside, without arguments.
package main

import (
	"fmt"
	"os"

	"kip.elotl.co/hack/localaws/boot/sandbox/enter"
	"kip.elotl.co/hack/localaws/firstboot"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "cellinit: must be the first process of a cell")
		os.Exit(2)
	}
	run := firstboot.Main
	if len(os.Args) > 1 && os.Args[1] == "enter" {
		run = enter.Main
	}
	if run() != nil {
		os.Exit(1)
	}
}
