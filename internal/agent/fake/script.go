package fake

import (
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ScriptAnnotation of a pod says how its containers run on a hollow cell: a
// JSON object, container name to list of runs, of which the last is repeated.
//
//	{"main": [{"runSeconds": 1.5, "exitCode": 3, "log": "text\n"}, {"runSeconds": 1}]}
//
// A container that is not in it runs until it is stopped.
const ScriptAnnotation = "hollow.kip.elotl.co/script"

// Run is one run of a container.
type Run struct {
	// RunSeconds until the container ends by itself.
	RunSeconds float64 `json:"runSeconds"`
	ExitCode   int32   `json:"exitCode"`
	// Log is what the container writes to its standard output as it starts.
	Log string `json:"log"`
	// Message is what it leaves as termination message.
	Message string `json:"message"`
	// Reason, e.g. OOMKilled; empty: as the exit code has it.
	Reason string `json:"reason"`
	// Forever makes the container run until it is stopped.
	Forever bool `json:"forever"`
	// StartError makes the start fail with this message.
	StartError string `json:"startError"`
}

func (r Run) duration() time.Duration {
	return time.Duration(r.RunSeconds * float64(time.Second))
}

// script is what ScriptAnnotation holds.
type script map[string][]Run

func parseScript(pod *corev1.Pod) (script, error) {
	text, ok := pod.Annotations[ScriptAnnotation]
	if !ok {
		return nil, nil
	}
	var s script
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("annotation %s: %w", ScriptAnnotation, err)
	}
	return s, nil
}

// run is what a container does at its n-th run, counted from 0.
func (s script) run(pod *corev1.Pod, container string, attempt uint32) Run {
	runs := s[container]
	if len(runs) == 0 {
		return Run{Forever: true, Log: fmt.Sprintf("hollow container %s of pod %s/%s\n", container, pod.Namespace, pod.Name)}
	}
	return runs[min(int(attempt), len(runs)-1)]
}
