package itzotest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"kip.elotl.co/internal/itzo"
)

// OldAgent is an agent of the first Kip as itzo-protocol.md describes those of
// the field, with the defects that a controller meets. Its units' processes run
// until they are told to end.
type OldAgent struct {
	generation itzo.Generation
	// CellIP is the cell's primary address.
	CellIP string

	mu         sync.Mutex
	cond       *sync.Cond
	noIMDS     bool
	held       bool              // images are being pulled
	broken     map[string]string // why a unit cannot be started
	podIP      string
	updated    bool // a pod was taken
	published  bool // and its units were made
	updates    int
	parameters itzo.PodParameters
	packages   map[string]*OldPackage
	units      map[string]*oldUnit
	faults     []string
	measured   time.Time
}

// OldPackage is what was deployed under one name.
type OldPackage struct {
	UID, GID int
	Files    map[string]string
	Modes    map[string]int64
}

// NewOldAgent makes one of that generation; Serve or Handler lets it answer.
func NewOldAgent(generation itzo.Generation, cellIP string) *OldAgent {
	a := &OldAgent{generation: generation, CellIP: cellIP, broken: map[string]string{}}
	a.cond = sync.NewCond(&a.mu)
	a.Restart()
	return a
}

// Serve is the function of that name, with this agent.
func (a *OldAgent) Serve(t testing.TB, listener net.Listener, pair tls.Certificate, config *tls.Config) {
	t.Cleanup(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, u := range a.units {
			u.gone = true
		}
		a.cond.Broadcast()
	})
	Serve(t, listener, a.Handler(), pair, config)
}

// Serve has a handler answer on the listener, as an agent does, until the test
// ends. The config says which clients are let in.
func Serve(t testing.TB, listener net.Listener, handler http.Handler, pair tls.Certificate, config *tls.Config) {
	config.Certificates, config.ClientAuth = []tls.Certificate{pair}, tls.RequireAndVerifyClientCert
	server := &http.Server{Handler: handler, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(listener, "", "")
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// Restart loses all that is in memory: the pod runs on, unknown.
func (a *OldAgent) Restart() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.podIP, a.published, a.updated = "", false, false
	a.packages, a.units = map[string]*OldPackage{}, map[string]*oldUnit{}
	a.cond.Broadcast()
}

// WithoutMetadata has the cloud's metadata service not answer, or again.
func (a *OldAgent) WithoutMetadata(without bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noIMDS = without
}

// Hold keeps images from being pulled until Release.
func (a *OldAgent) Hold() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = true
}

// Release ends Hold.
func (a *OldAgent) Release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = false
	a.create()
}

// Break has a unit fail to start, with the agent's own words, as soon as it is to.
func (a *OldAgent) Break(unit, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken[unit] = why
}

// Updates says how often a pod was sent, and what was sent last.
func (a *OldAgent) Updates() (int, itzo.PodParameters) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.updates, a.parameters
}

// Package is what was deployed under that name; nil: nothing.
func (a *OldAgent) Package(name string) *OldPackage {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.packages[name]
	if p == nil {
		return nil
	}
	return &OldPackage{UID: p.UID, GID: p.GID, Files: maps.Clone(p.Files), Modes: maps.Clone(p.Modes)}
}

// Faults are what the agent was asked for that it does wrongly, in its own
// silence.
func (a *OldAgent) Faults() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.faults)
}

// Handler answers as the agent does. Only the mutual TLS is the server's.
func (a *OldAgent) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(method, path string, answer func(http.ResponseWriter, *http.Request)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method {
				http.NotFound(w, r)
				return
			}
			answer(w, r)
		})
	}
	const v1 = "/rest/v1/"
	handle(http.MethodGet, v1+"ping", func(w http.ResponseWriter, _ *http.Request) { say(w, "pong") })
	handle(http.MethodGet, v1+"version", func(w http.ResponseWriter, _ *http.Request) { say(w, "1.0") })
	handle(http.MethodGet, v1+"status", a.status)
	handle(http.MethodPost, v1+"updatepod", a.updatePod)
	handle(http.MethodPost, v1+"deploy/", a.deploy)
	handle(http.MethodGet, v1+"logs/", a.logs)
	mux.Handle(v1+"exec/", websocket.Server{Handshake: sameOrigin, Handler: a.exec})
	if a.generation == itzo.Generation11 {
		handle(http.MethodPost, v1+"runcmd/", a.runCommand)
	}
	return mux
}

func sameOrigin(config *websocket.Config, r *http.Request) error {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "https://"+r.Host {
		return fmt.Errorf("origin %s is not %s", origin, r.Host)
	}
	return nil
}

func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text)
}

func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	name := "Bad Request"
	if code == http.StatusInternalServerError {
		name = "Server Error"
	}
	fmt.Fprintf(w, "%d %s: %s\n", code, name, text)
}

func (a *OldAgent) runCommand(w http.ResponseWriter, r *http.Request) {
	var request struct{ Command []string }
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || len(request.Command) == 0 {
		refuse(w, http.StatusBadRequest, "No command specified")
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = append(a.faults, "a command was run on the cell itself")
}

// status is sent as text, also on success. What 1.1 keeps in a map comes in any
// order; 1.2 tells nothing before all units are made, and then next to nothing.
func (a *OldAgent) status(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	reply := itzo.PodStatusReply{PodIP: a.podIP}
	if a.generation == itzo.Generation11 {
		reply.UnitStatus, reply.InitUnitStatus = []itzo.UnitStatus{}, []itzo.UnitStatus{}
	}
	if a.published || a.generation == itzo.Generation11 {
		for _, unit := range a.parameters.Spec.Units {
			if u := a.units[unit.Name]; u != nil {
				reply.UnitStatus = append(reply.UnitStatus, u.status(a.generation))
			}
		}
	}
	if a.generation == itzo.Generation11 {
		rand.Shuffle(len(reply.UnitStatus), func(i, k int) {
			reply.UnitStatus[i], reply.UnitStatus[k] = reply.UnitStatus[k], reply.UnitStatus[i]
		})
	}
	if now := time.Now(); now.Sub(a.measured) >= 14*time.Second {
		a.measured, reply.ResourceUsage = now, map[string]float64{"cpu": 3.5, "memory": 12}
	}
	data, err := json.Marshal(reply)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	say(w, string(data))
}

func (a *OldAgent) updatePod(w http.ResponseWriter, r *http.Request) {
	var parameters itzo.PodParameters
	if err := json.NewDecoder(r.Body).Decode(&parameters); err != nil {
		refuse(w, http.StatusBadRequest, "Error decoding pod update request: "+err.Error())
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.noIMDS {
		refuse(w, http.StatusInternalServerError, "creating metadata client: unable to identify cloud platform")
		return
	}
	if a.updates > 0 && a.podIP == "" {
		refuse(w, http.StatusInternalServerError, "setting up pod network: file exists")
		return
	}
	a.updates++
	if a.podIP == "" {
		if a.podIP = parameters.PodIP; a.podIP == "" {
			a.podIP = a.CellIP
		}
	}
	if a.updated {
		a.faults = append(a.faults, "a pod was sent again")
	}
	a.updated, a.parameters = true, parameters
	a.inspect()
	for _, unit := range parameters.Spec.Units {
		a.units[unit.Name] = &oldUnit{unit: unit, policy: parameters.Spec.RestartPolicy}
	}
	a.create()
}

// inspect notes what these agents take and do not do.
func (a *OldAgent) inspect() {
	spec := &a.parameters.Spec
	if len(spec.InitUnits) > 0 && a.generation == itzo.Generation12 {
		a.faults = append(a.faults, "an init unit was run as root on the cell")
	}
	if a.parameters.NodeName != "" {
		a.faults = append(a.faults, "a network agent was downloaded")
	}
	for _, unit := range spec.Units {
		for _, probe := range []*itzo.Probe{unit.StartupProbe, unit.LivenessProbe, unit.ReadinessProbe} {
			if probe != nil && probe.PeriodSeconds == 0 {
				a.faults = append(a.faults, "a probe with period 0 ended the helper of "+unit.Name)
			}
			if probe != nil && probe.HTTPGet != nil && probe.HTTPGet.Scheme == "" {
				a.faults = append(a.faults, "a probe of "+unit.Name+" has no scheme")
			}
		}
		for _, text := range slices.Concat(unit.Command, unit.Args) {
			for _, variable := range unit.Env {
				if strings.Contains(text, "$("+variable.Name+")") {
					a.faults = append(a.faults, "the reference to "+variable.Name+" was not expanded")
				}
			}
		}
	}
}

// create makes the units, unless their images are still being pulled.
func (a *OldAgent) create() {
	if a.held || !a.updated || a.published {
		return
	}
	if a.generation == itzo.Generation12 && a.lacksPackage() {
		return // for ever, and without a word
	}
	a.published = true
	for _, unit := range a.parameters.Spec.Units {
		u := a.units[unit.Name]
		if why := a.whyBroken(&unit); why != "" {
			u.state.Waiting = &itzo.UnitStateWaiting{Reason: why, StartFailure: true}
			if a.generation == itzo.Generation12 {
				break
			}
			continue
		}
		u.run()
	}
	if a.generation == itzo.Generation12 && len(a.broken) > 0 {
		for _, u := range a.units {
			u.helper = false // none is started when one cannot be made
		}
	}
}

// lacksPackage says whether a volume's content has not come.
func (a *OldAgent) lacksPackage() bool {
	return slices.ContainsFunc(a.parameters.Spec.Volumes, func(v itzo.Volume) bool {
		packaged := v.PackagePath != nil || v.ConfigMap != nil || v.Secret != nil || v.Projected != nil
		return packaged && a.packages[v.Name] == nil
	})
}

func (a *OldAgent) whyBroken(unit *itzo.Unit) string {
	if why := a.broken[unit.Name]; why != "" {
		return why
	}
	for _, mount := range unit.VolumeMounts {
		if !slices.ContainsFunc(a.parameters.Spec.Volumes, func(v itzo.Volume) bool { return v.Name == mount.Name }) {
			return "Error attaching mount " + mount.Name + " to unit " + unit.Name + ": no such volume"
		}
	}
	return ""
}
