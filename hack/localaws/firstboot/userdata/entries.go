package userdata

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// defaultMode is what cloud-init gives a file without permissions.
const defaultMode fs.FileMode = 0o644

// eachMapping calls read for every mapping of a list. Entries that read
// refuses are left out and named in the error; keys outside known are noted.
func eachMapping(c *Config, n node, list string, known []string, read func(map[string]yaml.Node) error) error {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return errors.New("not a list")
	}
	var errs []error
	for i, item := range n.Content {
		var fields map[string]yaml.Node
		if err := resolve(item).Decode(&fields); err != nil {
			errs = append(errs, fmt.Errorf("entry %d: not a mapping", i))
			continue
		}
		for key := range fields {
			if !slices.Contains(known, key) {
				c.Unknown = append(c.Unknown, list+"[]."+key)
			}
		}
		if err := read(fields); err != nil {
			errs = append(errs, fmt.Errorf("entry %d: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

func fileKeys() []string {
	return []string{"path", "content", "owner", "permissions", "encoding", "append", "defer"}
}

func readFiles(c *Config, n node) error {
	return eachMapping(c, n, "write_files", fileKeys(), func(fields map[string]yaml.Node) error {
		f := File{Mode: defaultMode}
		var content, encoding string
		err := errors.Join(
			field(fields, "path", readString, &f.Path),
			field(fields, "content", readString, &content),
			field(fields, "owner", readString, &f.Owner),
			field(fields, "encoding", readString, &encoding),
			field(fields, "permissions", readMode, &f.Mode),
			field(fields, "append", readBool, &f.Append),
			field(fields, "defer", readBool, &f.Defer),
		)
		switch {
		case err != nil:
			return err
		case f.Path == "":
			return errors.New("no path")
		case strings.ContainsRune(f.Path, 0):
			return errors.New("the path contains a NUL byte")
		}
		if f.Content, err = decodeContent(encoding, content); err != nil {
			return fmt.Errorf("content: %w", err)
		}
		c.Files = append(c.Files, f)
		return nil
	})
}

// decodeContent undoes the encodings that cloud-init knows. An unknown name
// is refused here; cloud-init would write the text as it stands.
func decodeContent(encoding, content string) ([]byte, error) {
	raw := []byte(content)
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "text/plain":
		return raw, nil
	case "b64", "base64":
		return decodeBase64(raw)
	case "gz", "gzip":
		return gunzip(raw)
	case "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		packed, err := decodeBase64(raw)
		if err != nil {
			return nil, err
		}
		return gunzip(packed)
	default:
		return nil, fmt.Errorf("unknown encoding %q", encoding)
	}
}

func userKeys() []string {
	return []string{
		"name", "gecos", "homedir", "shell", "primary_group", "groups", "uid", "passwd", "hashed_passwd",
		"lock_passwd", "system", "no_create_home", "sudo", "ssh_authorized_keys",
	}
}

// readUsers reads users. The entry "default" stands for the image's own user;
// a cell has none besides root.
func readUsers(c *Config, n node) error {
	if n.Kind == yaml.SequenceNode {
		plain := *n
		plain.Content = slices.DeleteFunc(slices.Clone(n.Content), func(item node) bool {
			return item.Kind == yaml.ScalarNode && item.Value == "default"
		})
		n = &plain
	}
	return eachMapping(c, n, "users", userKeys(), func(fields map[string]yaml.Node) error {
		var u User
		err := errors.Join(
			field(fields, "name", readString, &u.Name),
			field(fields, "gecos", readString, &u.Gecos),
			field(fields, "homedir", readString, &u.HomeDir),
			field(fields, "shell", readString, &u.Shell),
			field(fields, "primary_group", readString, &u.PrimaryGroup),
			field(fields, "groups", readStrings, &u.Groups),
			field(fields, "uid", readString, &u.UID),
			field(fields, "passwd", readString, &u.HashedPassword),
			field(fields, "hashed_passwd", readString, &u.HashedPassword),
			field(fields, "system", readBool, &u.System),
			field(fields, "no_create_home", readBool, &u.NoCreateHome),
			field(fields, "sudo", readSudo, &u.Sudo),
			field(fields, "ssh_authorized_keys", readEntries, &u.SSHAuthorizedKeys),
		)
		if err != nil {
			return err
		}
		if !validUserName(u.Name) {
			return errors.New("name: missing or not a user name")
		}
		c.Users = append(c.Users, u)
		return nil
	})
}

// validUserName keeps names from being read as options or fields of passwd.
func validUserName(name string) bool {
	return name != "" && len(name) <= 32 && name[0] != '-' && name != "." && name != ".." &&
		!strings.ContainsAny(name, ":/\x00\n\r\t ,")
}

// field reads one key of a mapping and puts its name before an error.
func field[T any](fields map[string]yaml.Node, key string, read func(node, *T) error, into *T) error {
	value, ok := fields[key]
	if !ok {
		return nil
	}
	if err := read(resolve(&value), into); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func readString(n node, into *string) error {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.ScalarNode || n.Decode(into) != nil {
		return errors.New("not a string")
	}
	return nil
}

// readStrings takes a list, or one string with commas.
func readStrings(n node, into *[]string) error {
	if isNull(n) {
		return nil
	}
	if n.Kind == yaml.ScalarNode {
		for word := range strings.SplitSeq(n.Value, ",") {
			if word = strings.TrimSpace(word); word != "" {
				*into = append(*into, word)
			}
		}
		return nil
	}
	if n.Decode(into) != nil {
		return errors.New("not a list of strings")
	}
	return nil
}

// readEntries takes a list, or one string that may hold commas.
func readEntries(n node, into *[]string) error {
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		*into = []string{n.Value}
		return nil
	}
	return readStrings(n, into)
}

// readSudo takes a rule, a list of rules, or false.
func readSudo(n node, into *[]string) error {
	if n.Tag == "!!bool" {
		return nil
	}
	return readEntries(n, into)
}

// readBool takes YAML's booleans and the words that cloud-init takes.
func readBool(n node, into *bool) error {
	if isNull(n) {
		return nil
	}
	if n.Kind == yaml.ScalarNode {
		switch strings.ToLower(n.Value) {
		case "true", "yes", "on", "1":
			*into = true
			return nil
		case "false", "no", "off", "0":
			*into = false
			return nil
		}
	}
	return errors.New("not a boolean")
}

// readMode takes a string of octal digits ("0400", "400") or a YAML integer,
// which YAML itself reads as octal when it starts with 0.
func readMode(n node, into *fs.FileMode) error {
	if isNull(n) {
		return nil
	}
	var mode uint64
	var err error
	if n.Tag == "!!int" {
		err = n.Decode(&mode)
	} else if n.Kind == yaml.ScalarNode {
		mode, err = strconv.ParseUint(strings.TrimPrefix(n.Value, "0o"), 8, 32)
	} else {
		err = errors.New("not a scalar")
	}
	if err != nil || mode > 0o7777 {
		return errors.New("not a file mode")
	}
	*into = unixMode(mode)
	return nil
}

func unixMode(mode uint64) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for bit, flag := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return m
}

func isNull(n node) bool {
	return n.Kind == 0 || (n.Kind == yaml.ScalarNode && n.Tag == "!!null")
}

// resolve follows an alias to what it stands for.
func resolve(n node) node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}
