package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kip.elotl.co/internal/podfields"
)

// ErrExecTimeout is wrapped by Runtime.Exec's error when the time was over.
var ErrExecTimeout = errors.New("command timed out")

// maxHandlerOutput is how much of what a probe or hook says is kept, in bytes;
// the kubelet keeps as much.
const maxHandlerOutput = 10 << 10

// handling is what a probe does, or a hook.
type handling struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	grpc  *corev1.GRPCAction
	sleep *corev1.SleepAction
	// expand says that the $(VAR) of a command are replaced, which the kubelet does
	// in probes only, and with literal values only.
	expand bool
	// hook says that it is one, whose HTTP request may be answered with anything.
	hook bool
	// agent names the kind of caller to HTTP servers.
	agent string
}

func probeHandler(p *corev1.ProbeHandler) handling {
	return handling{exec: p.Exec, http: p.HTTPGet, tcp: p.TCPSocket, grpc: p.GRPC, expand: true, agent: "kube-probe/kip"}
}

func hookHandler(h *corev1.LifecycleHandler) handling {
	return handling{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep, hook: true, agent: "kube-lifecycle/kip"}
}

// failure is a handler's answer that it failed, in contrast to one that could
// not be asked.
type failure struct{ text string }

func (f *failure) Error() string { return f.text }

// exitError is how the command of a hook failed, and what it wrote.
type exitError struct {
	command []string
	code    int32
	output  []byte
}

// Error has the words of the kubelet's runtime client, but with all that was written.
func (e *exitError) Error() string {
	return fmt.Sprintf("command '%s' exited with %d: %s", strings.Join(e.command, " "), e.code, e.output)
}

// warning is a handler's answer that is success, with something to say.
type warning struct{ text string }

func (w *warning) Error() string { return w.text }

// handle does what a handler says within a time; 0: as long as ctx has. A failed
// one is a failure.
func (a *Agent) handle(ctx context.Context, j job, h handling, timeout time.Duration) error {
	if timeout > 0 && h.exec == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	switch {
	case h.exec != nil:
		return a.handleExec(ctx, j, h, timeout)
	case h.http != nil && h.hook:
		return a.handleHTTPHook(ctx, j, h)
	case h.http != nil:
		return a.handleHTTP(ctx, j, h)
	case h.tcp != nil:
		return a.handleTCP(ctx, j, h.tcp)
	case h.grpc != nil:
		return a.handleGRPC(ctx, j, h)
	case h.sleep != nil:
		a.pause(ctx, time.Duration(h.sleep.Seconds)*time.Second)
		return ctx.Err()
	}
	return errors.New("it says nothing to do")
}

func (a *Agent) handleExec(ctx context.Context, j job, h handling, timeout time.Duration) error {
	command := h.exec.Command
	if h.expand {
		command = podfields.ExpandAll(command, literals(j.spec.Env))
	}
	output, exitCode, err := a.config.Runtime.Exec(ctx, j.id, command, timeout)
	switch {
	case errors.Is(err, ErrExecTimeout):
		return &failure{fmt.Sprintf("command timed out: %q timed out after %s", strings.Join(command, " "), timeout)}
	case err != nil:
		return err
	case exitCode != 0 && h.hook:
		return &exitError{command: command, code: exitCode, output: output[:min(len(output), maxHandlerOutput)]}
	case exitCode != 0:
		return &failure{strings.TrimSpace(string(output[:min(len(output), maxHandlerOutput)]))}
	}
	return nil
}

func literals(env []corev1.EnvVar) map[string]string {
	values := make(map[string]string, len(env))
	for _, variable := range env {
		values[variable.Name] = variable.Value
	}
	return values
}

func (a *Agent) handleTCP(ctx context.Context, j job, tcp *corev1.TCPSocketAction) error {
	address, err := j.address(tcp.Host, tcp.Port)
	if err != nil {
		return err
	}
	conn, err := a.config.Host.Dial(ctx, address)
	if err != nil {
		return &failure{err.Error()}
	}
	conn.Close()
	return nil
}

// address is where a handler's port is; the pod's own address unless it names a
// host. The errors are the kubelet's, but for a name that is no port's: of that it
// only says that it is no number.
func (j *job) address(host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = j.ip.String()
	}
	number := port.IntValue()
	if port.Type == intstr.String {
		named := slices.IndexFunc(j.spec.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal })
		switch _, err := strconv.Atoi(port.StrVal); {
		case named >= 0:
			number = int(j.spec.Ports[named].ContainerPort)
		case err != nil:
			return "", fmt.Errorf("port %s not found", port.StrVal)
		}
	}
	if number <= 0 || number > 65535 {
		return "", fmt.Errorf("invalid port number: %d", number)
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

// handleHTTP takes any status from 200 to 399 for success. A redirect to
// another host is one too: that is not the container's business.
func (a *Agent) handleHTTP(ctx context.Context, j job, h handling) error {
	request, err := j.newRequest(ctx, h)
	if err != nil {
		return err
	}
	response, err := a.httpClient().Do(request)
	if err != nil {
		return &failure{err.Error()}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHandlerOutput))
	if err != nil {
		return &failure{err.Error()}
	}
	if response.StatusCode >= http.StatusMultipleChoices && response.StatusCode < http.StatusBadRequest {
		return &warning{"Probe terminated redirects, Response body: " + string(body)}
	}
	if response.StatusCode < http.StatusOK || response.StatusCode >= http.StatusBadRequest {
		return &failure{fmt.Sprintf("HTTP probe failed with statuscode: %d", response.StatusCode)}
	}
	return nil
}

// httpClient connects as the cell, anew for each request.
func (a *Agent) httpClient() *http.Client {
	return &http.Client{CheckRedirect: stayOnHost, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return a.config.Host.Dial(ctx, address)
		},
		DisableKeepAlives: true,
		// As the kubelet's: the container's certificate is its own.
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		DisableCompression: true,
	}}
}

const maxRedirects = 10

func stayOnHost(next *http.Request, before []*http.Request) error {
	if next.URL.Hostname() != before[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(before) >= maxRedirects {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// newRequest asks the container what the handler says.
func (j job) newRequest(ctx context.Context, h handling) (*http.Request, error) {
	address, err := j.address(h.http.Host, h.http.Port)
	if err != nil {
		return nil, err
	}
	scheme := strings.ToLower(string(h.http.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	target, err := url.Parse(h.http.Path)
	if err != nil {
		// What cannot be read is sent as it is, as the kubelet does.
		target = &url.URL{Path: h.http.Path}
	}
	target.Scheme, target.Host = scheme, address
	if !strings.HasPrefix(target.Path, "/") {
		target.Path = "/" + target.Path
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	for _, header := range h.http.HTTPHeaders {
		if http.CanonicalHeaderKey(header.Name) == "Host" {
			request.Host = header.Value
		}
		request.Header.Add(header.Name, header.Value)
	}
	for name, value := range map[string]string{"User-Agent": h.agent, "Accept": "*/*"} {
		if _, set := request.Header[name]; !set {
			request.Header.Set(name, value)
		}
	}
	return request, nil
}
