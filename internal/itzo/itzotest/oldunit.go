package itzotest

import (
	"archive/tar"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/internal/itzo"
)

// oldUnit is one unit with its helper, the process that runs it again and again.
type oldUnit struct {
	unit     itzo.Unit
	policy   itzo.RestartPolicy
	helper   bool
	state    itzo.UnitState
	last     itzo.UnitState
	restarts int32
	logs     []string
	terms    int
	deaf     bool // to SIGTERM
	// shellless: its image has no shell. gone: the agent ends.
	shellless, gone bool
}

func (u *oldUnit) run() {
	u.helper = true
	u.state = itzo.UnitState{Running: &itzo.UnitStateRunning{StartedAt: metav1.NewTime(time.Now().Truncate(time.Second))}}
}

// status of 1.2 is a constant as long as the helper lives.
func (u *oldUnit) status(generation itzo.Generation) itzo.UnitStatus {
	status := itzo.UnitStatus{Name: u.unit.Name, Image: u.unit.Image}
	if generation == itzo.Generation12 && u.helper {
		status.State.Running, status.Ready = &itzo.UnitStateRunning{}, true
		return status
	}
	status.State, status.LastState, status.RestartCount = u.state, u.last, u.restarts
	if u.state == (itzo.UnitState{}) {
		status.State.Waiting = &itzo.UnitStateWaiting{Reason: itzo.ReasonPodInitializing}
	}
	started := u.state.Running != nil
	status.Ready, status.Started = started, &started
	return status
}

// end is how a process ends: with an exit code, which the helper may lose.
func (u *oldUnit) end(code int32, lost bool) {
	if u.state.Running == nil {
		return
	}
	ended := &itzo.UnitStateTerminated{
		ExitCode: code, Reason: itzo.ReasonError, StartedAt: u.state.Running.StartedAt, FinishedAt: metav1.NewTime(time.Now().Truncate(time.Second)),
	}
	switch {
	case lost:
		ended.ExitCode = 0
	case code == 0:
		ended.Reason = itzo.ReasonCompleted
	}
	done := u.policy == itzo.RestartNever || u.policy == itzo.RestartOnFailure && ended.Reason == itzo.ReasonCompleted
	if done {
		u.state, u.helper = itzo.UnitState{Terminated: ended}, false
		return
	}
	u.last = itzo.UnitState{Terminated: ended}
	u.restarts++
	u.run()
}

// Exit has a unit's process end with that exit code; below 0 a signal ends it.
func (a *OldAgent) Exit(unit string, code int32) { a.exit(unit, max(code, -1), false) }

// ExitLost has a unit's process end and its helper lose the exit code.
func (a *OldAgent) ExitLost(unit string) { a.exit(unit, 0, true) }

func (a *OldAgent) exit(unit string, code int32, lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.units[unit]; u != nil {
		u.end(code, lost)
		a.cond.Broadcast()
	}
}

// Log has a unit write a line.
func (a *OldAgent) Log(unit, line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.units[unit]; u != nil {
		u.logs = append(u.logs, line)
	}
}

// Deafen has a unit's process ignore SIGTERM; without shell there is none in its
// image.
func (a *OldAgent) Deafen(unit string, withoutShell bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.units[unit]; u != nil {
		u.deaf, u.shellless = true, withoutShell
	}
}

// Terms is how often a unit was sent SIGTERM, and Restarts how often its process
// was started again.
func (a *OldAgent) Terms(unit string) (terms int, restarts int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.units[unit]; u != nil {
		return u.terms, u.restarts
	}
	return 0, 0
}

// exec runs the one command that the tests know, which sends SIGTERM.
func (a *OldAgent) exec(stream *websocket.Conn) {
	var request itzo.ExecRequest
	if err := websocket.JSON.Receive(stream, &request); err != nil {
		return
	}
	output, code := a.term(request)
	if output != "" {
		send(stream, '1', output)
	}
	send(stream, '3', strconv.Itoa(code))
}

func send(stream *websocket.Conn, channel byte, payload string) {
	_ = websocket.Message.Send(stream, string(channel)+base64.StdEncoding.EncodeToString([]byte(payload)))
}

// term sends SIGTERM and waits for the process's end, with which, when it is not
// started again, the helper ends, and the command with it.
func (a *OldAgent) term(request itzo.ExecRequest) (output string, code int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.units[request.UnitName]
	switch {
	case u == nil || u.state.Running == nil:
		return "", -1
	case u.shellless:
		return "", 127
	case len(request.Command) != 3 || !strings.Contains(request.Command[2], "kill -TERM"):
		return "", 1
	}
	u.terms++
	if !u.deaf {
		u.end(-1, false)
	}
	for run := u.state.Running; u.deaf && u.state.Running == run && !u.gone; {
		a.cond.Wait()
	}
	if !u.helper {
		code = -1
	}
	return "told\n", code
}

func (a *OldAgent) logs(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/rest/v1/logs/")
	a.mu.Lock()
	defer a.mu.Unlock()
	if name == "" && a.generation == itzo.Generation11 && len(a.parameters.Spec.Units) > 0 {
		name = a.parameters.Spec.Units[0].Name
	}
	u := a.units[name]
	if u == nil {
		refuse(w, http.StatusBadRequest, "Could not find logs for unit named "+name)
		return
	}
	var out strings.Builder
	for _, line := range u.logs {
		if r.URL.Query().Get("metadata") == "1" {
			out.WriteString(time.Now().UTC().Format(time.RFC3339Nano) + " stdout F ")
		}
		out.WriteString(line + "\n")
	}
	say(w, out.String())
}

func (a *OldAgent) deploy(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if len(parts) != 5 {
		refuse(w, http.StatusInternalServerError, "invalid deploy path "+r.URL.Path)
		return
	}
	file, _, err := r.FormFile("package")
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	defer file.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.packages[parts[4]]
	if p == nil {
		p = &OldPackage{Files: map[string]string{}, Modes: map[string]int64{}}
		a.packages[parts[4]] = p
	}
	if err := p.unpack(file); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
	}
}

// unpack puts files over those that are there. What does not begin with ROOTFS/
// is skipped.
func (p *OldPackage) unpack(packed io.Reader) error {
	unzipped, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, inside := strings.CutPrefix(header.Name, "ROOTFS/")
		switch {
		case !inside:
		case name == "":
			p.UID, p.GID = header.Uid, header.Gid
		case header.Typeflag == tar.TypeReg:
			data, err := io.ReadAll(archive)
			if err != nil {
				return fmt.Errorf("unpacking %s: %w", name, err)
			}
			p.Files[name], p.Modes[name] = string(data), header.Mode&^0o022
		}
	}
}
