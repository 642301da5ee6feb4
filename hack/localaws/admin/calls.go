package admin

import (
	"fmt"
	"net/http"
	"strconv"
)

// Calls is how often an action was called, and with what outcome.
type Calls struct {
	Calls int `json:"calls"`
	// Errors counts the calls that failed, by code.
	Errors map[string]int `json:"errors,omitempty"`
	// Created is how many instances the calls made.
	Created int `json:"created,omitempty"`
}

// journal answers the calls behind since, of one action if it is named; with
// last only that many of the newest.
func (a *API) journal(r *http.Request) (any, error) {
	since, err := number(r, "since")
	if err != nil {
		return nil, err
	}
	last, err := number(r, "last")
	if err != nil {
		return nil, err
	}
	entries := a.Journal.Since(since, r.FormValue("action"))
	if last > 0 && int64(len(entries)) > last {
		entries = entries[int64(len(entries))-last:]
	}
	return entries, nil
}

func (a *API) calls(r *http.Request) (any, error) {
	since, err := number(r, "since")
	if err != nil {
		return nil, err
	}
	out := map[string]Calls{}
	for _, e := range a.Journal.Since(since, "") {
		c := out[e.Action]
		c.Calls++
		c.Created += len(e.Created)
		if e.Code != "" {
			if c.Errors == nil {
				c.Errors = map[string]int{}
			}
			c.Errors[e.Code]++
		}
		out[e.Action] = c
	}
	return out, nil
}

// number reads a parameter that counts something; 0 when it is not given.
func number(r *http.Request, name string) (int64, error) {
	s := r.FormValue(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, badRequest{fmt.Errorf("%s: %w", name, err)}
	}
	if n < 0 {
		return 0, badRequest{fmt.Errorf("%s: %d is below 0", name, n)}
	}
	return n, nil
}
