package itzo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

// secretText is what no error may repeat.
const secretText = "hunter2"

// endless writes for as long as somebody reads, and says how much was taken.
func endless(w io.Writer, piece string, taken *int) {
	for {
		n, err := io.WriteString(w, piece)
		*taken += n
		if err != nil {
			return
		}
	}
}

// questions are all that an agent answers with something to be decoded.
func questions() map[string]func(context.Context, *itzo.Client) error {
	return map[string]func(context.Context, *itzo.Client) error{
		"info":      func(ctx context.Context, c *itzo.Client) error { _, err := c.Info(ctx); return err },
		"status":    func(ctx context.Context, c *itzo.Client) error { _, err := c.Status(ctx); return err },
		"long poll": func(ctx context.Context, c *itzo.Client) error { _, err := c.WaitStatus(ctx, "", 0, 0); return err },
		"version":   func(ctx context.Context, c *itzo.Client) error { _, err := c.Generation(ctx); return err },
		"ping":      func(ctx context.Context, c *itzo.Client) error { return c.Ping(ctx) },
		"command": func(ctx context.Context, c *itzo.Client) error {
			_, err := c.Exec(ctx, itzo.ExecRequest{UnitName: "main"})
			return err
		},
		"credentials": func(ctx context.Context, c *itzo.Client) error {
			return c.SetCredentials(ctx, itzo.CredentialsRequest{})
		},
	}
}

// Whatever an agent sends, the answer is an error that does not repeat it, and
// comes in time and without much being read.
func TestHostileAnswers(t *testing.T) {
	const mostRead = 16 << 20 // buffers of the connection included
	text := func(s string) func(http.ResponseWriter, *int) {
		return func(w http.ResponseWriter, _ *int) { _, _ = io.WriteString(w, s) }
	}
	answers := map[string]func(http.ResponseWriter, *int){
		"garbage":       text("{" + secretText),
		"other types":   text(`{"runtime":"` + secretText + `","podIP":7,"unitStatus":"` + secretText + `","epoch":{"` + secretText + `":1}}`),
		"a bad time":    text(`{"bootID":7,"status":{"startTime":"` + secretText + `"},"unitStatus":[{"state":{"running":{"startedAt":"` + secretText + `"}}}]}`),
		"a huge number": text(`{"revision":1e999,"memoryBytes":1e999,"unitStatus":[{"restartCount":99999999999}]}`),
		"deep nesting":  text(strings.Repeat("[", 100000)),
		"nothing":       text(""),
		"huge body":     func(w http.ResponseWriter, n *int) { endless(w, strings.Repeat(secretText, 1000), n) },
		"huge JSON":     func(w http.ResponseWriter, n *int) { endless(w, `{"podIP":"`+strings.Repeat("x", 10000), n) },
		"huge headers": func(w http.ResponseWriter, _ *int) {
			for i := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat(secretText, 1000))
			}
		},
		"a redirect": func(w http.ResponseWriter, _ *int) {
			w.Header().Set("Location", "https://"+secretText+".example/")
			w.WriteHeader(http.StatusFound)
		},
	}
	for name, write := range answers {
		for question, ask := range questions() {
			if question == "credentials" && name != "huge headers" && name != "a redirect" {
				continue // any 200 is right there
			}
			t.Run(name+"/"+question, func(t *testing.T) {
				taken := 0
				done := make(chan struct{})
				client := connect(t, func(w http.ResponseWriter, _ *http.Request) { defer close(done); write(w, &taken) })
				err := ask(t.Context(), client)
				if err == nil || strings.Contains(err.Error(), secretText) || len(err.Error()) > 1000 {
					t.Errorf("error is %.2000v", err)
				}
				client.Close()
				<-done
				if taken > mostRead {
					t.Errorf("%d bytes were read", taken)
				}
			})
		}
	}
}

// What comes too slowly is given up, before the body, in it, and in headers.
func TestSlowAnswers(t *testing.T) {
	authority := itzotest.NewAuthority(t)
	for name, write := range map[string]func(http.ResponseWriter){
		"no answer": func(http.ResponseWriter) {},
		"slow body": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
		},
		"early hints": func(w http.ResponseWriter) {
			for range 3 {
				w.WriteHeader(http.StatusEarlyHints)
			}
		},
	} {
		for question, ask := range questions() {
			if question == "command" && name == "early hints" {
				continue // no websocket begins so
			}
			t.Run(name+"/"+question, func(t *testing.T) {
				address := agentServer(t, authority, authority.Server(cellName), func(w http.ResponseWriter, r *http.Request) {
					write(w)
					<-r.Context().Done()
				})
				const soon = 100 * time.Millisecond
				client := newClient(t, itzo.Config{
					Address: address, ServerName: cellName, RootCAs: authority.Pool(), Certificate: authority.Client().TLS(t), RequestTimeout: soon, PingTimeout: soon,
				})
				ctx := t.Context()
				if question == "command" { // as long as its caller wants
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, soon)
					defer cancel()
				}
				// That of the long poll has a second more.
				if err := ask(ctx, client); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error is %v", err)
				}
			})
		}
	}
}

func TestGeneration(t *testing.T) {
	for _, generation := range []itzo.Generation{itzo.Generation11, itzo.Generation12} {
		old := itzotest.NewOldAgent(generation, "10.0.0.1")
		client := connect(t, old.Handler().ServeHTTP)
		if _, err := client.Info(t.Context()); !itzo.IsCode(err, http.StatusNotFound) {
			t.Errorf("info: %v", err)
		}
		got, err := client.Generation(t.Context())
		if err != nil || got != generation || got.Info().Generation() != generation {
			t.Errorf("%s is taken for %q, %v", generation, got, err)
		}
		if faults := old.Faults(); len(faults) > 0 {
			t.Errorf("to be asked changed something: %v", faults)
		}
	}
	for _, version := range []string{"2.0", "", "<html>"} {
		if got, err := connect(t, answer(version)).Generation(t.Context()); !errors.Is(err, itzo.ErrUnknownAgent) {
			t.Errorf("version %q: %q, %v", version, got, err)
		}
	}
	if g := (itzo.Info{Agent: itzo.AgentName, Version: "1.1"}).Generation(); g != "" {
		t.Errorf("Kip's own agent of version 1.1 is taken for one of generation %s", g)
	}
}

func TestExec(t *testing.T) {
	old := itzotest.NewOldAgent(itzo.Generation12, "10.0.0.1")
	client := connect(t, old.Handler().ServeHTTP)
	pod := &itzo.PodParameters{PodName: "default_web", Spec: itzo.PodSpec{Units: []itzo.Unit{{Name: "main", Image: "busybox"}}}}
	if err := client.UpdatePod(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		unit, command string
		code          int
		output        string
	}{{"main", "kill -TERM 7", 0, "told\n"}, {"main", "id", 1, ""}, {"other", "id", -1, ""}} {
		result, err := client.Exec(t.Context(), itzo.ExecRequest{PodName: "default_web", UnitName: test.unit, Command: []string{"/bin/sh", "-c", test.command}})
		if err != nil || result.ExitCode != test.code || string(result.Output) != test.output {
			t.Errorf("%s in %s: %d, %q, %v", test.command, test.unit, result.ExitCode, result.Output, err)
		}
	}
	if _, err := client.Exec(t.Context(), itzo.ExecRequest{UnitName: "../x"}); err == nil {
		t.Error("a name that is none was sent")
	}
}
