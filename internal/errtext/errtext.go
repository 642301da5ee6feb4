// Package errtext makes of an error a text that is the same for the same
// cause, for conditions and statuses: a text that changes from one try to the
// next makes a write, and an event, of every try.
package errtext

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Of is the error's text without what differs from try to try: the local end
// of a connection with its ephemeral port, and the time at which a certificate
// was looked at.
func Of(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	var op *net.OpError
	if errors.As(err, &op) {
		text = replace(text, op, operation(op))
	}
	var certificate x509.CertificateInvalidError
	if errors.As(err, &certificate) && certificate.Reason == x509.Expired && certificate.Cert != nil {
		text = replace(text, certificate, validity(certificate.Cert))
	}
	return text
}

// replace puts another text where the text of outer has that of an error which
// it wraps.
func replace(outer string, inner error, with string) string {
	return strings.Replace(outer, inner.Error(), with, 1)
}

// operation is what was done, with which address, and what came of it.
func operation(op *net.OpError) string {
	parts := []string{op.Op}
	if op.Net != "" {
		parts = append(parts, op.Net)
	}
	if op.Addr != nil {
		parts = append(parts, op.Addr.String())
	}
	return fmt.Sprintf("%s: %s", strings.Join(parts, " "), Of(op.Err))
}

func validity(certificate *x509.Certificate) string {
	return fmt.Sprintf("x509: certificate is valid only from %s to %s",
		certificate.NotBefore.UTC().Format(time.RFC3339), certificate.NotAfter.UTC().Format(time.RFC3339))
}
