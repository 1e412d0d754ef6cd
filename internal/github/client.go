package github

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// client speaks to GitHub's API as an App. One goroutine at a time may use it.
type client struct {
	cfg    Config
	now    func() time.Time
	http   *http.Client
	tokens map[int64]token // by installation; bounded as those of the repositories that are configured
}

// token is an installation's.
type token struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires_at"`
}

// Bounds.
const (
	answerWithin = 10 * time.Second
	maxAnswer    = 64 << 10 // bytes
	maxTokens    = 100
)

func newClient(cfg Config, now func() time.Time) *client {
	return &client{cfg: cfg, now: now, tokens: map[int64]token{}, http: &http.Client{
		Timeout:       answerWithin,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}, // asked rarely
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// finalError is an answer of GitHub's that will be the same the next time.
type finalError struct{ status int }

func (e finalError) Error() string { return fmt.Sprintf("GitHub answers %d", e.status) }

// send tells GitHub what becomes of a deployment.
func (c *client) send(ctx context.Context, d deployment, a answer) error {
	body, err := a.body(d.Environment)
	if err != nil {
		return err
	}
	t, err := c.token(ctx, d.Installation)
	if err != nil {
		return err
	}
	status, _, err := c.post(ctx, d.Callback, t, body)
	switch {
	case err != nil:
		return err
	case status/100 == 2:
		return nil
	case status == http.StatusUnauthorized:
		delete(c.tokens, d.Installation) // it was taken back before its time
	case status == http.StatusNotFound || status == http.StatusGone || status == http.StatusConflict || status == http.StatusUnprocessableEntity || status == http.StatusBadRequest:
		return finalError{status}
	}
	return fmt.Errorf("GitHub answers %d", status)
}

// token returns a token of an installation, which is in force for a minute more at least.
func (c *client) token(ctx context.Context, installation int64) (string, error) {
	if t, ok := c.tokens[installation]; ok && c.now().Add(time.Minute).Before(t.Expires) {
		return t.Token, nil
	}
	proof, err := c.proof()
	if err != nil {
		return "", err
	}
	status, text, err := c.post(ctx, fmt.Sprintf("%s/app/installations/%d/access_tokens", c.cfg.API, installation), proof, nil)
	if err != nil {
		return "", err
	}
	var t token
	if err := json.Unmarshal(text, &t); status != http.StatusCreated || err != nil || t.Token == "" {
		return "", fmt.Errorf("GitHub gives no token for installation %d: it answers %d; is github.app the App of github.key_file?", installation, status)
	}
	if len(c.tokens) >= maxTokens {
		clear(c.tokens)
	}
	c.tokens[installation] = t
	return t.Token, nil
}

// proof is a JSON Web Token that the App signs, RS256 (RFC 7519, RFC 7518 section 3.3). GitHub takes one of ten minutes at most, and clocks
// differ.
func (c *client) proof() (string, error) {
	key, err := readKey(c.cfg.KeyFile)
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iat": c.now().Add(-time.Minute).Unix(), "exp": c.now().Add(8 * time.Minute).Unix(), "iss": c.cfg.App})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("cannot sign as the App: %w", err)
	}
	return text + "." + encode(signature), nil
}

// post sends a request and returns the status and the body of the answer.
func (c *client) post(ctx context.Context, target, bearer string, body []byte) (status int, text []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	request.Header.Set("Authorization", "Bearer "+bearer)
	request.Header.Set("User-Agent", "parallax")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(request)
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		err = outer.Err
	}
	if err != nil {
		return 0, nil, fmt.Errorf("GitHub does not answer: %w", err)
	}
	defer res.Body.Close()
	if text, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer)); err != nil {
		return 0, nil, fmt.Errorf("the answer of GitHub broke off: %w", err)
	}
	return res.StatusCode, text, nil
}
