package aws

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	"github.com/go-logr/logr"
)

// The waits between two looks at the parameter store, before jitter takes off
// up to half.
const (
	firstWait = time.Second
	mostWait  = 15 * time.Second
)

// Options say what to fetch.
type Options struct {
	// Endpoint of SSM; empty: the region's own.
	Endpoint string
	// MetadataEndpoint of the instance's metadata; empty: the usual address.
	MetadataEndpoint string
	// Required are the files without which a document is not complete.
	Required []string

	first, most time.Duration // waits, where tests shorten them
}

// Fetch reads the files that the operator has put into SSM Parameter Store for
// this instance. It waits until they are there and may be read, however long
// that takes: its only error is that of ctx. Why it waits is logged when the
// reason changes.
func Fetch(ctx context.Context, o Options) (map[string][]byte, error) {
	log := logr.FromContextOrDiscard(ctx)
	f := fetcher{options: o}
	wait, most := max(o.first, 0), o.most
	if most == 0 {
		wait, most = firstWait, mostWait
	}
	last := ""
	for {
		files, err := f.try(ctx)
		if err == nil {
			return files, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("fetching the cell's parameters: %w", ctx.Err())
		}
		if why := reason(err); why != last {
			log.Info("Waiting for the cell's parameters", "reason", why)
			last = why
		}
		if err := sleep(ctx, wait-rand.N(wait/2+1)); err != nil {
			return nil, fmt.Errorf("fetching the cell's parameters: %w", err)
		}
		wait = min(2*wait, most)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// fetcher keeps over its tries what need not be asked again.
type fetcher struct {
	options Options
	store   *store
	// doubted is a document that might not have been written to its end.
	doubted string
}

func (f *fetcher) try(ctx context.Context) (map[string][]byte, error) {
	if f.store == nil {
		client, id, err := connect(ctx, f.options)
		if err != nil {
			return nil, err
		}
		f.store = &store{client: client, name: "/kip/cells/" + id + "/config"}
	}
	document, mayGoOn, err := f.store.document(ctx)
	if err != nil {
		return nil, err
	}
	whole, err := checkDigest(document)
	if err != nil {
		return nil, fmt.Errorf("reading parameter %s: %w", f.store.name, err)
	}
	if !whole && mayGoOn && document != f.doubted {
		f.doubted = document
		return nil, fmt.Errorf("the last part of %s is a full one: looking whether another follows", f.store.name)
	}
	files, err := parseDocument(document)
	if err != nil {
		return nil, fmt.Errorf("reading parameter %s: %w", f.store.name, err)
	}
	for _, name := range f.options.Required {
		if len(files[name]) == 0 {
			return nil, fmt.Errorf("parameter %s lacks %s", f.store.name, name)
		}
	}
	return files, nil
}

// reason is the part of an error that stays the same as long as its cause
// does, without the IDs of requests and the ports of connections.
func reason(err error) string {
	var absent *absentError
	var api smithy.APIError
	var operation *net.OpError
	switch {
	case errors.As(err, &absent):
		return absent.Error()
	case errors.As(err, &api):
		return apiReason(api)
	case errors.As(err, &operation):
		address := ""
		if operation.Addr != nil {
			address = " " + operation.Addr.String()
		}
		return fmt.Sprintf("%s%s: %v", operation.Op, address, operation.Err)
	}
	return err.Error()
}

func apiReason(err smithy.APIError) string {
	return strings.TrimSuffix(err.ErrorCode()+": "+err.ErrorMessage(), ": ")
}
