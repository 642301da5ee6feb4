package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
)

const (
	// maxChunks is how many parts a document has at most.
	maxChunks = 10
	// maxChunk is how many bytes a parameter of the standard tier holds
	// (docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html).
	maxChunk = 4096
)

// parameters is what is needed of SSM.
type parameters interface {
	GetParameter(ctx context.Context, in *ssm.GetParameterInput, options ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// store reads one cell's document. It asks for single parameters only, by their
// names: what a cell may read is confined by tags, which a listing does not heed.
type store struct {
	client parameters
	name   string // of the document
}

// absentError says that a parameter is not there, or not to be seen: where a
// role may read what carries its tag only, AWS denies to read what is not there.
type absentError struct {
	name string
	err  smithy.APIError
}

// Error names the parameter and what AWS says.
func (e *absentError) Error() string {
	return fmt.Sprintf("cannot read parameter %s: %s", e.name, apiReason(e.err))
}

// document reads name, or else the parts name-0, name-1, … up to the first that
// is missing. mayGoOn: the last part is a full one, so that another may be about
// to be written.
func (s *store) document(ctx context.Context) (text string, mayGoOn bool, err error) {
	text, absent, err := s.get(ctx, s.name)
	if err != nil {
		return "", false, err
	}
	if absent == nil {
		return text, false, s.checkAlone(ctx)
	}
	var chunks []string
	for len(chunks) < maxChunks {
		chunk, end, err := s.get(ctx, s.chunk(len(chunks)))
		if err != nil {
			return "", false, err
		}
		if end != nil {
			break
		}
		chunks = append(chunks, chunk)
	}
	if len(chunks) == 0 {
		return "", false, absent
	}
	full := len(chunks[len(chunks)-1]) > maxChunk-utf8.UTFMax
	return strings.Join(chunks, ""), full && len(chunks) < maxChunks, nil
}

// checkAlone refuses to choose between a document and its parts.
func (s *store) checkAlone(ctx context.Context) error {
	_, absent, err := s.get(ctx, s.chunk(0))
	if err == nil && absent == nil {
		return fmt.Errorf("parameter %s is there, and %s too: one of them must be deleted", s.name, s.chunk(0))
	}
	return err
}

func (s *store) chunk(i int) string { return fmt.Sprintf("%s-%d", s.name, i) }

func absences() []string { return []string{"ParameterNotFound", "AccessDeniedException"} }

// get reads one parameter; absent says why it cannot be seen.
func (s *store) get(ctx context.Context, name string) (value string, absent *absentError, err error) {
	out, err := s.client.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(true)})
	var answer smithy.APIError
	switch {
	case err == nil:
		return aws.ToString(out.Parameter.Value), nil, nil
	case errors.As(err, &answer) && slices.Contains(absences(), answer.ErrorCode()):
		return "", &absentError{name, answer}, nil
	}
	return "", nil, fmt.Errorf("reading parameter %s: %w", name, err)
}
