package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// admin is where a running Parallax answers for one of its services.
type admin struct {
	server  *url.URL
	service string
	token   string // empty: it asks for none
}

// adminQuestion is one request to it.
type adminQuestion struct {
	method, what string // the resource, below the service's
	query        url.Values
	body         []byte
	contentType  string // of the body
	within       time.Duration
	token        string // filled in by ask
}

// ask returns the answer. One that is no success is an error that says what the server says.
func (a admin) ask(ctx context.Context, q adminQuestion) ([]byte, error) {
	q.token = a.token
	return askAt(ctx, a.server.JoinPath("api", "v1", "services", url.PathEscape(a.service), q.what), q)
}

// askAt is ask at a resource that is not the service's own.
func askAt(ctx context.Context, target *url.URL, q adminQuestion) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, q.within)
	defer cancel()
	target.RawQuery = q.query.Encode()
	request, err := http.NewRequestWithContext(ctx, q.method, target.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	bear(request, q.token)
	if q.contentType != "" {
		request.Header.Set("Content-Type", q.contentType)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s broke off: %w", target.Redacted(), err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, refusal(target, answer, raw)
	}
	return raw, nil
}

// bear has a request carry a token, if there is one.
func bear(r *http.Request, token string) {
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
}

// parseServer reads the address of an admin listener.
func parseServer(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("cannot read server %q; write it like http://127.0.0.1:7070", text)
	}
	return u, nil
}
