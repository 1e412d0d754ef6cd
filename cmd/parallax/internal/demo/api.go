package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"parallax/divergence"
	"parallax/reports"
)

// api asks a running Parallax what anybody may ask it over HTTP.
type api struct {
	base    string // http://127.0.0.1:7070
	service string
	client  *http.Client
}

func newAPI(base string) api {
	return api{base: base, service: Service, client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}}
}

// ready waits until Parallax says that it can serve.
func (a api) ready(ctx context.Context) error {
	if err := answers(ctx, a.base+"/readyz"); err != nil {
		return fmt.Errorf("parallax does not become ready: %w", err)
	}
	return nil
}

// reportSince asks for the report from a moment on.
func (a api) reportSince(from time.Time) func(context.Context) (reports.Report, error) {
	return func(ctx context.Context) (reports.Report, error) {
		var r reports.Report
		err := a.get(ctx, "report", url.Values{"from": {moment(from)}}, &r)
		return r, err
	}
}

// issuesSince asks for the issues from a moment on, those that were taken away
// as noise or by a rule included.
func (a api) issuesSince(from time.Time) func(context.Context) ([]divergence.Issue, error) {
	return func(ctx context.Context) ([]divergence.Issue, error) {
		var list struct {
			Issues []divergence.Issue `json:"issues"`
		}
		err := a.get(ctx, "issues", url.Values{"from": {moment(from)}, "suppressed": {"true"}, "limit": {"1000"}}, &list)
		return list.Issues, err
	}
}

func (a api) verdict(ctx context.Context) (reports.Verdict, error) {
	var v reports.Verdict
	err := a.get(ctx, "verdict", nil, &v)
	return v, err
}

// effects asks what became of what both databases committed.
func (a api) effects(ctx context.Context) (divergence.EffectsSummary, error) {
	var s divergence.EffectsSummary
	err := a.get(ctx, "effects", nil, &s)
	return s, err
}

// counts asks how often each version sent what only one of them sent, in an example of a
// defect's issues; it is empty where it sent nothing.
func (a api) counts(ctx context.Context, p Planted) (string, error) {
	for _, i := range p.Issues {
		if i.Path != "effects:"+sink || len(i.Examples) == 0 {
			continue
		}
		var detail struct {
			Differences []divergence.DifferenceLine `json:"differences"`
		}
		if err := a.get(ctx, "exchanges/"+i.Examples[0], nil, &detail); err != nil {
			return "", err
		}
		for _, d := range detail.Differences {
			if d.Fingerprint == i.Fingerprint {
				return d.Detail, nil
			}
		}
	}
	return "", nil
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (a api) get(ctx context.Context, what string, query url.Values, into any) error {
	address := a.base + "/api/v1/services/" + a.service + "/" + what
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return fmt.Errorf("cannot read the %s: %w", what, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("cannot read the %s: %w", what, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot read the %s: %s: %.300s", what, response.Status, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("cannot read the %s: %w", what, err)
	}
	return nil
}
