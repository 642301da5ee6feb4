package aws

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxName is how many bytes a file's name may have.
const maxName = 128

// digestMark begins the first line of a document that was written in several
// parts: a comment with the digest of all that follows the line.
const digestMark = "# sha256:"

// checkDigest refuses a document whose parts are not of one. A document without
// a digest, as earlier operators write it, is not checked: whole is false.
func checkDigest(text string) (whole bool, err error) {
	line, body, _ := strings.Cut(text, "\n")
	digest, marked := strings.CutPrefix(line, digestMark)
	if !marked {
		return false, nil
	}
	if digest != fmt.Sprintf("%x", sha256.Sum256([]byte(body))) {
		return false, errors.New("its parts are not all of the same document: waiting until it is written")
	}
	return true, nil
}

// parseDocument reads one YAML mapping of files' names to their contents. Its
// errors quote names and lines, never contents.
func parseDocument(text string) (map[string][]byte, error) {
	mapping, err := decodeMapping(text)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		if key.Kind != yaml.ScalarNode || checkName(key.Value) != nil {
			return nil, fmt.Errorf("line %d: a key is not the plain name of a file", key.Line)
		}
		if _, twice := files[key.Value]; twice {
			return nil, fmt.Errorf("line %d: %s is there twice", key.Line, key.Value)
		}
		var content string
		if value.Kind != yaml.ScalarNode || value.ShortTag() == "!!null" || value.Decode(&content) != nil {
			return nil, fmt.Errorf("line %d: %s is not a string", value.Line, key.Value)
		}
		files[key.Value] = []byte(content)
	}
	return files, nil
}

func decodeMapping(text string) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("it is not YAML: %w", err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("it goes on after its first YAML document")
	}
	mapping := document.Content[0]
	if mapping.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: it is not a mapping of files' names to contents", mapping.Line)
	}
	return mapping, nil
}

// checkName takes what names a file in a directory, and none that is hidden.
func checkName(name string) error {
	control := func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' || r == '\\' || r == '\ufffd' }
	if name == "" || len(name) > maxName || name[0] == '.' || strings.ContainsFunc(name, control) {
		return errors.New("it is not the plain name of a file")
	}
	return nil
}
