// Package bootstrap renders what a cell is told when it boots: the user's
// cloud-init document, with the cell's certificates and the start of its agent
// added; or, apart from it, a document for a parameter store that holds what is
// secret. It is pure: the same input gives the same bytes.
package bootstrap

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// MaxUserData is how many bytes of user data an instance takes, before base64
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html).
const MaxUserData = 16384

// Dir is where a cell's agent, and before it the first Kip's, looks for its
// parameters. Nothing else may write there.
const Dir = "/tmp/itzo"

const header = "#cloud-config"

// The names of a cell's parameters, which are those of the first Kip.
const (
	nameCA          = "ca.crt"
	nameCertificate = "server.crt"
	nameKey         = "server.key"
	nameURL         = "itzo_url"
	nameVersion     = "itzo_version"
	nameConfig      = "cell_config.yaml"
	// namePowerOff is of later ones.
	namePowerOff = "power_off_after"
)

//go:embed start-agent.sh
var startAgent []byte

// Agent says where a cell downloads its agent from: URL/itzo-Version-amd64 or
// …-arm64, and the sandbox program from URL/pause-Version-amd64 or …-arm64.
type Agent struct {
	// URL is http or https, without a final slash.
	URL string
	// Version is as it stands in the file names, but that a leading v is added
	// to 1.2.3; without one the image's own agent will do.
	Version string
	// SHA256 holds, in hexadecimal, the digests of files by their names without
	// the version: itzo-amd64, pause-arm64. What is not in it is not checked.
	SHA256 map[string]string
}

// bareVersion is a semantic version without its v.
var bareVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$`)

func (a Agent) version() string {
	version := strings.TrimSpace(a.Version)
	if bareVersion.MatchString(version) {
		return "v" + version
	}
	return version
}

// sums are the digests in the form that sha256sum reads.
func (a Agent) sums() []byte {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(a.SHA256)) {
		fmt.Fprintf(&out, "%s  %s\n", strings.ToLower(a.SHA256[name]), name)
	}
	return out.Bytes()
}

// Input is all that user data is made of.
type Input struct {
	// CloudInit is the user's document; it may be empty.
	CloudInit string
	// CACertificate, Certificate and Key are PEM: the authority that the agent
	// trusts, and what it serves with.
	CACertificate, Certificate, Key []byte
	Agent                           Agent
	// CellConfig is what first Kip's launchers read from cell_config.yaml.
	CellConfig map[string]string
	// ParameterStore leaves the certificates and CellConfig to the document that
	// Parameters makes. StoreEndpoint is where a cell asks for it, when not at
	// the region's usual endpoint.
	ParameterStore bool
	StoreEndpoint  string
	// PowerOffAfter is for how long the agent may hear nothing of the operator
	// before the cell powers itself off; 0: for ever.
	PowerOffAfter time.Duration
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

// UserData renders the user data of a cell: the user's cloud-config document,
// with our entries behind those of its write_files and runcmd; where it is
// something else, a MIME message of it and ours. It is plain where it fits into
// MaxUserData, else compressed by gzip. The error is a *DocumentError where
// Validate gives one, a *SizeError where it does not fit.
func UserData(in Input) ([]byte, error) {
	if err := in.complete(); err != nil {
		return nil, err
	}
	own, commands, kind := files(in), []string{"sh " + path.Join(Dir, "start-agent.sh")}, kindOf(in.CloudInit)
	if kind != cloudConfig {
		raw, err := message(kind, in.CloudInit, own, commands)
		if err != nil {
			return nil, err
		}
		return fit(raw)
	}
	doc, err := parse(in.CloudInit)
	if err != nil {
		return nil, err
	}
	rendered, err := doc.render(own, commands)
	if err != nil {
		return nil, err
	}
	return fit(append([]byte(header+"\n"), rendered...))
}

func (in Input) complete() error {
	switch {
	case len(in.CACertificate) == 0 || len(in.Certificate) == 0 || len(in.Key) == 0:
		return errors.New("user data: the cell's certificates are incomplete")
	case in.Agent.URL == "":
		return errors.New("user data: the agent's URL is empty")
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
	var out []file
	if in.ParameterStore {
		out = []file{{"parameter_store", []byte(strings.TrimSpace("ssm " + in.StoreEndpoint))}}
	} else {
		out = secrets(in)
	}
	out = append(out, agentFiles(in)...)
	out = append(out, file{"start-agent.sh", startAgent})
	if sums := in.Agent.sums(); len(sums) > 0 {
		out = append(out, file{"sha256sums", sums})
	}
	if in.Snapshotter != "" {
		out = append(out, file{"snapshotter", []byte(in.Snapshotter)})
	}
	return out
}

func secrets(in Input) []file {
	out := []file{{nameCA, in.CACertificate}, {nameCertificate, in.Certificate}, {nameKey, in.Key}}
	if len(in.CellConfig) > 0 {
		out = append(out, file{nameConfig, cellConfig(in.CellConfig)})
	}
	return out
}

func agentFiles(in Input) []file {
	out := []file{{nameURL, []byte(in.Agent.URL)}, {nameVersion, []byte(in.Agent.version())}}
	if in.PowerOffAfter > 0 {
		out = append(out, file{namePowerOff, []byte(in.PowerOffAfter.String())})
	}
	return out
}

// cellConfig quotes all values: launchers read a map of strings only.
func cellConfig(values map[string]string) []byte {
	mapping := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		mapping.Content = append(mapping.Content, quotedNode(key), quotedNode(values[key]))
	}
	out, err := yaml.Marshal(mapping)
	if err != nil {
		panic("a map of strings cannot be encoded: " + err.Error())
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
