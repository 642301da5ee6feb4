package agent

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kip.elotl.co/internal/itzo"
)

// What a request may have at most.
const (
	maxUpdateBody = 16 << 20
	maxDeployBody = 64 << 20
	maxStopBody   = 64 << 10
	maxGrace      = 365 * 24 * time.Hour
)

func (a *Agent) ping(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, "pong")
}

func (a *Agent) version(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, "1.0")
}

func (a *Agent) kipInfo(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, a.Info())
}

// Info is what the agent tells of itself.
func (a *Agent) Info() itzo.Info {
	resources := a.config.Host.Resources()
	info := itzo.Info{
		Agent:    itzo.AgentName,
		Version:  a.config.Version,
		Protocol: itzo.ExtensionProtocol,
		Features: []itzo.Feature{itzo.FeaturePod, itzo.FeatureWait, itzo.FeatureStop, itzo.FeatureEvents, itzo.FeatureStats,
			itzo.FeatureExec, itzo.FeatureAttach, itzo.FeaturePortForward, itzo.FeatureFollow},
		MemoryBytes:  resources.MemoryBytes,
		CPUs:         resources.CPUs,
		StorageBytes: resources.StorageBytes,
		BootID:       resources.BootID,
		AppArmor:     resources.AppArmor,
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	info.Runtime = a.info
	if _, ok := a.credentials.(Renewable); ok {
		info.Features = append(info.Features, itzo.FeatureCredentials)
	}
	if a.machine != nil {
		info.PodUID = a.machine.rec.Pod.UID
	}
	return info
}

func (a *Agent) kipStatus(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	after, err := parseInt(query.Get("after"))
	if err != nil {
		return badRequest("after is not a number")
	}
	seconds, err := parseInt(query.Get("wait"))
	if err != nil || seconds < 0 || seconds > int64(itzo.MaxWait/time.Second) {
		return badRequest("wait is not a number of seconds up to %d", int64(itzo.MaxWait/time.Second))
	}
	number, err := parseInt(query.Get("events"))
	if err != nil || number < 0 {
		return badRequest("events is not the number of an event")
	}
	asked := query.Has("events")
	if asked {
		a.acknowledge(number)
	}
	reply := a.hub.wait(r.Context(), query.Get("epoch"), after, time.Duration(seconds)*time.Second)
	reply.Events = itzo.EventsAfter(reply.Events, number)
	if !asked {
		reply.Events = nil
	}
	return writeJSON(w, reply)
}

// parseInt takes nothing at all for 0.
func parseInt(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseInt(text, 10, 64)
}

func (a *Agent) kipStop(w http.ResponseWriter, r *http.Request) error {
	var request itzo.StopRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxStopBody)).Decode(&request); err != nil {
		return badRequest("decoding stop request: %v", err)
	}
	if request.GracePeriodSeconds < 0 || request.GracePeriodSeconds > int64(maxGrace/time.Second) {
		return badRequest("gracePeriodSeconds: %d is out of range", request.GracePeriodSeconds)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.checkUID(request.PodUID); err != nil {
		return err
	}
	a.machine.stop(time.Now().Add(time.Duration(request.GracePeriodSeconds) * time.Second))
	if err := a.save(); err != nil {
		return err
	}
	a.poke()
	return nil
}

func (a *Agent) deploy(w http.ResponseWriter, r *http.Request) error {
	pod, pkg := r.PathValue("pod"), r.PathValue("package")
	if itzo.CheckPodName(pod) != nil || itzo.CheckName(pkg) != nil {
		return badRequest("invalid deploy path %s", r.URL.Path)
	}
	if err := a.checkPodName(pod); err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxDeployBody)
	form, err := r.MultipartReader()
	if err != nil {
		return badRequest("reading package: %v", err)
	}
	part, err := packagePart(form)
	if err != nil {
		return err
	}
	err = a.config.Host.Deploy(pkg, part)
	if errors.Is(err, ErrBadPackage) {
		return badRequest("%v", err)
	}
	return err
}

// packagePart finds the form's file.
func packagePart(form *multipart.Reader) (io.Reader, error) {
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, badRequest("http: no such file")
		}
		if err != nil {
			return nil, badRequest("reading package: %v", err)
		}
		if part.FormName() == "package" {
			return part, nil
		}
	}
}

func (a *Agent) logs(w http.ResponseWriter, r *http.Request) error {
	unit := r.PathValue("unit")
	query := r.URL.Query()
	id, ok := a.lastRun(unit)
	if !ok {
		return badRequest("Could not find logs for unit named %s", unit)
	}
	if query.Get("follow") != "" {
		return badRequest("follow is not supported by this agent")
	}
	return a.writeLogOf(w, r, id, query.Get("metadata") == "1")
}

// kipRunLogs answers the log of one run of a container, which the query's
// containerID names, with metadata.
func (a *Agent) kipRunLogs(w http.ResponseWriter, r *http.Request) error {
	unit, uri := r.PathValue("unit"), r.URL.Query().Get("containerID")
	id, ok := a.runOf(unit, uri)
	if !ok {
		return badRequest("the run %q of container %s is not kept any more", uri, unit)
	}
	return a.writeLogOf(w, r, id, true)
}

func (a *Agent) writeLogOf(w http.ResponseWriter, r *http.Request, id ContainerID, metadata bool) error {
	log, err := a.config.Runtime.Log(r.Context(), id)
	if errors.Is(err, fs.ErrNotExist) {
		return badRequest("Could not find logs for unit named %s", id.Container)
	}
	if err != nil {
		return err
	}
	defer log.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	query := r.URL.Query()
	return writeLog(w, log, logQuery{lines: number(query.Get("lines")), bytes: number(query.Get("bytes")), metadata: metadata})
}

// number reads a query's value; what is no number counts as absent.
func number(text string) int64 {
	value, err := parseInt(text)
	if err != nil {
		return 0
	}
	return value
}

func (a *Agent) file(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	path := query.Get("path")
	if path == "" {
		return badRequest("Missing path parameter")
	}
	if !strings.HasPrefix(path, "/") {
		return badRequest("Error reading file %s: path is not absolute", path)
	}
	content, err := a.fileTail(path, number(query.Get("lines")), number(query.Get("bytes")))
	if err != nil {
		return badRequest("Error reading file %v", err)
	}
	return writeText(w, string(content))
}

func writeText(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	// Who asked has gone when this fails.
	_, _ = io.WriteString(w, text)
	return nil
}

func writeJSON(w http.ResponseWriter, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	// Who asked has gone when this fails.
	_, _ = w.Write(data)
	return nil
}
