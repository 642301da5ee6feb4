// Package userdata reads EC2 user data as cloud-init would: gzip, MIME
// multipart, shell scripts and the subset of cloud-config that cells use. It
// only parses; applying is the business of package firstboot.
package userdata

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// maxInflated bounds what a gzip stream may grow to, in bytes. EC2 allows
// 16 KiB of user data, so honest documents stay far below it.
const maxInflated = 32 << 20

// Config is what user data asks of an instance's first boot.
type Config struct {
	// BootCommands is bootcmd as one sh script, empty without bootcmd.
	BootCommands string
	Files        []File
	Users        []User
	// SSHAuthorizedKeys are authorised for root.
	SSHAuthorizedKeys []string
	Hostname          string // without a domain
	FQDN              string
	PreserveHostname  bool
	Timezone          string // as under /usr/share/zoneinfo
	// Scripts run last, in this order: by name, as cloud-init runs them.
	// runcmd is the one named "runcmd".
	Scripts []Script
	// Unknown names the keys and the kinds of parts that are not understood,
	// sorted. It never holds values.
	Unknown []string
	// Problems are the entries that were left out because they are
	// malformed; each names its field, never its value.
	Problems []string
}

// File is one entry of write_files, decoded.
type File struct {
	Path    string
	Content []byte
	Owner   string // user or user:group; empty means root:root
	Mode    fs.FileMode
	Append  bool
	// Defer asks for writing after users were made and before scripts run.
	Defer bool
}

// User is one entry of users.
type User struct {
	Name              string
	Gecos             string
	HomeDir           string
	Shell             string
	PrimaryGroup      string
	Groups            []string
	UID               string
	HashedPassword    string
	System            bool
	NoCreateHome      bool
	Sudo              []string
	SSHAuthorizedKeys []string
}

// Script is an executable text with its interpreter line.
type Script struct {
	Name string
	Body []byte
}

// Parse reads user data. Empty input is an empty Config. The error says that
// a part of the document is unusable as a whole (broken gzip, MIME or YAML);
// the Config then holds what the other parts ask for.
func Parse(raw []byte) (Config, error) {
	var p parser
	err := p.document(raw, "user-data")
	cfg := p.decode()
	slices.SortStableFunc(cfg.Scripts, func(a, b Script) int { return cmp.Compare(a.Name, b.Name) })
	cfg.Unknown = append(cfg.Unknown, p.unknown...)
	slices.Sort(cfg.Unknown)
	cfg.Unknown = slices.Compact(cfg.Unknown)
	return cfg, err
}

// parser gathers the parts of one document.
type parser struct {
	merged  map[string]node
	scripts []Script
	unknown []string
}

// document sorts one body of text by its first line.
func (p *parser) document(raw []byte, name string) error {
	body, err := inflate(raw)
	if err != nil {
		return fmt.Errorf("decompressing %s: %w", name, err)
	}
	switch kind := kindOf(body); kind {
	case kindEmpty:
		return nil
	case kindCloudConfig:
		return p.cloudConfig(body, name)
	case kindScript:
		p.script(name, body)
		return nil
	case kindMultipart:
		return p.multipart(body, name)
	default:
		p.unknown = append(p.unknown, name+" of type "+string(kind))
		return nil
	}
}

type kind string

const (
	kindEmpty       kind = "empty"
	kindCloudConfig kind = "text/cloud-config"
	kindScript      kind = "text/x-shellscript"
	kindMultipart   kind = "multipart"
	kindUnknown     kind = "text/x-not-multipart"
)

// otherKinds are starts of documents that cloud-init knows and we do not.
var otherKinds = []struct {
	prefix string
	kind   kind
}{
	{"#include", "text/x-include-url"},
	{"#cloud-boothook", "text/cloud-boothook"},
	{"#cloud-config-archive", "text/cloud-config-archive"},
	{"#cloud-config-jsonp", "text/cloud-config-jsonp"},
	{"#part-handler", "text/part-handler"},
	{"## template:", "text/jinja2"},
}

func kindOf(body []byte) kind {
	if len(bytes.TrimSpace(body)) == 0 {
		return kindEmpty
	}
	start := string(body[:min(len(body), 64)])
	for _, other := range otherKinds {
		if strings.HasPrefix(start, other.prefix) {
			return other.kind
		}
	}
	lower := strings.ToLower(start)
	switch {
	case strings.HasPrefix(start, "#cloud-config"):
		return kindCloudConfig
	case strings.HasPrefix(start, "#!"):
		return kindScript
	case strings.HasPrefix(lower, "content-type:"), strings.HasPrefix(lower, "mime-version:"):
		return kindMultipart
	default:
		return kindUnknown
	}
}

// inflate undoes gzip where the magic number says so.
func inflate(raw []byte) ([]byte, error) {
	if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return raw, nil
	}
	return gunzip(raw)
}

func gunzip(raw []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err != nil {
		return nil, err
	}
	if len(out) > maxInflated {
		return nil, fmt.Errorf("more than %d bytes after decompression", maxInflated)
	}
	return out, nil
}

// script notes an executable part. Carriage returns at line ends go, as in
// cloud-init: mail writes them, shells choke on them.
func (p *parser) script(name string, body []byte) {
	p.scripts = append(p.scripts, Script{Name: scriptName(name), Body: bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))})
}

// scriptName makes a part's name safe as a file name.
func scriptName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == 0 {
			return '_'
		}
		return r
	}, name)
}
