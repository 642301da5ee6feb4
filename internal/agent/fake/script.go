package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
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
	// StopSeconds is how long the container takes to end after SIGTERM.
	StopSeconds float64 `json:"stopSeconds"`
	// StopCode is the exit code after SIGTERM; nil: that of a process which the
	// signal has killed.
	StopCode *int32 `json:"stopCode"`
	// Exec says how commands in the container end, by the command's words with
	// spaces between: the exit codes of one call after the other, the last of which
	// is repeated. A command that is not in it succeeds; a negative code stands for
	// one that does not end.
	Exec map[string][]int32 `json:"exec"`
	// CPUs and MemoryBytes are what it uses, from its start on.
	CPUs        float64 `json:"cpus"`
	MemoryBytes uint64  `json:"memoryBytes"`
	// StartError makes the start fail with this message.
	StartError string `json:"startError"`
}

func (r Run) duration() time.Duration { return seconds(r.RunSeconds) }

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// script is what ScriptAnnotation holds.
type script map[string][]Run

// CheckScript refuses a pod whose script cannot be followed, for agent.Config.
func CheckScript(pod *corev1.Pod) field.ErrorList {
	path := field.NewPath("metadata", "annotations").Key(ScriptAnnotation)
	s, err := decodeScript(pod)
	if err != nil {
		return field.ErrorList{field.Invalid(path, pod.Annotations[ScriptAnnotation], err.Error())}
	}
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if !slices.ContainsFunc(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers),
			func(c corev1.Container) bool { return c.Name == name }) {
			errs = append(errs, field.Invalid(path, name, "the pod has no container of that name"))
		}
		for i, run := range s[name] {
			if run.CPUs < 0 || run.CPUs > maxCPUs {
				errs = append(errs, field.Invalid(path, run.CPUs, fmt.Sprintf("cpus of %s's run %d must be from 0 to %d", name, i, maxCPUs)))
			}
			for key, seconds := range map[string]float64{"runSeconds": run.RunSeconds, "stopSeconds": run.StopSeconds} {
				if seconds < 0 || seconds > maxRunSeconds {
					errs = append(errs, field.Invalid(path, seconds, fmt.Sprintf("%s of %s's run %d must be from 0 to %g", key, name, i, maxRunSeconds)))
				}
			}
		}
	}
	return errs
}

// maxRunSeconds is a year.
const maxRunSeconds = float64(365 * 24 * 60 * 60)

// maxCPUs is more than any cell has.
const maxCPUs = 1000

// exampleScript shows what a script looks like.
const exampleScript = `{"main": [{"runSeconds": 1.5, "exitCode": 3, "log": "text\n"}]}`

func parseScript(pod *corev1.Pod) (script, error) {
	s, err := decodeScript(pod)
	if err != nil {
		return nil, fmt.Errorf("annotation %s: %w", ScriptAnnotation, err)
	}
	return s, nil
}

func decodeScript(pod *corev1.Pod) (script, error) {
	text, ok := pod.Annotations[ScriptAnnotation]
	if !ok {
		return nil, nil
	}
	var s script
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&s)
	if err == nil && decoder.More() {
		err = errors.New("there is more after the object")
	}
	if err != nil {
		return nil, fmt.Errorf("must be a JSON object, container name to list of runs, such as %s: %w", exampleScript, err)
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
