package ssm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/iam"
	"kip.elotl.co/hack/localaws/service"
)

// action does a call, from its body.
type action func(s *Store, caller iam.Caller, body []byte) (any, error)

// taking makes an action of a method with an input of its own.
func taking[T any](do func(*Store, iam.Caller, T) (any, error)) action {
	return func(s *Store, caller iam.Caller, body []byte) (any, error) {
		var in T
		d := json.NewDecoder(bytes.NewReader(body))
		// What AWS would know and this emulator does not must not be dropped in
		// silence.
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, awserr.New("SerializationException", "The body cannot be read: %s", err)
		}
		return do(s, caller, in)
	}
}

func actions() map[string]action {
	return map[string]action{
		"PutParameter":           taking((*Store).put),
		"GetParameter":           taking((*Store).get),
		"GetParameters":          taking((*Store).getMany),
		"GetParametersByPath":    taking((*Store).byPath),
		"DeleteParameter":        taking((*Store).delete),
		"DeleteParameters":       taking((*Store).deleteMany),
		"DescribeParameters":     taking((*Store).describe),
		"AddTagsToResource":      taking((*Store).addTags),
		"RemoveTagsFromResource": taking((*Store).removeTags),
		"ListTagsForResource":    taking((*Store).listTags),
	}
}

// Service is the Parameter Store behind the emulator's endpoint.
func (s *Store) Service() service.Service {
	return service.Service{
		Name: "ssm", Target: "AmazonSSM.", Show: show,
		Handle: func(_ context.Context, r service.Request) (any, error) {
			do := actions()[r.Action]
			if do == nil {
				return nil, awserr.New("UnknownOperationException", "The operation %s is not known", r.Action)
			}
			return do(s, r.Caller, r.Body)
		},
	}
}

// show gives the members of a body, but of the value only its size and hash.
func show(body []byte) map[string]string {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return map[string]string{"Body.Size": strconv.Itoa(len(body))}
	}
	out := map[string]string{}
	for name, raw := range members {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		if name == "Value" {
			sum := sha256.Sum256([]byte(text))
			out["Value.Size"], out["Value.SHA256"] = strconv.Itoa(len(text)), hex.EncodeToString(sum[:])
			continue
		}
		out[name] = text
	}
	return out
}
