package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/internal/bootstrap"
)

// serveAWS is an instance's metadata, and a parameter store with that instance's
// document.
func serveAWS(t *testing.T, document string) *httptest.Server {
	t.Helper()
	metadata := map[string]string{
		"instance-id": "i-1", "placement/region": "eu-central-1", "iam/security-credentials/": "cells",
		"iam/security-credentials/cells": `{"Code":"Success","AccessKeyId":"a","SecretAccessKey":"b","Token":"c","Expiration":"2199-01-01T00:00:00Z"}`,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
		_, _ = io.WriteString(w, "token")
	})
	mux.HandleFunc("GET /latest/meta-data/{path...}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, metadata[r.PathValue("path")])
	})
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Name != "/kip/cells/i-1/config" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"ParameterNotFound"}`)
			return
		}
		if err := json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]any{"Value": document}}); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// TestBootstrap fetches what the store has to where it is looked for, once.
func TestBootstrap(t *testing.T) {
	parts, err := bootstrap.Parameters(bootstrap.Input{
		CACertificate: []byte("ca\n"), Certificate: []byte("certificate\n"), Key: []byte("key\n"),
		Agent: bootstrap.Agent{URL: "http://mirror", Version: "v2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := serveAWS(t, parts[0].Value)
	t.Setenv(metadataVariable, server.URL)
	certDir, stateDir := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(certDir, storeFile), "ssm "+server.URL)
	command := []string{commandBootstrap, "--cert-dir", certDir, "--state-dir", stateDir}
	if err := run(command); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"ca.crt": "ca\n", "server.crt": "certificate\n", "server.key": "key\n",
		"itzo_url": "http://mirror", "itzo_version": "v2", storeFile: "ssm " + server.URL}
	if diff := cmp.Diff(want, private(t, certDir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The parameter is deleted once the agent has answered.
	server.Close()
	if err := run(command); err != nil {
		t.Error(err)
	}
}

// private reads a directory of files that only their owner may read.
func private(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(content)
		if info, err := entry.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	return files
}

func TestBootstrapWithoutStore(t *testing.T) {
	certDir := t.TempDir()
	err := run([]string{commandBootstrap, "--cert-dir", certDir, "--state-dir", t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), certDir+" has neither ca.crt, server.crt, server.key nor parameter_store") {
		t.Errorf("got %v", err)
	}
}
