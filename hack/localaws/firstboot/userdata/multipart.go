package userdata

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// maxParts bounds how many parts one document may have, nested ones included.
const maxParts = 256

// multipart reads a MIME document and each of its parts in order. A broken
// part does not stop the others; the errors are joined.
func (p *parser) multipart(body []byte, name string) error {
	msg, err := mail.ReadMessage(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("reading the MIME header of %s: %w", name, err)
	}
	header := textproto.MIMEHeader(msg.Header)
	mediaType, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("reading the content type of %s: %w", name, err)
	}
	content, err := io.ReadAll(msg.Body)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	parts := &partReader{parser: p}
	if !strings.HasPrefix(mediaType, "multipart/") {
		return parts.part(header, content)
	}
	return parts.all(content, params["boundary"])
}

// partReader counts parts so that unnamed ones get cloud-init's names.
type partReader struct {
	*parser
	count int
}

func (r *partReader) all(content []byte, boundary string) error {
	if boundary == "" {
		return errors.New("reading MIME parts: no boundary")
	}
	var errs []error
	mr := multipart.NewReader(bytes.NewReader(content), boundary)
	for {
		part, err := mr.NextRawPart()
		if errors.Is(err, io.EOF) {
			return errors.Join(errs...)
		}
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("reading MIME parts: %w", err))...)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("reading a MIME part: %w", err))...)
		}
		if r.count >= maxParts {
			return errors.Join(append(errs, fmt.Errorf("more than %d MIME parts", maxParts))...)
		}
		errs = append(errs, r.part(part.Header, content))
	}
}

// part reads one part by its declared type. A type that says nothing (plain
// text) is overruled by the first line of the content, as cloud-init does.
func (r *partReader) part(header textproto.MIMEHeader, content []byte) error {
	r.count++
	name := partName(header, r.count)
	body, err := transferDecode(header.Get("Content-Transfer-Encoding"), content)
	if err != nil {
		return fmt.Errorf("decoding %s: %w", name, err)
	}
	if body, err = inflate(body); err != nil {
		return fmt.Errorf("decompressing %s: %w", name, err)
	}
	mediaType, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		mediaType = "text/plain"
	}
	switch {
	case strings.HasPrefix(mediaType, "multipart/"):
		return r.all(body, params["boundary"])
	case mediaType == "text/cloud-config":
		return r.cloudConfig(body, name)
	case mediaType == "text/x-shellscript":
		r.script(name, body)
		return nil
	case mediaType == "text/plain" && kindOf(body) == kindMultipart:
		r.unknown = append(r.unknown, name+" of type "+mediaType)
		return nil
	case mediaType == "text/plain", mediaType == "application/octet-stream":
		return r.document(body, name)
	default:
		r.unknown = append(r.unknown, name+" of type "+mediaType)
		return nil
	}
}

// partName is the part's file name, else part-001, part-002, …
func partName(header textproto.MIMEHeader, n int) string {
	if _, params, err := mime.ParseMediaType(header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
		return params["filename"]
	}
	return fmt.Sprintf("part-%03d", n)
}

func transferDecode(encoding string, content []byte) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return decodeBase64(content)
	case "quoted-printable":
		return io.ReadAll(quotedprintable.NewReader(bytes.NewReader(content)))
	case "", "7bit", "8bit", "binary":
		return content, nil
	default:
		return nil, fmt.Errorf("transfer encoding %q is not supported", encoding)
	}
}

// decodeBase64 ignores white space, as Python's decoder does.
func decodeBase64(content []byte) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, string(content)))
}
