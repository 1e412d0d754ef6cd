package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"parallax/cmd/demoshop/shop/internal/data"
)

// mailer sends mails by POSTing them as JSON.
type mailer struct {
	to     string
	client *http.Client
}

// mailPatience is how long a mail may take.
const mailPatience = 5 * time.Second

// newMailer returns a mailer to a URL, through the proxy that the environment
// names for the URL's scheme: HTTP_PROXY or HTTPS_PROXY. Unlike other programs
// it goes through it to loopback addresses too, and knows no exceptions.
func newMailer(to string, getenv func(string) string) (*mailer, error) {
	target, err := url.Parse(to)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, fmt.Errorf("cannot send mails to %q: write a URL such as http://mail.example:8025/send", to)
	}
	variable := "HTTP_PROXY"
	if target.Scheme == "https" {
		variable = "HTTPS_PROXY"
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}
	if named := getenv(variable); named != "" {
		proxy, err := url.Parse(named)
		if err != nil || proxy.Host == "" {
			return nil, fmt.Errorf("cannot use the proxy that %s names: write a URL such as http://127.0.0.1:3128", variable)
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	client := &http.Client{Transport: transport, Timeout: mailPatience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &mailer{to: to, client: client}, nil
}

// Mail is the JSON of a mail.
type Mail struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// Send sends one mail. It passes on what says which request it belongs to.
func (m *mailer) Send(ctx context.Context, recipient, subject, body string) error {
	text, err := json.Marshal(Mail{To: recipient, Subject: subject, Body: body})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.to, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	origin := data.From(ctx)
	for name, value := range map[string]string{"Traceparent": origin.Traceparent, "Baggage": origin.Baggage, "X-Parallax-Exchange": origin.Exchange} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	answer, err := m.client.Do(request)
	if err != nil {
		return fmt.Errorf("cannot send a mail: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection is used again
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("cannot send a mail: %s answers %s", m.to, answer.Status)
	}
	return nil
}

func (m *mailer) close() { m.client.CloseIdleConnections() }
