// Package bootstrap renders what a cell is told when it boots: the user's
// cloud-init document, with the cell's certificates and the start of its agent
// added. It is pure: the same input gives the same bytes.
package bootstrap

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"path"
)

// MaxUserData is how many bytes of user data an instance takes, before base64
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html).
const MaxUserData = 16384

// Dir is where a cell's agent, and before it the first Kip's, looks for its
// parameters. Nothing else may write there.
const Dir = "/tmp/itzo"

const header = "#cloud-config"

//go:embed start-agent.sh
var startAgent []byte

// Agent says where a cell downloads its agent from: URL/itzo-Version-amd64 or
// …-arm64, and the sandbox program from URL/pause-Version-amd64 or …-arm64.
type Agent struct {
	// URL is http or https, without a final slash.
	URL     string
	Version string
}

// Input is all that user data is made of.
type Input struct {
	// CloudInit is the user's cloud-config document; it may be empty.
	CloudInit string
	// CACertificate, Certificate and Key are PEM: the authority that the agent
	// trusts, and what it serves with.
	CACertificate, Certificate, Key []byte
	Agent                           Agent
	// Snapshotter is what containerd makes containers' root filesystems with;
	// when empty, what the image's configuration says.
	Snapshotter string
}

// NativeSnapshotter copies layers instead of laying overlays over them.
const NativeSnapshotter = "native"

// SizeError says that user data is too large even when compressed. Sizes are
// in bytes.
type SizeError struct {
	Raw, Compressed, Limit int
}

// Error names the sizes and what to do.
func (e *SizeError) Error() string {
	return fmt.Sprintf("user data has %d bytes, and %d compressed; the limit is %d: "+
		"shorten cloudInit by about %d bytes after compression, or let it download its large files when the cell boots",
		e.Raw, e.Compressed, e.Limit, e.Compressed-e.Limit)
}

// UserData renders the #cloud-config document for a cell: the user's, with our
// entries behind those of its write_files and runcmd. It is plain where it fits
// into MaxUserData, else compressed by gzip. The error is a *DocumentError
// where Validate gives one, a *SizeError where it does not fit.
func UserData(in Input) ([]byte, error) {
	if err := in.complete(); err != nil {
		return nil, err
	}
	doc, err := parse(in.CloudInit)
	if err != nil {
		return nil, err
	}
	rendered, err := doc.render(files(in), []string{"sh " + path.Join(Dir, "start-agent.sh")})
	if err != nil {
		return nil, err
	}
	return fit(append([]byte(header+"\n"), rendered...))
}

func (in Input) complete() error {
	switch {
	case len(in.CACertificate) == 0 || len(in.Certificate) == 0 || len(in.Key) == 0:
		return errors.New("user data: the cell's certificates are incomplete")
	case in.Agent.URL == "" || in.Agent.Version == "":
		return errors.New("user data: the agent's URL or version is empty")
	}
	return nil
}

type file struct {
	name    string // below Dir
	content []byte
}

// files are the parameters as agents and launchers of the first Kip know them,
// and the script that installs an agent where no launcher does.
func files(in Input) []file {
	out := []file{
		{"ca.crt", in.CACertificate},
		{"server.crt", in.Certificate},
		{"server.key", in.Key},
		{"itzo_url", []byte(in.Agent.URL)},
		{"itzo_version", []byte(in.Agent.Version)},
		{"start-agent.sh", startAgent},
	}
	if in.Snapshotter != "" {
		out = append(out, file{"snapshotter", []byte(in.Snapshotter)})
	}
	return out
}

// fit compresses what does not fit plainly. The gzip header carries no time
// and no name, so that equal input gives equal bytes.
func fit(raw []byte) ([]byte, error) {
	if len(raw) <= MaxUserData {
		return raw, nil
	}
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compressing user data: %w", err)
	}
	if _, err := w.Write(raw); err != nil {
		return nil, fmt.Errorf("compressing user data: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing user data: %w", err)
	}
	if buf.Len() > MaxUserData {
		return nil, &SizeError{Raw: len(raw), Compressed: buf.Len(), Limit: MaxUserData}
	}
	return buf.Bytes(), nil
}
