package registry

import (
	"crypto/subtle"
	"net/http"
	"strings"
)

// Private asks for a user and a password, by HTTP's basic authentication, where
// a repository's name begins with the prefix. Others are everybody's.
func Private(next http.Handler, prefix, user, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v2/"+prefix) || allowed(r, user, password) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"errors":[{"code":"UNAUTHORIZED","message":"Not Authorized"}]}`))
	})
}

func allowed(r *http.Request, user, password string) bool {
	gotUser, gotPassword, given := r.BasicAuth()
	return given && subtle.ConstantTimeCompare([]byte(gotUser+":"+gotPassword), []byte(user+":"+password)) == 1
}
