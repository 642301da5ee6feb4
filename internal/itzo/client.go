package itzo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// What a client waits for and accepts unless Config says otherwise.
const (
	DefaultDialTimeout    = 10 * time.Second
	DefaultTLSTimeout     = 10 * time.Second
	DefaultRequestTimeout = 120 * time.Second
	DefaultPingTimeout    = 3 * time.Second

	maxStatusBody = 4 << 20
	maxInfoBody   = 64 << 10
	maxStatsBody  = 1 << 20
	maxTextBody   = 4 << 10
	// MaxFileBody is what the agent's file endpoint answers at most.
	MaxFileBody = 10 << 20
	// MaxWait is the longest that one long poll may last.
	MaxWait = 300 * time.Second
	// answerTime is how long the answer to a long poll may take when the time is
	// over for which the agent may keep it.
	answerTime = 15 * time.Second
	// maxHeaders bounds what is read of an answer before its body, in bytes.
	maxHeaders = 64 << 10
)

// Config says which agent a Client talks to, and how.
type Config struct {
	// Address is host:port.
	Address string
	// ServerName is the DNS name that the agent's certificate must carry: the
	// cell's own, or LegacyServerName for cells of the first Kip.
	ServerName string
	// RootCAs are the authorities of the cells' certificates. Roots, when set, is
	// asked instead for every connection.
	RootCAs *x509.CertPool
	Roots   func() *x509.CertPool
	// Certificate is the client's. GetClientCertificate, when set, is asked
	// instead for every connection.
	Certificate          tls.Certificate
	GetClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// Dial replaces the dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Timeouts; zero means the default. RequestTimeout is for one whole request
	// with its answer, streamed logs included.
	DialTimeout    time.Duration
	TLSTimeout     time.Duration
	RequestTimeout time.Duration
	PingTimeout    time.Duration
}

// Client talks to the agent of one cell. It keeps connections open between
// requests until Close. It may be used by several goroutines at once.
type Client struct {
	config Config
	http   *http.Client
}

// NewClient makes a client; it does not dial yet.
func NewClient(config Config) (*Client, error) {
	if config.ServerName == "" || config.RootCAs == nil && config.Roots == nil {
		return nil, errors.New("an agent cannot be verified without server name and root CAs")
	}
	if _, _, err := net.SplitHostPort(config.Address); err != nil {
		return nil, fmt.Errorf("agent address: %w", err)
	}
	config.setDefaults()
	return &Client{config: config, http: &http.Client{
		Transport: config.transport(),
		// An agent has no reason to send us elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close drops idle connections. Requests under way end as they would.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
}

func (c *Config) setDefaults() {
	defaults := []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&c.DialTimeout, DefaultDialTimeout},
		{&c.TLSTimeout, DefaultTLSTimeout},
		{&c.RequestTimeout, DefaultRequestTimeout},
		{&c.PingTimeout, DefaultPingTimeout},
	}
	for _, d := range defaults {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: c.DialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	if c.Roots == nil {
		roots := c.RootCAs
		c.Roots = func() *x509.CertPool { return roots }
	}
	if c.GetClientCertificate == nil {
		certificate := c.Certificate
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &certificate, nil
		}
	}
}

func (c *Config) transport() *http.Transport {
	return &http.Transport{
		DialTLSContext:    c.dialTLS,
		ForceAttemptHTTP2: true,
		// A cell that vanished sends no FIN: without pings a long poll over
		// HTTP/2 would notice only by its own timeout.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		MaxResponseHeaderBytes: maxHeaders,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        5 * time.Minute,
	}
}
