package notices

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
)

// sendWithin bounds one attempt.
const sendWithin = 10 * time.Second

// newClient returns a client that goes where it was sent and nowhere else.
func newClient() *http.Client {
	return &http.Client{Timeout: sendWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// send delivers a message. No error repeats the URL, which may be a secret.
func (r Receiver) send(ctx context.Context, client *http.Client, m Message, now time.Time) error {
	body, err := json.Marshal(m)
	if r.Format == "slack" {
		body, err = m.slack()
	}
	if err != nil {
		return err
	}
	address, err := r.url()
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL is none")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "parallax")
	if r.SecretFile != "" {
		secret, err := signature.Secret(r.SecretFile) // for each message, so that it can be replaced
		if err != nil {
			return err
		}
		signature.Set(request, secret, body, now)
	}
	answer, err := client.Do(request)
	if err != nil {
		if outer := (*url.Error)(nil); errors.As(err, &outer) {
			err = outer.Err
		}
		return err
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 200)) // what there is of it says enough
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("it answered %s: %q", answer.Status, said)
	}
	return nil
}

// Try sends a receiver a message that says that it is only to see whether it arrives.
func (r Receiver) Try(ctx context.Context, base string, now time.Time) error {
	at := pages{base, "test"}
	m := newMessage([]Event{{Kind: NewIssue, At: now.UTC(), Text: "this is a test of parallax notify; nothing happened", URL: at.of(""), id: fmt.Sprint("test ", now.UnixMicro())}}, "test", now, at)
	return r.send(ctx, newClient(), m, now)
}
