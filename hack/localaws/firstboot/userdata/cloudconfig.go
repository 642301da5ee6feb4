package userdata

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

type node = *yaml.Node

// cloudConfig merges one cloud-config part into what was read before. As in
// cloud-init a later part replaces a key of an earlier one, unless the later
// one's merge_how says that lists are to be appended.
func (p *parser) cloudConfig(body []byte, name string) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(body, &doc); err != nil {
		return fmt.Errorf("reading %s as YAML: %w", name, err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	var keys map[string]yaml.Node
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("reading %s: the document is not a mapping", name)
	}
	if err := root.Decode(&keys); err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if p.merged == nil {
		p.merged = map[string]node{}
	}
	appendLists := appends(keys)
	for key, value := range keys {
		p.merged[key] = merge(p.merged[key], &value, appendLists)
	}
	return nil
}

func merge(old, new node, appendLists bool) node {
	if old == nil || !appendLists || old.Kind != yaml.SequenceNode || new.Kind != yaml.SequenceNode {
		return new
	}
	joined := *old
	joined.Content = slices.Concat(old.Content, new.Content)
	return &joined
}

// appends reads merge_how or merge_type: "list(append)+…", or the long form
// [{name: list, settings: [append]}].
func appends(keys map[string]yaml.Node) bool {
	for _, key := range []string{"merge_how", "merge_type"} {
		value, ok := keys[key]
		if !ok {
			continue
		}
		var long []struct {
			Name     string   `yaml:"name"`
			Settings []string `yaml:"settings"`
		}
		if value.Decode(&long) == nil {
			for _, m := range long {
				if m.Name == "list" && slices.Contains(m.Settings, "append") {
					return true
				}
			}
		}
		if value.Kind == yaml.ScalarNode && strings.Contains(value.Value, "list(append") {
			return true
		}
	}
	return false
}

// decode turns the merged keys into a Config. Anything that is wrong in one
// key becomes a problem and leaves the others alone.
func (p *parser) decode() Config {
	cfg := Config{Scripts: p.scripts}
	keys := make([]string, 0, len(p.merged))
	for key := range p.merged {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		read, ok := readers()[key]
		if !ok {
			cfg.Unknown = append(cfg.Unknown, key)
			continue
		}
		if err := read(&cfg, resolve(p.merged[key])); err != nil {
			cfg.Problems = append(cfg.Problems, key+": "+err.Error())
		}
	}
	return cfg
}

type reader func(*Config, node) error

func readers() map[string]reader {
	none := func(*Config, node) error { return nil }
	return map[string]reader{
		"bootcmd":             func(c *Config, n node) (err error) { c.BootCommands, err = shellScript(n); return err },
		"runcmd":              readRunCommands,
		"write_files":         readFiles,
		"users":               readUsers,
		"ssh_authorized_keys": func(c *Config, n node) error { return readEntries(n, &c.SSHAuthorizedKeys) },
		"hostname":            func(c *Config, n node) error { return readString(n, &c.Hostname) },
		"fqdn":                func(c *Config, n node) error { return readString(n, &c.FQDN) },
		"timezone":            func(c *Config, n node) error { return readString(n, &c.Timezone) },
		"preserve_hostname":   func(c *Config, n node) error { return readBool(n, &c.PreserveHostname) },
		"merge_how":           none,
		"merge_type":          none,
	}
}

func readRunCommands(c *Config, n node) error {
	script, err := shellScript(n)
	if err != nil || script == "" {
		return err
	}
	c.Scripts = append(c.Scripts, Script{Name: "runcmd", Body: []byte(script)})
	return nil
}

// shellScript renders a list of commands as cloud-init does: a string is a
// line of shell, a list is one command with its arguments quoted.
func shellScript(n node) (string, error) {
	if isNull(n) {
		return "", nil
	}
	if n.Kind != yaml.SequenceNode {
		return "", errors.New("not a list")
	}
	if len(n.Content) == 0 {
		return "", nil
	}
	var b strings.Builder
	b.WriteString("#!/bin/sh\n")
	for i, item := range n.Content {
		line, err := shellLine(resolve(item))
		if err != nil {
			return "", fmt.Errorf("entry %d: %w", i, err)
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String(), nil
}

func shellLine(n node) (string, error) {
	var line string
	switch n.Kind {
	case yaml.ScalarNode:
		if isNull(n) {
			return "", errors.New("empty command")
		}
		return line, errors.Join(n.Decode(&line), noNUL(&line))
	case yaml.SequenceNode:
		words := make([]string, 0, len(n.Content))
		for _, item := range n.Content {
			var word string
			if err := resolve(item).Decode(&word); err != nil {
				return "", errors.New("an argument is not a string")
			}
			words = append(words, "'"+strings.ReplaceAll(word, "'", `'\''`)+"'")
		}
		line = strings.Join(words, " ")
		return line, noNUL(&line)
	default:
		return "", errors.New("neither a string nor a list")
	}
}

func noNUL(s *string) error {
	if strings.ContainsRune(*s, 0) {
		return errors.New("contains a NUL byte")
	}
	return nil
}
