package itzo_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/websocket"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/itzo/itzotest"
)

func sendOld(stream *websocket.Conn, channel, payload string) {
	_ = websocket.Message.Send(stream, channel+base64.StdEncoding.EncodeToString([]byte(payload)))
}

func receiveOld(stream *websocket.Conn) (channel, payload string) {
	var message string
	if websocket.Message.Receive(stream, &message) != nil || message == "" {
		return "", ""
	}
	data, _ := base64.StdEncoding.DecodeString(message[1:])
	return message[:1], string(data)
}

// oldStreams answers as itzo-protocol.md §15 says.
func oldStreams(t *testing.T) *itzo.Client {
	t.Helper()
	serve := func(talk func(*websocket.Conn, map[string]any)) http.Handler {
		return websocket.Server{Handler: func(stream *websocket.Conn) {
			var request map[string]any
			if websocket.JSON.Receive(stream, &request) == nil {
				talk(stream, request)
			}
		}}
	}
	mux := http.NewServeMux()
	mux.Handle("/rest/v1/exec/", serve(func(stream *websocket.Conn, request map[string]any) {
		words := fmt.Sprint(request["PodName"], request["UnitName"], request["Command"], request["Interactive"], request["TTY"])
		sendOld(stream, "2", words+"\n")
		channel, payload := "", ""
		for payload != "end" {
			if channel, payload = receiveOld(stream); channel == "" {
				return
			}
			sendOld(stream, "1", channel+payload+"\n")
		}
		sendOld(stream, "3", "3")
	}))
	mux.Handle("/rest/v1/attach/", serve(func(stream *websocket.Conn, _ map[string]any) {
		sendOld(stream, "1", "output\n")
		sendOld(stream, "2", "Unit main is not running")
	}))
	mux.Handle("/rest/v1/portforward/", serve(func(stream *websocket.Conn, request map[string]any) {
		if request["Port"] != "8080" {
			sendOld(stream, "2", "error connecting to port 9: connection refused")
			return
		}
		_ = websocket.Message.Send(stream, "1")
		_, payload := receiveOld(stream)
		sendOld(stream, "1", "heard "+payload)
	}))
	following := websocket.Handler(func(stream *websocket.Conn) {
		sendOld(stream, "1", "2026-01-01T00:00:02Z stdout F two\n2026-01-01T00:00:03Z stdout F three\n")
		sendOld(stream, "2", "Unit main is not running\n")
	})
	mux.HandleFunc("/rest/v1/logs/main", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("follow") {
			following.ServeHTTP(w, r)
			return
		}
		fmt.Fprint(w, "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stdout F two\n")
	})
	mux.HandleFunc("/rest/v1/logs/other", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "400 Bad Request: Could not find logs for unit named other", http.StatusBadRequest)
	})
	authority := itzotest.NewAuthority(t)
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{authority.Server("cell").TLS(t)}}
	server.StartTLS()
	t.Cleanup(server.Close)
	client, err := itzo.NewClient(itzo.Config{Address: server.Listener.Addr().String(), ServerName: "cell", RootCAs: authority.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

var oldExec = itzo.CommandRequest{PodName: "default_web", Container: "main", Command: []string{"sh"}, Stdin: true, Stdout: true, Stderr: true}

func TestOldExec(t *testing.T) {
	client := oldStreams(t)
	command, err := client.OpenExec(t.Context(), oldExec)
	if err != nil {
		t.Fatal(err)
	}
	keys, keyboard := io.Pipe()
	go func() {
		_, _ = io.WriteString(keyboard, "one")
		_, _ = io.WriteString(keyboard, "end")
	}()
	sizes := make(chan itzo.TerminalSize)
	var stdout, stderr bytes.Buffer
	code, err := command.Run(t.Context(), itzo.Streams{Stdin: keys, Stdout: &stdout, Stderr: &stderr, Resize: sizes})
	keyboard.Close()
	if err != nil || code != 3 || stdout.String() != "0one\n0end\n" || stderr.String() != "default_webmain[sh] true false\n" {
		t.Errorf("exit code %d, %v, %q, %q", code, err, stdout.String(), stderr.String())
	}
}

// The input's end cannot be told: the user is.
func TestOldExecWithoutEnd(t *testing.T) {
	command, err := oldStreams(t).OpenExec(t.Context(), oldExec)
	if err != nil {
		t.Fatal(err)
	}
	told, stderr := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := command.Run(t.Context(), itzo.Streams{Stdin: strings.NewReader("all"), Stdout: io.Discard, Stderr: stderr})
		stderr.CloseWithError(err)
		ended <- err
	}()
	var seen strings.Builder
	buffer := make([]byte, 1024)
	for !strings.Contains(seen.String(), "kip: the input has ended") {
		n, err := told.Read(buffer)
		if seen.Write(buffer[:n]); err != nil {
			t.Fatalf("%v after %q", err, seen.String())
		}
	}
	command.Close()
	if err := <-ended; err == nil {
		t.Error("a stream that was broken off ended well")
	}
}

func TestOldAttach(t *testing.T) {
	command, err := oldStreams(t).OpenAttach(t.Context(), itzo.CommandRequest{PodName: "default_web", Container: "main", Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if _, err := command.Run(t.Context(), itzo.Streams{Stdout: &stdout, Stderr: &stderr}); err != nil || stdout.String() != "output\n" || stderr.Len() > 0 {
		t.Errorf("%v, %q, %q", err, stdout.String(), stderr.String())
	}
}

func TestOldPort(t *testing.T) {
	client := oldStreams(t)
	tunnel, err := client.OpenPort(t.Context(), itzo.PortRequest{PodName: "default_web", Port: 8080})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- tunnel.Run(t.Context(), far) }()
	if _, err := io.WriteString(near, "hello"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(near); err != nil || string(got) != "heard hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := client.OpenPort(t.Context(), itzo.PortRequest{PodName: "default_web", Port: 9}); !itzo.IsCode(err, http.StatusBadRequest) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a port at which nothing listens: %v", err)
	}
}

// What was written before and what follows make one log, without a line twice.
func TestOldFollow(t *testing.T) {
	client := oldStreams(t)
	log, err := client.FollowLogs(t.Context(), "main", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	want := "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stdout F two\n2026-01-01T00:00:03Z stdout F three\n"
	if got, err := io.ReadAll(log); err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := client.FollowLogs(t.Context(), "other", 0); !itzo.IsCode(err, http.StatusBadRequest) || !strings.Contains(err.Error(), "Could not find logs") {
		t.Errorf("a unit that is not there: %v", err)
	}
}
