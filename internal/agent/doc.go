// Package agent is the cell agent: it runs one pod, once, and serves the Itzo
// protocol with Kip's extensions to the operator.
//
// The way of a request: server.go routes it, requests.go checks it and changes
// the machine's wishes, loop.go wakes up, looks at the runtime, asks machine.go
// what is to be done, and carries that out by actions.go; the resulting status
// goes out through hub.go. machine.go and what it uses know neither goroutines
// nor the real clock: order.go has whose turn it is (init containers, sidecars),
// hook.go and probe.go when hooks and probes are due and what follows from them,
// kill.go and halt.go how containers end, conditions.go what the pod shows then.
// handling.go does what hooks and probes say.
//
// Two ports lead out: Runtime to the container runtime (internal/agent/cri) and
// Host to the cell's file system (internal/agent/host). internal/agent/fake has
// both without containers and files, for hollow cells.
package agent
