// Package webhook tells the step to whatever splits, by a signed request, and asks
// for it. docs/split.md says what the receiver has to do.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"parallax/internal/signature"
	"parallax/mirror/split"
	"parallax/mirror/split/push"
)

// Message is the body of a POST.
type Message struct {
	Service  string `json:"service"`
	Step     int    `json:"step"`     // basis points of users on the candidate
	Sequence int64  `json:"sequence"` // a later message has a higher one; one that is repeated has the same
}

// Answer is what a GET is answered with.
type Answer struct {
	Step    *int   `json:"step"`              // in force, in basis points
	Process string `json:"process,omitempty"` // another one after a restart that may have forgotten the step
}

// Bounds.
const (
	answerWithin = 3 * time.Second
	attempts     = 3 // of one push
	first        = 100 * time.Millisecond
	maxAnswer    = 4 << 10 // bytes
)

// Hook is a URL that takes the step. One goroutine at a time may use it.
type Hook struct {
	cfg      split.Webhook
	service  string
	now      func() time.Time
	client   *http.Client
	sequence int64
}

var _ push.Splitter = (*Hook)(nil)

// New returns the hook of a service. Nothing is opened yet.
func New(c split.Webhook, service string, now func() time.Time) *Hook {
	return &Hook{cfg: c, service: service, now: now, client: &http.Client{
		Timeout:       answerWithin,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}, // asked rarely, of whoever answers now
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Push implements [push.Splitter]. The same message is sent up to three times, where
// nobody answered, or 429 or 5xx.
func (h *Hook) Push(ctx context.Context, step int) error {
	h.sequence = max(h.sequence+1, h.now().UnixMilli()) // a process after this one goes on higher
	body, err := json.Marshal(Message{Service: h.service, Step: step, Sequence: h.sequence})
	if err != nil {
		return err
	}
	for n, pause := 1, first; ; n, pause = n+1, 2*pause {
		_, err := h.send(ctx, http.MethodPost, body)
		if final := (refusal{}); err == nil || n == attempts || errors.As(err, &final) && !final.passing() {
			return err
		}
		if wait(ctx, pause) != nil {
			return err
		}
	}
}

// Read implements [push.Splitter].
func (h *Hook) Read(ctx context.Context) (push.Standing, error) {
	text, err := h.send(ctx, http.MethodGet, nil)
	if err != nil {
		return push.Standing{}, err
	}
	var a Answer
	if err := json.Unmarshal(text, &a); err != nil || a.Step == nil || *a.Step < 0 || *a.Step > split.Buckets {
		return push.Standing{}, fmt.Errorf(`the webhook does not tell its step: %.100q; answer GET with {"step": 0} to {"step": 10000}`, text)
	}
	return push.Standing{Step: *a.Step, Process: a.Process}, nil
}

// send sends one signed request.
func (h *Hook) send(ctx context.Context, method string, body []byte) ([]byte, error) {
	secret, err := signature.Secret(h.cfg.SecretFile) // for each request, so that it can be replaced
	if err != nil {
		return nil, fmt.Errorf("cannot sign for the webhook: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, h.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	signature.Set(req, secret, body, h.now())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := h.client.Do(req)
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		err = outer.Err // without the URL, in which there may be a token
	}
	if err != nil {
		return nil, fmt.Errorf("the webhook does not answer: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the webhook does not answer: %w", err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, refusal{method, res.StatusCode, string(text[:min(len(text), 200)])}
	}
	return text, nil
}

// refusal is an answer other than 2xx.
type refusal struct {
	method string
	status int
	text   string
}

func (r refusal) Error() string {
	return fmt.Sprintf("the webhook answers a %s with status %d: %q", r.method, r.status, r.text)
}

// passing reports whether asking again may help.
func (r refusal) passing() bool { return r.status >= 500 || r.status == http.StatusTooManyRequests }

// wait waits, or fails when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
