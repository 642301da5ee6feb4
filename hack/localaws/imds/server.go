// Package imds is the instance metadata service of local instances: one
// server inside the fabric, which tells instances apart by source address.
package imds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kip.elotl.co/hack/localaws/boot"
	"kip.elotl.co/hack/localaws/iam"
)

// Role says which of an instance's addresses asks.
type Role int

const (
	// Primary is the instance itself.
	Primary Role = iota
	// Secondary is a pod on the instance.
	Secondary
)

// Source knows the instances.
type Source interface {
	// BySourceIP finds the running instance that has the address.
	BySourceIP(addr netip.Addr) (boot.Spec, Role, bool)
}

// Header names of version 2 of the service.
const (
	headerTTL   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	headerToken = "X-Aws-Ec2-Metadata-Token"
)

// maxTokenSeconds is the longest life of a token: six hours.
const maxTokenSeconds = 21600

// fullTTL is the IP TTL of replies that no hop limit applies to.
const fullTTL = 64

// Server answers metadata requests. It keeps no sessions: a token carries its
// instance and its expiry under a key that lives as long as the Server, so
// clients get a new one after a restart, as they do after any 401.
type Server struct {
	source Source
	roles  Roles // nil where instances get no credentials
	tokens tokens
}

// Roles gives instances what they have from their instance profiles.
type Roles interface {
	// OfInstance: false when the profile has no role.
	OfInstance(profileARN, instanceID string) (iam.Identity, bool)
}

// New makes a Server. The clock decides when tokens expire.
func New(source Source, clock func() time.Time) *Server {
	return &Server{source: source, tokens: newTokens(clock)}
}

// WithRoles lets instances with a profile have the credentials of its role.
func (s *Server) WithRoles(r Roles) *Server {
	s.roles = r
	return s
}

// Serve answers on the listener, which is to be inside the fabric, until the
// context ends; it closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ConnContext:       withConn,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving instance metadata: %w", err)
	}
	return ctx.Err()
}

// ServeHTTP answers one request. The peer's address says which instance asks.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "EC2ws")
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		refuse(w, http.StatusNotFound)
		return
	}
	spec, role, ok := s.source.BySourceIP(peer.Addr().Unmap())
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	// EC2 would let the reply die on the way to a pod when the hop limit is 1;
	// saying so spares the pod the wait.
	if spec.Metadata.Disabled || (role == Secondary && spec.Metadata.HopLimit < 2) {
		refuse(w, http.StatusForbidden)
		return
	}
	if spec.AwaitMetadata(r.Context()) != nil {
		return // nobody waits any more
	}
	setTTL(r.Context(), fullTTL)
	switch r.Method {
	case http.MethodPut:
		s.issue(w, r, spec)
	case http.MethodGet, http.MethodHead:
		s.read(w, r, spec)
	default:
		refuse(w, http.StatusMethodNotAllowed)
	}
}

// issue answers PUT /latest/api/token.
func (s *Server) issue(w http.ResponseWriter, r *http.Request, spec boot.Spec) {
	switch {
	case r.URL.Path != "/latest/api/token":
		refuse(w, http.StatusNotFound)
		return
	case r.Header.Get("X-Forwarded-For") != "":
		refuse(w, http.StatusForbidden)
		return
	}
	seconds, err := strconv.Atoi(r.Header.Get(headerTTL))
	if err != nil || seconds < 1 || seconds > maxTokenSeconds {
		refuse(w, http.StatusBadRequest)
		return
	}
	setTTL(r.Context(), max(1, spec.Metadata.HopLimit))
	w.Header().Set(headerTTL, strconv.Itoa(seconds))
	plain(w, s.tokens.issue(spec.InstanceID, time.Duration(seconds)*time.Second))
}

// read answers GET for a path of the tree.
func (s *Server) read(w http.ResponseWriter, r *http.Request, spec boot.Spec) {
	token := r.Header.Get(headerToken)
	if token == "" && spec.Metadata.TokensRequired || token != "" && !s.tokens.valid(token, spec.InstanceID) {
		refuse(w, http.StatusUnauthorized)
		return
	}
	path := strings.Trim(r.URL.Path, "/")
	if path == "" {
		plain(w, strings.Join(versions(), "\n"))
		return
	}
	version, rest, _ := strings.Cut(path, "/")
	if !isVersion(version) {
		refuse(w, http.StatusNotFound)
		return
	}
	entries := tree(spec)
	if s.roles != nil && spec.InstanceProfileARN != "" {
		if identity, ok := s.roles.OfInstance(spec.InstanceProfileARN, spec.InstanceID); ok {
			addIdentity(entries, spec, identity)
		}
	}
	body, ok := lookup(entries, strings.Trim(rest, "/"))
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	if rest == "user-data" {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	plain(w, body)
}

func plain(w http.ResponseWriter, body string) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = io.WriteString(w, body)
}

func refuse(w http.ResponseWriter, code int) {
	http.Error(w, strconv.Itoa(code)+" - "+http.StatusText(code), code)
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// setTTL sets how many hops the connection's packets may go from here on.
func setTTL(ctx context.Context, ttl int) {
	conn, ok := ctx.Value(connKey{}).(syscall.Conn)
	if !ok {
		return
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, ttl)
	})
}
