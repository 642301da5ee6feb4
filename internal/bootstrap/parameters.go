package bootstrap

import (
	"crypto/sha256"
	"fmt"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxParameter is how many bytes a parameter of the standard tier holds
// (docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html).
const MaxParameter = 4096

// maxChunks is how many chunks the launcher of the first Kip looks for.
const maxChunks = 10

// Parameter is a part of a cell's document in a parameter store.
type Parameter struct {
	// Name is config, or config-0, config-1, … where the document is too long
	// for one.
	Name, Value string
}

// ParameterSizeError says that a cell's document is too long. Sizes are in bytes.
type ParameterSizeError struct{ Size, Limit int }

// Error names the sizes and what to do.
func (e *ParameterSizeError) Error() string {
	return fmt.Sprintf("the cell's parameters have %d bytes, the limit is %d: shorten cellConfig by %d bytes", e.Size, e.Limit, e.Size-e.Limit)
}

// Parameters renders what a cell fetches from a parameter store instead of
// finding it in its user data: one YAML mapping of the parameters' names to
// their contents; one of several chunks begins with its digest, so that no reader
// joins chunks of two documents. The error is a *ParameterSizeError where it is too long.
func Parameters(in Input) ([]Parameter, error) {
	if err := in.complete(); err != nil {
		return nil, err
	}
	mapping := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range append(secrets(in), agentFiles(in)...) {
		mapping.Content = append(mapping.Content, stringNode(f.name), contentNode(f.content))
	}
	document, err := yaml.Marshal(mapping)
	if err != nil {
		return nil, fmt.Errorf("encoding the cell's parameters: %w", err)
	}
	if len(document) > MaxParameter {
		document = append(fmt.Appendf(nil, "# sha256:%x\n", sha256.Sum256(document)), document...)
	}
	return chunks(string(document))
}

// chunks parts a document without splitting a character.
func chunks(document string) ([]Parameter, error) {
	const name = "config"
	if len(document) <= MaxParameter {
		return []Parameter{{name, document}}, nil
	}
	size, limit := len(document), MaxParameter*maxChunks
	var out []Parameter
	for len(document) > 0 {
		end := chunkEnd(document)
		out = append(out, Parameter{fmt.Sprintf("%s-%d", name, len(out)), document[:end]})
		document = document[end:]
	}
	if len(out) > maxChunks {
		return nil, &ParameterSizeError{Size: size, Limit: limit}
	}
	return out, nil
}

// chunkEnd is where a chunk ends that begins with the document.
func chunkEnd(document string) int {
	if len(document) <= MaxParameter {
		return len(document)
	}
	for end := MaxParameter; end > MaxParameter-utf8.UTFMax; end-- {
		if utf8.RuneStart(document[end]) {
			return end
		}
	}
	return MaxParameter // it is not UTF-8
}
