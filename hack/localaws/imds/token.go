package imds

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// tokens makes and checks session tokens: expiry in Unix seconds, 8 bytes big
// endian, then an HMAC-SHA256 over it and the instance ID, in base64.
type tokens struct {
	key   []byte
	clock func() time.Time
}

func newTokens(clock func() time.Time) tokens {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return tokens{key: key, clock: clock}
}

func (t tokens) issue(instanceID string, ttl time.Duration) string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(t.clock().Add(ttl).Unix()))
	return base64.URLEncoding.EncodeToString(append(raw, t.sum(instanceID, raw)...))
}

func (t tokens) valid(token, instanceID string) bool {
	raw, err := base64.URLEncoding.DecodeString(token)
	if err != nil || len(raw) != 8+sha256.Size || !hmac.Equal(raw[8:], t.sum(instanceID, raw[:8])) {
		return false
	}
	return t.clock().Unix() < int64(binary.BigEndian.Uint64(raw))
}

func (t tokens) sum(instanceID string, expiry []byte) []byte {
	h := hmac.New(sha256.New, t.key)
	h.Write(expiry)
	h.Write([]byte(instanceID))
	return h.Sum(nil)
}
