package itzo

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// decode reads JSON. Its errors say what is wrong and where, and nothing of
// what was there: an answer may be anybody's, and errors are logged.
func decode(data []byte, into any) error {
	err := json.Unmarshal(data, into)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax):
		return fmt.Errorf("decoding answer: no JSON from byte %d of %d on", syntax.Offset, len(data))
	case errors.As(err, &kind):
		is, _, _ := strings.Cut(kind.Value, " ")
		return fmt.Errorf("decoding answer: %s at byte %d where there should be a %s", is, kind.Offset, kind.Type)
	}
	return errors.New("decoding answer: a value of it does not have its form")
}

// printable makes one line of an agent's text.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}
